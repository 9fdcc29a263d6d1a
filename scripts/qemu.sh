#!/usr/bin/env bash
# Boots Debian's own kernel (6.1, the oldest that ringcast supports) in QEMU without acceleration. It
# runs the unit tests that depend on the kernel, and a server with a client that checks every frame.
#
#   scripts/qemu.sh
#
# The kernel comes from Debian's package, which is unpacked into .toolchain/qemu and not installed. The
# output of the machine is written to zig-out/qemu/console.log.
set -eu -o pipefail
cd "$(dirname "$0")/.."

home=$PWD/.toolchain/qemu
out=$PWD/zig-out/qemu
root=$out/root
unit_tests=(engine_uring listener frame_log publisher encodings log counters_file proc_usage)
seconds_max=900

fail() {
    printf 'qemu: %s\n' "$*" >&2
    exit 2
}

fetch_kernel() {
    local package
    package=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: //p' | head -1)
    [ -n "$package" ] || fail "apt knows no linux-image-amd64: run apt-get update"
    mkdir -p "$home"
    (cd "$home" && apt-get -qq -o APT::Sandbox::User=root download "$package" && dpkg-deb -x ./linux-image-*.deb kernel &&
        rm linux-image-*.deb) || fail "could not fetch $package: check the network"
}

# A program, and the libraries that it loads.
add() {
    install -D "$1" "$root/bin/$(basename "$1")"
    ldd "$1" | grep -oE '/[^ ]+' | while read -r library; do
        install -D "$library" "$root$library"
    done
}

make_root() {
    local program
    rm -rf "$root"
    mkdir -p "$root"/{bin,proc,sys,dev,tmp}
    install "$(command -v busybox)" "$root/bin/busybox"
    for program in "${unit_tests[@]}"; do add "zig-out/debug/tests/test_$program"; done
    add zig-out/bin/ringcast
    add zig-out/bin/ringcast-tap
    cat >"$root/init" <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir /dev/shm
mount -t tmpfs shm /dev/shm
ip link set lo up
judge() { [ \$? -eq 0 ] && echo "PASSED \$1" || echo "FAILED \$1"; }
uname -a
for name in ${unit_tests[*]}; do
    test_\$name
    judge \$name
done
ringcast --port 8765 --feed sim:symbols=20,rate=200 &
sleep 5
ringcast-tap --verify --connections 3 --types quote,trade --duration 10 ws://127.0.0.1:8765
judge server
kill -TERM \$!
wait \$!
judge end
poweroff -f
INIT
    chmod +x "$root/init"
    (cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) >"$out/initramfs.gz"
}

command -v qemu-system-x86_64 >/dev/null && command -v busybox >/dev/null && command -v cpio >/dev/null ||
    fail "QEMU, busybox and cpio are needed: scripts/setup.sh long installs them"
[ -x zig-out/debug/tests/test_engine_uring ] || fail "there is no zig-out/debug/tests/test_engine_uring: run zig build test first"
mkdir -p "$out"
[ -n "$(compgen -G "$home/kernel/boot/vmlinuz-*")" ] || fetch_kernel
make_root
timeout $seconds_max qemu-system-x86_64 -accel tcg -cpu max -smp 2 -m 2048 -nographic -no-reboot \
    -kernel "$home"/kernel/boot/vmlinuz-* -initrd "$out/initramfs.gz" \
    -append "console=ttyS0 quiet panic=-1" </dev/null >"$out/console.log" 2>&1 || true
tr -d '\r' <"$out/console.log" >"$out/console.txt"
passed=$(grep -c '^PASSED ' "$out/console.txt" || true)
failed=$((${#unit_tests[@]} + 2 - passed))
[ $failed -eq 0 ] || tail -100 "$out/console.txt"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
