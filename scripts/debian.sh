# To be sourced by a script that has say MESSAGE and fail MESSAGE. Installs Debian's packages, or
# fetches and unpacks them without installing them. The latter needs no root and does not change this
# system. Packages come from the mirror that this system uses, and apt checks them with Debian's own
# key.

# fetch_debian SUITE ARCHITECTURE PACKAGE...: downloads them into the current folder.
fetch_debian() {
    local suite=$1 architecture=$2 mirror apt
    shift 2
    mirror=$(grep -rhoE 'https?://[^ ]*/debian/?( |$)' /etc/apt/sources.list \
        /etc/apt/sources.list.d 2>/dev/null | head -1 | tr -d ' ') || true
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
        "${mirror:-http://deb.debian.org/debian} $suite main" >sources.list
    apt=(-qq -o "APT::Architecture=$architecture" -o "APT::Architectures::=$architecture"
        -o "Dir::Etc::sourcelist=$PWD/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State=$PWD/state" -o "Dir::State::status=$PWD/state/status"
        -o "Dir::Cache=$PWD/cache" -o APT::Sandbox::User=root
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
        -o Acquire::Retries=0 -o Acquire::http::Timeout=10)
    mkdir -p state/lists/partial cache/archives/partial
    touch state/status
    apt-get "${apt[@]}" --error-on=any update && apt-get "${apt[@]}" download "$@" || return 1
    rm -rf state cache sources.list
}

# unpack_debian FROM TO: unpacks all packages of one folder into another.
unpack_debian() {
    local package
    for package in "$1"/*.deb; do
        dpkg-deb -x "$package" "$2" || return 1
    done
}

# Those of the packages that are not installed, a line each.
missing_packages() {
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            echo "$package"
    done
}

# install_packages PURPOSE PACKAGE...: installs those that are missing. Their services do not run.
install_packages() {
    local purpose=$1 missing as_root=()
    shift
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        fail "there is no apt-get on this system: install what these Debian packages have: ${missing[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "this needs root, and there is no sudo: ask an administrator to run
    apt-get install -y --no-install-recommends ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing the missing Debian packages to $purpose: ${missing[*]}"
    "${as_root[@]}" apt-get -q update >/dev/null ||
        fail "apt-get update failed: check the network and /etc/apt/sources.list"
    # RUNLEVEL keeps packages (prometheus, nginx) from starting services.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get -q install -y --no-install-recommends "${missing[@]}" >/dev/null ||
        fail "apt-get install failed: correct what the messages above show, then run this again"
    keep_from_booting "${missing[@]}"
    prepare_nginx "${missing[@]}"
}

# keep_from_booting PACKAGE...: services of these packages, just installed, do not start at the next
# boot either. as_root: the words that run a command as root.
keep_from_booting() {
    local package
    command -v systemctl >/dev/null || return 0
    for package in "$@"; do
        case $package in
        mosquitto | nats-server | nginx | prometheus)
            "${as_root[@]}" systemctl --quiet disable "$package" 2>/dev/null || true
            ;;
        esac
    done
}

# prepare_nginx PACKAGE...: makes the folder that nginx makes when root starts it for the first time.
# With nchan it needs that folder, wherever its configuration puts temporary files.
prepare_nginx() {
    case " $* " in
    *" libnginx-mod-nchan "*)
        "${as_root[@]}" install -d -o www-data -g root -m 700 /var/lib/nginx/body
        ;;
    esac
}
