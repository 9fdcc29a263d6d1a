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

missing_packages() {
    local package
    for package in "${packages[@]}"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            echo "$package"
    done
}

install_packages() {
    local missing as_root=()
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        fail "there is no apt-get on this system: install what these Debian packages have: ${missing[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "this needs root, and there is no sudo: ask an administrator to run
    apt-get install -y --no-install-recommends ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing the missing Debian packages for the peers: ${missing[*]}"
    "${as_root[@]}" apt-get -q update >/dev/null ||
        fail "apt-get update failed: check the network and /etc/apt/sources.list"
    # RUNLEVEL keeps packages (nginx, nats-server, mosquitto) from starting services.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get -q install -y --no-install-recommends "${missing[@]}" >/dev/null ||
        fail "apt-get install failed: correct what the messages above show, then run this again"
    keep_from_booting "${missing[@]}"
    prepare_nginx "${missing[@]}"
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

install_packages
scripts/setup.sh run
install_websockets
compile peer_lws -lwebsockets -ljansson -- bench/peers/peer_lws.c bench/peers/peer_ticks.c
