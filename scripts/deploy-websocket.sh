#!/usr/bin/env bash
# Deploys a server: builds the image, checks the configuration, starts, waits until it is ready, and
# verifies it. docs/deploy.md shows each step.
#
#   scripts/deploy-websocket.sh -e ENV -t TARGET deploy     what did not become ready is undone
#   scripts/deploy-websocket.sh -t TARGET health            is it ready?
#   scripts/deploy-websocket.sh -t TARGET rollback          back to what ran before the last deploy
#   scripts/deploy-websocket.sh -t TARGET cleanup           removes what deploy made; logs stay
#
#   -e ENV             profile: development, test or production; compose: also for rollback
#   -t TARGET          docker, compose or kubernetes
#   -c, --config PATH  docker: folder with ringcast.yaml, for /app/config; compose: file in place of
#                      docker-compose.websocket.yml; kubernetes: file in place of
#                      k8s/websocket-deployment.yaml
#   -i, --image NAME   docker, kubernetes: name of the image (websocket-server:latest); kubernetes: with
#                      a tag of its own
#       --no-build     the image exists: do not build it
#       --push         push the image to its registry
#       --timeout N    seconds to become ready (120)
#       --dry-run      print the commands, and change nothing
#   -h, --help         print this help
#
# Environment variables:
#   CONTAINER_ENGINE   docker or podman, perhaps with options (default: the first that answers)
#   COMPOSE            docker compose, docker-compose or podman-compose (the same)
#   RUN_OPTIONS        docker: further options of `docker run`
#   WEBSOCKET_PORT, ADMIN_PORT   docker: ports of this host (8765; 8080, on loopback only)
#
# Exit status: 0 done, 1 failed, 2 wrong usage or a missing program.
set -eu -o pipefail
export BUILDAH_FORMAT=docker # An image of podman's own format has no HEALTHCHECK.

name=websocket-server
namespace=websocket-system
environment='' target='' config='' image=$name:latest command='' timeout=120
build=yes push=no dry_run=no
engine=() compose=() run_options=()
port=${WEBSOCKET_PORT:-8765} admin_port=${ADMIN_PORT:-8080}

say() { printf 'deploy: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}
usage_error() {
    say "$*; see scripts/deploy-websocket.sh --help"
    exit 2
}

show() { printf '+%s\n' "$(printf ' %q' "$@")" >&2; }

# Prints a command and runs it. A dry run only prints it. What goes on in the background, such as a
# container of Podman, does not hold the lock.
run() {
    show "$@"
    [ $dry_run = yes ] || "$@" 9<&-
}

# One change at a time. The kernel frees the lock when the script ends.
take_lock() {
    exec 9<.
    flock -n 9 || fail "another deploy, rollback or cleanup runs: nothing was changed"
}

# on_signal UNDO: a signal, such as that of Ctrl-C, undoes what was begun.
on_signal() {
    # shellcheck disable=SC2064 # now
    trap "trap : INT TERM HUP; say 'a signal'; $1; exit 1" INT TERM HUP
}

# ---- What is there to work with ----

read_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
        -e | -t | -c | --config | -i | --image | --timeout)
            [ $# -gt 1 ] || usage_error "$1 needs a value"
            ;;&
        -e) environment=$2 && shift 2 ;;
        -t) target=$2 && shift 2 ;;
        -c | --config) config=$(realpath -e -- "$2" 2>/dev/null) || usage_error "$2 does not exist" && shift 2 ;;
        -i | --image) image=$2 && shift 2 ;;
        --timeout) timeout=$2 && shift 2 ;;
        --no-build) build=no && shift ;;
        --push) push=yes && shift ;;
        --dry-run) dry_run=yes && shift ;;
        -h | --help) sed -n '/^# Deploys/,/^set/s/^# \{0,1\}//p' "$0" && exit 0 ;;
        deploy | health | rollback | cleanup)
            [ -z "$command" ] || usage_error "two commands: $command and $1"
            command=$1 && shift
            ;;
        *) usage_error "unknown argument: $1" ;;
        esac
    done
}

