#!/usr/bin/env bash
# Runs the Autobahn test suite's fuzzing client against ringcast-echo. It fails unless every case is OK
# or INFORMATIONAL: NON-STRICT is a failure, and so is a server that does not offer compression.
#
#   scripts/autobahn.sh [--tls] [CASE...]   all 517 cases (a quarter of an hour), or those named: 1.* 6.4.1;
#                                           --tls: by wss, with a certificate of its own
#   scripts/autobahn.sh --set-up            only installs the suite if it is missing
#
# The report is written to zig-out/autobahn. The suite needs Python 2.7, which Debian 12 does not have.
# The first run unpacks Debian 11's packages of it, without installing them, and the pinned suite from
# PyPI into .toolchain/autobahn (95 MB, half a minute). AUTOBAHN_URL names another server.
set -eu -o pipefail
cd "$(dirname "$0")/.."
. scripts/debian.sh

home=$PWD/.toolchain/autobahn
out=$PWD/zig-out/autobahn
python=(python2.7 python2.7-minimal libpython2.7-minimal libpython2.7-stdlib libpython2.7-dev
    libffi7 libssl1.1)
tools=(pip==20.3.4 setuptools==44.1.1 wheel==0.37.1)
needed=(
    Automat==20.2.0 PyHamcrest==1.10.1 attrs==21.4.0 cffi==1.15.1 constantly==15.1.0
    cryptography==3.3.2 enum34==1.1.10 hyperlink==21.0.0 idna==2.10 incremental==21.3.0
    ipaddress==1.0.23 jinja2==2.11.3 klein==20.6.0 markupsafe==1.1.1 pyasn1==0.5.1
    pyasn1-modules==0.3.0 pycparser==2.21 pyopenssl==21.0.0 service-identity==21.1.0 six==1.16.0
    argparse==1.4.0 linecache2==1.0.0 traceback2==1.4.0 tubes==0.2.1 typing==3.10.0.0
    unittest2==1.1.0 Werkzeug==1.0.1 zope.interface==5.4.0
)

say() { printf 'autobahn: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 2
}

python2() {
    LD_LIBRARY_PATH=$home/root/usr/lib/$(uname -m)-linux-gnu PYTHONHOME=$home/root/usr \
        PYTHONPATH=$home/site PYTHONWARNINGS=ignore "$home/root/usr/bin/python2.7" "$@"
}

install_suite() {
    python3 -m pip download -q --no-deps --disable-pip-version-check "${tools[@]}"
    python2 pip-20.3.4-py2.py3-none-any.whl/pip install -q --no-index --find-links . --target site \
        pip setuptools wheel
    python2 -m pip install -q --target site --no-deps --prefer-binary "${needed[@]}"
    # The suite asks for this very autobahn, whose only distribution is its source.
    python2 -m pip install -q --target site --no-deps --no-binary :all: autobahn==0.10.9 \
        txaio==2.1.0
    # It has put a folder where Twisted belongs, which is therefore replaced.
    python2 -m pip install -q --target site --no-deps --upgrade autobahntestsuite==0.8.2 \
        Twisted==20.3.0
    touch site/zope/__init__.py
    # Masks and UTF-8 in C, without which the suite is several times slower than what it tests.
    python2 -m pip download -q --no-deps --no-binary :all: wsaccel==0.6.2
    tar xzf wsaccel-0.6.2.tar.gz
    for module in utf8validator xormask; do
        gcc -w -O2 -shared -fPIC -fno-strict-aliasing -Iroot/usr/include/python2.7 -Iroot/usr/include \
            "wsaccel-0.6.2/wsaccel/$module.c" -o "wsaccel-0.6.2/wsaccel/$module.so"
    done
    mv wsaccel-0.6.2/wsaccel site/
}

set_up() {
    rm -rf "$home"
    mkdir -p "$home"
    cd "$home"
    fetch_debian bullseye "$(dpkg --print-architecture)" "${python[@]}"
    unpack_debian . root
    install_suite
    rm -rf wsaccel-* ./*.deb ./*.whl
    touch complete
}

if [ ! -e "$home/complete" ]; then
    command -v apt-get >/dev/null || fail "apt-get is needed: Python 2.7 comes from Debian's packages"
    command -v gcc >/dev/null || fail "gcc is needed: scripts/setup.sh test installs it"
    say "installing the Autobahn suite and a Python 2.7 for it into .toolchain/autobahn"
    mkdir -p "$out"
    # Not behind `||`: there bash would ignore -e and take a failed set-up for a complete one.
    set +e
    (set -e; set_up) >"$out/setup.log" 2>&1
    status=$?
    set -e
    [ $status -eq 0 ] || {
        tail -20 "$out/setup.log" >&2
        fail "the set-up failed, see above and $out/setup.log: check the network"
    }
fi

[ "${1:-}" != --set-up ] || exit 0

mkdir -p "$out"
options=()
if [ "${1:-}" = --tls ]; then
    shift
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 7 -subj /CN=localhost \
        -keyout "$out/key.pem" -out "$out/certificate.pem" 2>/dev/null || fail "openssl made no certificate"
    options=(--tls-certificate "$out/certificate.pem,$out/key.pem")
fi

url=${AUTOBAHN_URL:-}
if [ -z "$url" ]; then
    [ -x zig-out/bin/ringcast-echo ] || fail "there is no zig-out/bin/ringcast-echo: run zig build first"
    zig-out/bin/ringcast-echo --port 0 "${options[@]}" 2>"$out/echo.log" &
    echo_pid=$!
    trap 'kill "$echo_pid" 2>/dev/null || true' EXIT
    for _ in $(seq 600); do
        url=$(grep -oE 'wss?://[^ ]+' "$out/echo.log" || true)
        [ -z "$url" ] || break
        sleep 0.05
    done
    [ -n "$url" ] || fail "ringcast-echo did not start: $(cat "$out/echo.log")"
fi

rm -rf "$out"/report*
[ $# -gt 0 ] || set -- '*'

# run_cases DIR CASE...
run_cases() {
    local dir=$1 cases
    shift
    cases=$(printf ', "%s"' "$@")
    mkdir -p "$dir"
    cat >"$out/spec.json" <<JSON
{"outdir": "$dir", "servers": [{"agent": "ringcast", "url": "$url"}],
 "cases": [${cases:2}], "exclude-cases": [], "exclude-agent-cases": {}}
JSON
    say "running the cases ${cases:2} against $url"
    python2 -c 'from autobahntestsuite.wstest import run; run()' -m fuzzingclient \
        -s "$out/spec.json" >"$out/wstest.log" 2>&1 || {
        tail -5 "$out/wstest.log" >&2
        fail "the suite itself failed, see $out/wstest.log"
    }
}

reports=("$out/report/index.json")
run_cases "$out/report" "$@"
# The suite waits a second for each answer, and a busy machine may stop the server for that long. So
# failed cases are run twice more. A fault of the server fails each time.
for again in 2 3; do
    short=$(python3 scripts/autobahn_report.py --short "${reports[@]}")
    [ -n "$short" ] || break
    # shellcheck disable=SC2086
    run_cases "$out/report$again" $short
    reports+=("$out/report$again/index.json")
done
python3 scripts/autobahn_report.py "${reports[@]}"
