# To be sourced. Fetches Debian's packages and unpacks them without installing them. That needs no
# root and does not change this system. Packages come from the mirror that this system uses, and apt
# checks them with Debian's own key.

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

# keep_from_booting PACKAGE...: services of these packages, just installed, do not start at the next
# boot either. The caller sets as_root to the words that run a command as root.
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