check_arguments() {
    case $target in
    docker | compose | kubernetes) ;;
    '') usage_error "-t is missing: docker, compose or kubernetes" ;;
    *) usage_error "-t $target is not docker, compose or kubernetes" ;;
    esac
    [ -n "$command" ] || usage_error "what to do? deploy, health, rollback or cleanup"
    [[ $timeout =~ ^[0-9]+$ ]] || usage_error "--timeout is not a number: $timeout"
    case $environment in
    development | test | production) ;;
    '') [[ $command != deploy && $target:$command != compose:rollback ]] ||
        usage_error "-e is missing: development, test or production" ;;
    *) usage_error "-e $environment is not development, test or production" ;;
    esac
    [ "$target" != compose ] || [ "$image" = $name:latest ] || usage_error "-i: the compose file names the image"
    [ "$target:$command" != kubernetes:deploy ] || [[ $image =~ :[^/]+$ && $image != *:latest ]] ||
        usage_error "-i $image: pods start again when the name of the image changes; give a tag, such as ringcast:1.2.0"
}

# find_answering ARRAY WORD COMMAND...: puts the first command that knows this word into the array.
find_answering() {
    local -n found=$1
    local word=$2 candidate
    shift 2
    for candidate in "$@"; do
        read -ra found <<<"$candidate"
        if "${found[@]}" "$word" >/dev/null 2>&1; then
            return 0
        fi
    done
    return 1
}

check_dependencies() {
    local engines=(docker podman) composes=("docker compose" docker-compose podman-compose)
    [ -z "${CONTAINER_ENGINE:-}" ] || engines=("$CONTAINER_ENGINE")
    [ -z "${COMPOSE:-}" ] || composes=("$COMPOSE")
    if [ "$target" != kubernetes ] || [ "$command:$build" = deploy:yes ]; then
        find_answering engine info "${engines[@]}" ||
            usage_error "no container engine answers to \`info\`; tried: ${engines[*]}"
    fi
    if [ "$target" = compose ]; then
        find_answering compose version "${composes[@]}" || usage_error "no compose answers; tried: ${composes[*]}"
        compose+=(-f "${config:-docker-compose.websocket.yml}")
    fi
    if [ "$target" = kubernetes ]; then
        kubectl get --raw /readyz >/dev/null 2>&1 || usage_error "kubectl is not installed, or reaches no cluster"
    fi
    [ "$target" != docker ] || command -v curl >/dev/null || usage_error "curl is not installed"
    command -v flock >/dev/null || usage_error "flock is not installed"
}

# ---- The image ----

build_image() {
    if [ $build = yes ]; then
        run "${engine[@]}" build -t "$image" . || fail "the image was not built: nothing was changed"
    fi
    [ $push = no ] || run "${engine[@]}" push "$image" || fail "the image was not pushed: nothing was changed"
}

# check_in_image OPTION...: the program of the image reads the configuration.
check_in_image() {
    run "${engine[@]}" run --rm --network none "$@" --env "ENVIRONMENT=$environment" "$image" --check-config >&2 ||
        fail "the image or the configuration is not good: nothing was changed"
}

# until_ready COMMAND...: repeats it until it succeeds.
until_ready() {
    local end=$((SECONDS + timeout))
    [ $dry_run = no ] || end=0
    show "$@"
    [ $dry_run = yes ] || until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.5
    done
}

# ---- docker ----

container() { "${engine[@]}" container inspect "$1" >/dev/null 2>&1; }
set_run_options() {
    local seccomp=$PWD/container/seccomp.json
    read -ra run_options <<<"${RUN_OPTIONS:-}"
    run_options=(--read-only --cap-drop ALL --security-opt no-new-privileges --security-opt "seccomp=$seccomp"
        --ulimit nofile=65536:65536 --memory 4g --cpus 2
        --volume "$name-logs:/app/logs" --env RINGCAST_DUMP_DIR=/app/logs --env RINGCAST_ADMIN_HOST=0.0.0.0
        "${run_options[@]}")
    [ -z "$config" ] ||
        run_options+=(--volume "$config:/app/config:ro" --env RINGCAST_CONFIG=/app/config/ringcast.yaml)
}

docker_stop() { run "${engine[@]}" stop -t 30 "$1" >/dev/null; }

