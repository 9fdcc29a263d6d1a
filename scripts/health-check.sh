#!/usr/bin/env bash
# Checks a server by its admin port, for cron, Nagios and the like: prints one line.
#
#   scripts/health-check.sh [--url URL] [--connections N]
#
#   --url URL          its admin port (http://localhost:8080)
#   --connections N    more clients than this are too many (1800)
#   -h, --help         print this help
#
# Exit status: 0 it is well, 1 it is not well or does not answer, 2 wrong usage or a missing program.
set -eu -o pipefail

url=http://localhost:8080 limit=1800

usage_error() {
    echo "health-check: $*; see scripts/health-check.sh --help" >&2
    exit 2
}
unhealthy() {
    echo "not healthy: $*"
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
    --url | --connections) [ $# -gt 1 ] || usage_error "$1 needs a value" ;;&
    --url) url=${2%/} && shift 2 ;;
    --connections) limit=$2 && shift 2 ;;
    -h | --help) sed -n '/^# Checks/,/^set/s/^# \{0,1\}//p' "$0" && exit 0 ;;
    *) usage_error "unknown argument: $1" ;;
    esac
done
[[ $limit =~ ^[0-9]+$ ]] || usage_error "--connections is not a number: $limit"
for program in curl jq; do
    command -v $program >/dev/null || usage_error "$program is not installed"
done

code=$(curl -s -o /dev/null -m 5 -w '%{http_code}' "$url/health") || unhealthy "$url does not answer"
[ "$code" = 200 ] || unhealthy "$url/health answers $code"
stats=$(curl -s -f -m 5 "$url/stats") || unhealthy "$url/stats does not answer"
read -r connections depth memory < <(jq -r '[.connections.active_connections, .message_queue.depth,
    (.memory.resident_mb | round)] | map(tostring) | join(" ")' <<<"$stats" 2>/dev/null) ||
    unhealthy "$url/stats is not what ringcast answers"
[[ $connections =~ ^[0-9]+$ ]] || unhealthy "$url/stats has no .connections.active_connections"

summary="$connections connections, $depth frames in the queue, $memory MiB"
[ "$connections" -le "$limit" ] || unhealthy "$summary: more than $limit connections"
echo "healthy: $summary"
