#!/usr/bin/env bash
# Sets up the peers that ringcast is measured beside: Debian packages by apt, Python's websockets in
# .toolchain/peers/, and peer_lws in zig-out/bench/. zig build makes peer_publish there.
#
# When nothing is missing it does nothing, prints nothing and needs no network.
set -eu -o pipefail
cd "$(dirname "$0")/../.."
. scripts/debian.sh

zig=.toolchain/zig-0.16.0/zig
venv=.toolchain/peers/venv
out=zig-out/bench
packages=(
    nginx               # the server around nchan
    libnginx-mod-nchan
    nats-server
    mosquitto
    nodejs
    node-ws
    libwebsockets-dev
    libjansson-dev      # SUBSCRIBE, in the libwebsockets peer
    python3-venv
)

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

install_websockets() {
    "$venv/bin/python3" -c 'import websockets' 2>/dev/null && return 0
    say "installing PyPI's newest websockets into $venv"
    rm -rf "$venv"
    python3 -m venv "$venv" || fail "python3 -m venv $venv failed, see above"
    "$venv/bin/pip" install -q --disable-pip-version-check websockets ||
        fail "pip could not install websockets: check the network"
}

# compile PROGRAM LIBRARY... -- SOURCE...: unless it is newer than all that it is made of.
compile() {
    local program=$out/$1 libraries=()
    shift
    while [ "$1" != -- ]; do
        libraries+=("$1")
        shift
    done
    shift
    if [ -x "$program" ] && [ -z "$(find "$@" bench/peers/*.h -newer "$program")" ]; then
        return 0
    fi
    mkdir -p "$out"
    "$zig" cc -O3 -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wshadow -Werror -I. \
        -o "$program" "$@" "${libraries[@]}" || fail "$program does not compile: see the messages above"
}

install_packages "measure the peers" "${packages[@]}"
scripts/setup.sh run
install_websockets
compile peer_lws -lwebsockets -ljansson -- bench/peers/peer_lws.c bench/peers/peer_ticks.c
