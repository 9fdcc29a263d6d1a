#!/usr/bin/env bash
# Compiles the unit tests with gcc's AddressSanitizer (zig's clang has none) into DIR/tests. GCC_FLAGS are flags in
# place of the sanitizers' (scripts/coverage.py).
set -eu -o pipefail
out=${1:?usage: scripts/asan.sh DIR}
read -r -a chosen <<<"${GCC_FLAGS:--fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer}"
flags=(-std=gnu11 -D_GNU_SOURCE -O1 -g -I. -Itests -Wall -Wextra -Wno-tsan "${chosen[@]}")
libraries=(-luring -ljansson -lmicrohttpd -lssl -lcrypto -lyaml -lz -lzstd -lcmocka -lpthread -lm)
mkdir -p "$out/objects" "$out/tests"

# An object is compiled again if its source or any header is newer.
headers=$(find codec ring feeds libringcast src tools bench tests \( -name '*.h' -o -name '*.xml' \) \
    -newer "$out/objects/stamp" -print -quit 2>/dev/null || echo none yet)
compile() {
    local object=$out/objects/${1//\//_}.o
    if [ -n "$headers" ] || [ ! "$object" -nt "$1" ]; then
        gcc "${flags[@]}" -c "$1" -o "$object"
    fi
}
export -f compile
export out headers
export flags_text="${flags[*]}"
sources=$({
    find codec ring feeds libringcast src tools -name '*.c'
    printf '%s\n' tests/sim_*.c tests/session_double.c
} | grep -v -E '/(main|tap_main|bench_main|echo_main|sim_core|sim_system)\.c$')
# A source that was renamed must not leave its old object in the archives.
find "$out/objects" -name '*.o' -printf '%f\n' |
    { grep -v -x -F -f <(sed 's|/|_|g; s|$|.o|' <<<"$sources") || true; } |
    sed "s|^|$out/objects/|" | xargs -r rm
xargs -P "$(nproc)" -I{} bash -c 'flags=($flags_text); compile {}' <<<"$sources"
touch "$out/objects/stamp"

rm -f "$out"/*.a
ar rcs "$out/ring.a" "$out"/objects/ring_*.o
ar rcs "$out/board.a" "$out"/objects/ring_board_*.o
ar rcs "$out/others.a" "$out"/objects/{codec,feeds,libringcast,src,tools}_*.o
for source in tests/test_*.c tests/sim_core.c tests/sim_system.c; do
    program=$out/tests/$(basename "$source" .c)
    others=("$out/others.a" "$out/ring.a" "$out/others.a")
    extra=()
    case $source in
    tests/test_board_follower.c) extra=(tests/log_follower.c) ;;
    tests/test_session*.c | tests/test_roll_part.c)
        others=("$out"/objects/tests_session_double.c.o "$out/others.a" "$out/board.a")
        ;;
    tests/sim_core.c) extra=("$out"/objects/tests_sim_{clients,engine,flood,tls}.c.o) ;;
    tests/sim_system.c)
        extra=("$out"/objects/tests_sim_{log,memory,threads,ticks,engine,requests,subscriber,tls}.c.o)
        ;;
    esac
    echo "gcc ${flags[*]} $source ${extra[*]:-} ${others[*]} ${libraries[*]} -o $program"
done | xargs -P "$(nproc)" -I{} bash -c '{}'
