#!/usr/bin/env bash
# Looks at a ringcast with curl alone: can I connect, is it well, what does it count?
#
#   curl.sh [HOST:PORT [ADMIN_HOST:PORT]]      localhost:8765 and localhost:8080 if not given
#
# Ends with status 0 when all is well. Debian: curl.
set -eu -o pipefail
server=${1:-localhost:8765}
admin=${2:-localhost:8080}

echo "== a WebSocket handshake with $server, whose URL subscribes, and what is said in the first second"
# A key that is always the same has an answer that is always the same: the example of RFC 6455.
# curl does not hang up by itself, so its time-out (28) is no fault.
answer=$(curl --silent --show-error --include --no-buffer --http1.1 --max-time 1 \
    --header 'Connection: Upgrade' --header 'Upgrade: websocket' \
    --header 'Sec-WebSocket-Version: 13' --header 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' \
    "http://$server/ws/000001.SZ@quote" 2>/dev/null | tr -d '\0\r' || [ "${PIPESTATUS[0]}" -eq 28 ]) || {
    echo "no connection to $server" >&2
    exit 1
}
# Frames have a head of 2 to 10 bytes before their JSON, which is not to be shown.
LC_ALL=C sed 's/[^[:print:]][^{]*{/\n{/g; s/[^[:print:]]//g' <<<"$answer"
grep -q '^HTTP/1.1 101 ' <<<"$answer" || {
    echo "$server did not upgrade" >&2
    exit 1
}
grep -q '^Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=$' <<<"$answer" || {
    echo "$server answered for another key" >&2
    exit 1
}

if curl --version | grep -qE '^Protocols:.* ws( |$)'; then
    echo "== the same by curl's own WebSocket"
    curl --silent --no-buffer --max-time 1 "ws://$server/ws/000001.SZ@quote" || [ $? -eq 28 ]
    echo
fi

for path in /health /ready /stats; do
    echo "== $path"
    curl --silent --show-error --fail "http://$admin$path"
    echo
done

echo "== /metrics: connections, frames"
curl --silent --show-error --fail "http://$admin/metrics" |
    grep -E '^ringcast_(connections_active|frames_(sent|lost|conflated)_total|ticks_published_total)'
