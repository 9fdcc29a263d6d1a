#!/usr/bin/env bash
# Prints the facts with which the search for a fault begins, without secrets: program, health,
# statistics, what `ringcast doctor` finds, limits, kernel, cgroup, ports, the end of the log. It
# changes nothing. A part that is missing is reported, and the others follow. Names and addresses of
# clients are in it.
#
#   scripts/diagnose.sh > report.txt            the only server of this host
#   scripts/diagnose.sh --pid PID               one of several
#   scripts/diagnose.sh --container NAME        in a container of Docker or Podman
#   scripts/diagnose.sh --exec 'kubectl -n websocket-system exec deployment/websocket-server --'
#                                               where this command reaches the program
#
#   --log-lines N    lines of the log (50)
#   -h, --help       print this help
#
# CONTAINER_ENGINE is docker or podman, perhaps with options (default: the first that has the container).
#
# Exit status: 0 the server answered, 1 it did not, 2 wrong usage.
set -u

pid='' container='' log_lines=50 program=ringcast
reach=() engine=()

usage_error() {
    echo "diagnose: $*; see scripts/diagnose.sh --help" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --pid | --container | --exec | --log-lines) [ $# -gt 1 ] || usage_error "$1 needs a value" ;;&
    --pid) pid=$2 && shift 2 ;;
    --container) container=$2 && shift 2 ;;
    --exec) read -ra reach <<<"$2" && shift 2 ;;
    --log-lines) log_lines=$2 && shift 2 ;;
    -h | --help) sed -n '/^# Prints/,/^set/s/^# \{0,1\}//p' "$0" && exit 0 ;;
    *) usage_error "unknown argument: $1" ;;
    esac
done
[[ $pid =~ ^[0-9]*$ ]] || usage_error "--pid is not a number: $pid"
[[ $log_lines =~ ^[0-9]+$ ]] || usage_error "--log-lines is not a number: $log_lines"

# Values of tokens, secrets and passwords, wherever they are.
redact() {
    sed -E -e 's/(eyJ[A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*/***/g' \
        -e 's/^(([A-Z_]*(TOKEN|SECRET|PASSWORD))=).*/\1***/' \
        -e 's/((token|secret|password|authorization)"?[=:] *"?)(Bearer +)?[^] ",&}]+/\1***/Ig' \
        -e 's/(Bearer +)[^ "]+/\1***/Ig' -e 's#://[^/ ]+@#://***@#g'
}

part() { printf '\n== %s\n' "$*"; }

# A command and what it prints.
try() {
    printf '$ %s\n' "$*"
    "$@" 2>&1 || echo "(ended with $?)"
}

# The values of files, of those that exist.
values() {
    local file
    for file in "$@"; do
        [ ! -r "$file" ] || printf '%s: %s\n' "$file" "$(tr '\0\n' '  ' <"$file" 2>&1)"
    done
}

# The command line of the process. A secret may have any characters.
command_line() {
    tr '\0\n' '\n ' <"/proc/$pid/cmdline" | sed -E -e '/^--[a-z-]*(token|secret|password)$/{n;s/.*/***/}' \
        -e 's/^(--[a-z-]*(token|secret|password)=).*/\1***/' | tr '\n' ' '
    echo
}

ask() { try "${reach[@]}" "$program" "$@" "${which[@]}"; }

