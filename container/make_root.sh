#!/bin/sh
# Puts the files of the image into a folder: the program, the libraries that it loads, time zones, and
# what Debian's packages of these say about themselves. The Dockerfile runs it after `zig build`.
#
#   container/make_root.sh FOLDER
#
# All files have the time 0, so that two builds make the same layer.
set -eu

root=$1
program=zig-out/bin/ringcast
zones=/usr/share/zoneinfo

# The package of a file. A system with merged /usr knows some of its files without the /usr.
package_of() {
    { dpkg -S "$1" || dpkg -S "${1#/usr}" || dpkg -S "/usr$1"; } 2>/dev/null | sed 's/: .*//;s/:.*//;q'
}

# Scanners for known faults read status.d; the licences ask for the copyright.
describe() {
    dpkg-query --status "$1" >"$root/var/lib/dpkg/status.d/$1"
    cp -L --parents "/usr/share/doc/$1/copyright" "$root"
}

mkdir -p "$root/usr/bin" "$root/etc/ringcast" "$root/var/lib/dpkg/status.d" "$root/app/logs" \
    "$root/app/config" "$root/usr/share" "$root/tmp"
strip --strip-debug -o "$root/usr/bin/ringcast" $program
ln -s ringcast "$root/usr/bin/websocket-server"
cp container/ringcast.yaml "$root/etc/ringcast/"
echo 'root:x:0:0:root:/:/usr/sbin/nologin
ringcast:x:1000:1000:ringcast:/app:/usr/sbin/nologin' >"$root/etc/passwd"
echo 'root:x:0:
ringcast:x:1000:' >"$root/etc/group"

libraries=$(ldd $program | grep -o '/[^ ]*')
# shellcheck disable=SC2086 # They are several words.
cp -L --parents $libraries "$root"
cp -a "$zones" "$root/usr/share/"
rm -rf "$root$zones/right" # seconds with leap seconds
for file in $libraries "$zones/UTC"; do
    package_of "$file"
done | sort -u | while read -r package; do
    describe "$package"
done

chown -R 1000:1000 "$root/app"
chmod 1777 "$root/tmp"
find "$root" -exec touch -hd @0 {} +
