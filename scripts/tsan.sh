#!/usr/bin/env bash
# Compiles the server with gcc's ThreadSanitizer into DIR, beside the ordinary tools. (With zig's
# ThreadSanitizer it does not start.)
set -eu -o pipefail
out=${1:?usage: scripts/tsan.sh DIR}
mkdir -p "$out"
gcc -std=gnu11 -D_GNU_SOURCE -O1 -g -I. -Wall -Wextra -Wno-tsan -fsanitize=thread \
    $(find codec ring feeds src tools/common tools/ctl tools/insight -name '*.c' | sort) -o "$out/ringcast" \
    -luring -ljansson -lmicrohttpd -lssl -lcrypto -lyaml -lz -lzstd -lpthread -lm
ln -sf ../../bin/ringcast-tap ../../bin/ringcast-bench "$out"