# A container, and its image if no other one uses it.
docker_remove() {
    local used
    container "$1" || return 0
    used=$("${engine[@]}" container inspect --format '{{.Image}}' "$1")
    run "${engine[@]}" rm --force --volumes "$1" >/dev/null
    run "${engine[@]}" rmi "$used" >/dev/null 2>&1 || true
}

# Until the new server is ready, the one that it replaces has the name $name-replaced.
docker_undo() {
    container $name-replaced || return 0
    docker_remove $name
    run "${engine[@]}" rename $name-replaced $name
    run "${engine[@]}" start $name >/dev/null
    say "the server before runs again"
}

docker_set_aside() {
    container $name || return 0
    run "${engine[@]}" rename $name $name-replaced
    docker_stop $name-replaced
}

docker_start() {
    run "${engine[@]}" run --detach --name $name --restart unless-stopped --stop-timeout 30 \
        --publish "$port:8765" --publish "127.0.0.1:$admin_port:8080" "${run_options[@]}" \
        --env "ENVIRONMENT=$environment" "$image" >/dev/null && docker_ready
}

docker_deploy() {
    set_run_options
    build_image
    check_in_image "${run_options[@]}"
    docker_undo # of a deploy that was killed
    on_signal docker_undo
    docker_set_aside
    docker_start || {
        "${engine[@]}" logs --tail 20 $name >&2 || true
        docker_remove $name
        docker_undo
        fail "the new server did not become ready"
    }
    trap - INT TERM HUP
    if container $name-replaced; then
        docker_remove $name-previous
        run "${engine[@]}" rename $name-replaced $name-previous
    fi
}

docker_health() { run "${engine[@]}" exec $name ringcast health --ready; }
docker_ready() { until_ready "${engine[@]}" exec $name ringcast health --ready && can_connect; }
docker_verify() { run "${engine[@]}" exec $name ringcast ctl stats; }

# A client from outside: a handshake at the port that is published. A list of addresses may refuse it.
can_connect() {
    local answer
    printf "+ a handshake at port %s\n" "$port" >&2
    [ $dry_run = no ] || return 0
    answer=$(curl -s -i -N -m 10 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
        -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' "http://127.0.0.1:$port/" 2>/dev/null | head -1 | tr -d '\r') || true
    case $answer in
    "HTTP/1.1 101 "* | "HTTP/1.1 403 "*) ;;
    *) say "port $port answers: ${answer:-nothing}" && return 1 ;;
    esac
}

docker_rollback() {
    docker_undo
    container $name-previous || fail "there is no server before this one"
    on_signal docker_undo
    docker_set_aside
    trap - INT TERM HUP
    run "${engine[@]}" rename $name-previous $name
    ! container $name-replaced || run "${engine[@]}" rename $name-replaced $name-previous
    run "${engine[@]}" start $name >/dev/null
    docker_ready || fail "the server before did not become ready"
}

docker_cleanup() {
    local it
    for it in $name $name-replaced $name-previous; do
        ! container "$it" || docker_stop "$it"
        docker_remove "$it"
    done
    say "the volume $name-logs stays"
}

# ---- compose ----

previous=$name:previous
service=websocket-server-1

image_id() { "${engine[@]}" image inspect --format '{{.Id}}' "$image" 2>/dev/null || true; }

compose_deploy() {
    local before undo=:
    export ENVIRONMENT=$environment
    run "${compose[@]}" config --quiet || fail "the compose file is not good: nothing was changed"
    before=$(image_id)
    build_image
    if [ -n "$before" ] && [ "$before" != "$(image_id)" ]; then
        run "${engine[@]}" tag "$before" $previous
        undo=compose_rollback
    fi
    on_signal $undo
    if run "${compose[@]}" up --detach --no-build --remove-orphans && compose_ready; then
        trap - INT TERM HUP
        return 0
    fi
    "${compose[@]}" logs --tail 20 $service >&2 || true
    $undo
    fail "the new server did not become ready"
}

compose_health() { run "${compose[@]}" exec -T $service ringcast health --ready; }
compose_ready() { until_ready "${compose[@]}" exec -T $service ringcast health --ready; }
compose_verify() { run "${compose[@]}" exec -T $service ringcast ctl stats; }