find_server() {
    local candidate
    if [ -n "$container" ]; then
        for candidate in "${CONTAINER_ENGINE:-docker}" "${CONTAINER_ENGINE:-podman}"; do
            read -ra engine <<<"$candidate"
            pid=$("${engine[@]}" container inspect -f '{{.State.Pid}}' "$container" 2>/dev/null) && break
        done
        [[ $pid =~ ^[1-9][0-9]*$ ]] || usage_error "no container $container runs"
        reach=("${engine[@]}" exec "$container")
    fi
    which=()
    if [ ${#reach[@]} -eq 0 ]; then
        [ -n "$pid" ] || pid=$(pgrep -x -n ringcast) # the newest
        [ -z "$pid" ] || which=(--pid "$pid")
        # A program that is in no folder of PATH is that of the process.
        command -v ringcast >/dev/null || [ -z "$pid" ] || program=/proc/$pid/exe
    fi
}

machine() {
    part machine
    try date -u +%FT%TZ
    try uname -srvm
    values /proc/loadavg /proc/sys/kernel/osrelease
    grep -E '^(PRETTY_NAME)=' /etc/os-release 2>/dev/null
    grep -E '^(MemTotal|MemAvailable|Shmem):' /proc/meminfo
    try nproc
    try df -h /dev/shm /tmp
    part "kernel: what io_uring and many connections need"
    values /proc/sys/kernel/io_uring_disabled /proc/sys/kernel/io_uring_group \
        /proc/sys/net/core/{r,w}mem_max /proc/sys/net/ipv4/tcp_{r,w}mem \
        /proc/sys/net/ipv4/tcp_mem /proc/sys/fs/file-nr /proc/sys/kernel/{pid,threads}-max \
        /proc/sys/net/core/{somaxconn,netdev_max_backlog} /proc/sys/net/ipv4/tcp_max_syn_backlog
}

server() {
    part program
    try "${reach[@]}" "$program" --version
    part health
    ask health
    ask health --ready
    part statistics
    local it
    for it in stats feeds alerts topk "clients --sort lag --limit 10" config; do
        # shellcheck disable=SC2086 # words of a command
        ask ctl $it
    done
    part doctor
    ask doctor --verbose
}

process() {
    part "process $pid"
    command_line
    values "/proc/$pid/oom_score"
    tr '\0\n' '\n ' <"/proc/$pid/environ" 2>/dev/null | grep -E '^(RINGCAST_|WEBSOCKET_|MAX_|LOG_LEVEL|ENVIRONMENT)'
    grep -E '^(Max (open files|locked memory|processes|file size|address space))' "/proc/$pid/limits"
    grep -E '^(State|Vm(RSS|Size|Lck)|RssShmem|Threads|Cpus_allowed_list|Seccomp|NoNewPrivs|CapEff|Uid):?' "/proc/$pid/status"
    try ps -L -o tid,comm,stat,psr,pcpu,wchan -p "$pid"
    echo "open files: $(find "/proc/$pid/fd" 2>/dev/null | wc -l)"
}

# Of version 2, or of the controllers of version 1.
cgroup() {
    part cgroup
    local line controllers path folder
    while IFS= read -r line; do
        IFS=: read -r _ controllers path <<<"$line"
        case $controllers in
        '') folder=/sys/fs/cgroup$path ;;
        memory | pids) folder=/sys/fs/cgroup/$controllers$path ;;
        *cpu,* | *,cpu | cpu) folder=/sys/fs/cgroup/$controllers$path ;;
        *) continue ;;
        esac
        values "$folder"/{memory.{max,high,current,events,pressure},cpu.{max,stat,pressure},pids.{max,current}} \
            "$folder"/{memory.{limit_in_bytes,usage_in_bytes,failcnt,oom_control},cpu.cfs_{quota,period}_us}
    done <"/proc/$pid/cgroup"
}

ports() {
    part ports
    local ss=(ss -Hltnp)
    [ -z "$container" ] || ss=(nsenter -t "$pid" -n "${ss[@]}")
    printf '$ %s\n' "${ss[*]}"
    "${ss[@]}" 2>&1 | grep -E "pid=$pid,|:(8765|8080|9090) |ss:|nsenter:|not found"
}

log() {
    part "log: its last $log_lines lines"
    local file
    file=$("${reach[@]}" "$program" ctl config --json "${which[@]}" 2>/dev/null | jq -r '.logging.file // empty' 2>/dev/null)
    if [ -n "$file" ] && [ -f "/proc/${pid:-none}/cwd/$file" ]; then
        try tail -n "$log_lines" "/proc/$pid/cwd/$file"
    elif [ -n "$file" ] && [ -f "/proc/${pid:-none}/root/$file" ]; then
        try tail -n "$log_lines" "/proc/$pid/root/$file"
    elif [ -n "$container" ]; then
        try "${engine[@]}" logs --tail "$log_lines" "$container"
    elif [ -n "$pid" ] && [ -f "/proc/$pid/fd/2" ]; then
        try tail -n "$log_lines" "/proc/$pid/fd/2"
    elif [ -n "$pid" ] && command -v journalctl >/dev/null; then
        try journalctl -q --no-pager -n "$log_lines" "_PID=$pid"
    else
        echo "(ask where the server runs, such as kubectl logs)"
    fi
}

find_server
{
    machine
    server
    if [ -n "$pid" ] && [ ! -d "/proc/$pid" ]; then
        part "process $pid"
        echo "(it has ended)"
    elif [ -n "$pid" ]; then
        process
        cgroup
        ports
    fi
    log
} 2>&1 | redact
"${reach[@]}" "$program" health "${which[@]}" >/dev/null 2>&1 || exit 1