compose_rollback() {
    export ENVIRONMENT=$environment
    "${engine[@]}" image inspect $previous >/dev/null 2>&1 || fail "there is no image before this one"
    run "${engine[@]}" tag "$image" $name:rollback
    run "${engine[@]}" tag $previous "$image"
    run "${engine[@]}" tag $name:rollback $previous
    run "${engine[@]}" rmi $name:rollback >/dev/null
    run "${compose[@]}" up --detach --no-build
    compose_ready || fail "the image before did not become ready"
    say "the image before runs again"
}

compose_cleanup() {
    local it
    run "${compose[@]}" down --remove-orphans
    for it in "$image" $previous; do
        ! "${engine[@]}" image inspect "$it" >/dev/null 2>&1 || run "${engine[@]}" rmi "$it" >/dev/null
    done
    say "volumes stay"
}

# ---- kubernetes ----

# of_manifest FILE: the text of a file in the ConfigMap or the Secret.
of_manifest() {
    awk -v key="  $1: |" '$0 == key {on = 1; next} on && /^(    |$)/ {print substr($0, 5); next} {on = 0}' "$manifest"
}

kubernetes_check() (
    folder=$(mktemp -d)
    trap 'rm -r "$folder"' EXIT
    of_manifest ringcast.yaml | sed 's|/app/secrets/|/app/config/|' >"$folder/ringcast.yaml"
    of_manifest tokens.json >"$folder/tokens.json"
    # As root, because nobody else may read this folder.
    check_in_image --user 0 --volume "$folder:/app/config:ro" --env RINGCAST_CONFIG=/app/config/ringcast.yaml
)

# The manifest with the image and the profile of this deployment.
render() {
    sed -e "s|^\( *image: \)websocket-server:latest$|\1$image|" \
        -e "/- name: ENVIRONMENT/{n;s|value: .*|value: $environment|}" "$manifest"
}

kubernetes_deploy() {
    local keep=()
    build_image
    [ $build = no ] || kubernetes_check
    kubectl apply --dry-run=client -f - >/dev/null < <(render) || fail "the manifest is not good: nothing was changed"
    # Tokens that were set in the cluster stay.
    ! kubectl -n $namespace get secret websocket-tokens >/dev/null 2>&1 || keep=(-l 'ringcast/keep!=yes')
    run kubectl apply "${keep[@]}" -f - < <(render)
    on_signal kubernetes_undo
    if kubernetes_ready; then
        trap - INT TERM HUP
        return 0
    fi
    kubectl -n $namespace get pods >&2 || true
    kubernetes_undo
    fail "the new pods did not become ready"
}

kubernetes_undo() {
    run kubectl -n $namespace rollout undo deployment/$name || fail "there are no pods before these"
    ! kubernetes_ready || say "the pods before run again"
}

kubernetes_ready() { run kubectl -n $namespace rollout status deployment/$name --timeout="${timeout}s"; }
kubernetes_health() {
    run kubectl -n $namespace wait deployment/$name --for=condition=Available --timeout=5s &&
        run kubectl -n $namespace exec deployment/$name -- ringcast health --ready
}
kubernetes_verify() {
    run kubectl -n $namespace get deployment,pods,service,hpa &&
        run kubectl -n $namespace exec deployment/$name -- ringcast ctl stats
}

kubernetes_rollback() {
    run kubectl -n $namespace rollout undo deployment/$name
    kubernetes_ready || fail "the pods before did not become ready"
}

kubernetes_cleanup() { run kubectl delete --ignore-not-found -f "$manifest"; }

read_arguments "$@"
check_arguments
cd "$(dirname "$0")/.."
manifest=${config:-k8s/websocket-deployment.yaml}
check_dependencies
[ "$command" = health ] || [ $dry_run = yes ] || take_lock
case $command in
deploy | rollback)
    "${target}_$command"
    "${target}_verify" || fail "the server does not answer"
    say "$command is done"
    ;;
health) "${target}_health" || fail "the server is not ready" ;;
cleanup) "${target}_cleanup" ;;
esac
