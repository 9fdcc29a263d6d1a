#!/usr/bin/env bash
# Makes two Debian packages: ringcast, and ringcast-dbgsym with its debug symbols. `zig build deb`
# calls it with a folder that has what belongs below /usr.
#
#   packaging/debian/build.sh x86_64|aarch64 FOLDER OUTPUT
#
# The same sources give the same bytes. Times of files are SOURCE_DATE_EPOCH (default: the newest
# commit). DEBFULLNAME and DEBEMAIL name the maintainer.
set -eu -o pipefail
umask 022
cd "$(dirname "$0")/../.."
here=packaging/debian

fail() {
    echo "deb: $*" >&2
    exit 1
}

[ $# -eq 3 ] || fail "usage: packaging/debian/build.sh x86_64|aarch64 FOLDER OUTPUT; zig build deb calls it"
for tool in dpkg-deb dpkg-shlibdeps ar objcopy strip; do
    command -v $tool >/dev/null || fail "there is no $tool: apt install dpkg-dev"
done
declare -A architectures=([x86_64]=amd64 [aarch64]=arm64)
architecture=${architectures[$1]:-$1}
[ "$architecture" = "$(dpkg --print-architecture)" ] ||
    fail "the programs are for $architecture: make their package on a machine of that architecture"
version=$(sed -nE 's/^#define RINGCAST_VERSION "(.+)"/\1-1/p' codec/base/version.h)
maintainer="${DEBFULLNAME:-ringcast maintainers} <${DEBEMAIL:-maintainers@ringcast.invalid}>"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export SOURCE_DATE_EPOCH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
main=$work/ringcast symbols=$work/ringcast-dbgsym
docs=$main/usr/share/doc/ringcast

# put FILE NAME: a file of the package.
put() {
    install -D -m 644 "$1" "$main/$2"
}

copy_files() {
    mkdir "$main"
    cp -R "$2" "$main/usr"
    find "$main" -type f -exec chmod 644 {} +
    find "$main" -type d -exec chmod 755 {} +
    chmod 755 "$main"/usr/bin/*
    mv "$main"/usr/share/zsh/{site-functions,vendor-completions}
    put docs/ringcast.yaml etc/ringcast/ringcast.yaml
    put packaging/ringcast.logrotate etc/logrotate.d/ringcast
    put packaging/ringcast.limits etc/security/limits.d/ringcast.conf
    put $here/copyright usr/share/doc/ringcast/copyright
    put $here/lintian-overrides usr/share/lintian/overrides/ringcast
    python3 packaging/sbom.py "$docs/ringcast.cdx.json" "$main"/usr/bin/*
    # The package has them under other names, or dpkg has what they say.
    rm "$main"/usr/share/ringcast/{files,ringcast.logrotate,ringcast.limits} "$docs"/LICENSE
    rmdir --ignore-fail-on-non-empty "$main/usr/share/ringcast"
    mv "$docs/CHANGELOG.md" "$docs/changelog"
    cat >"$docs/changelog.Debian" <<END
ringcast ($version) unstable; urgency=medium

  * /usr/share/doc/ringcast/changelog.gz lists what is new.

 -- $maintainer  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
END
    gzip -9n "$docs"/changelog* "$main"/usr/share/man/man?/*
}

# The programs keep their probes; gdb finds the symbols by the build ID.
move_symbols() {
    local program id file
    for program in "$main"/usr/bin/*; do
        id=$(readelf -n "$program" | sed -nE 's/^ *Build ID: //p')
        [ -n "$id" ] || fail "$program has no build ID"
        file=$symbols/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug
        mkdir -p "$(dirname "$file")"
        objcopy --only-keep-debug --compress-debug-sections "$program" "$file"
        chmod 644 "$file"
        strip --strip-unneeded --remove-section=.comment "$program"
        build_ids+=("$id")
    done
    mkdir -p "$symbols/usr/share/doc"
    ln -s ringcast "$symbols/usr/share/doc/ringcast-dbgsym"
}

# The objects in the library are named after the folder of the checkout, by Zig's cache.
rename_objects() {
    local library=$main/usr/lib/libringcast_publish.a object
    mkdir "$work/objects"
    for object in $(ar t "$library"); do
        ar pP "$library" "$object" >"$work/objects/$(basename "$object")"
    done
    rm "$library"
    ar rcsD "$library" "$work"/objects/*.o
}

libraries() {
    mkdir "$work/debian"
    printf 'Source: ringcast\n\nPackage: ringcast\nArchitecture: any\n' >"$work/debian/control"
    (cd "$work" && dpkg-shlibdeps -O ringcast/usr/bin/*) | sed -n 's/^shlibs:Depends=//p'
}

# control FOLDER DEPENDS LINE...: the control file of a package, from its template.
control() {
    local folder=$1 name size
    name=$(basename "$folder")
    size=$(find "$folder" -type f -printf '%s\n' | awk '{ sum += int(($1 + 1023) / 1024) } END { print sum }')
    mkdir "$folder/DEBIAN"
    sed -e "s|@version@|$version|; s|@architecture@|$architecture|; s|@maintainer@|$maintainer|" \
        -e "s|@size@|$size|; s|@libraries@|$2|; s|@build_ids@|${build_ids[*]}|" \
        "$here/$name.control" >"$folder/DEBIAN/control"
    (cd "$folder" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$folder/DEBIAN/md5sums"
}

make_package() {
    find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --root-owner-group --threads-max=1 -Zxz --build "$1" \
        "$out/$(basename "$1")_${version}_$architecture.deb"
}

build_ids=()
out=$3
rm -rf "$out"
mkdir -p "$out"
copy_files "$@"
move_symbols
rename_objects
control "$main" "$(libraries)"
control "$symbols" ''
(cd "$main" && find etc -type f -printf '/%p\n' | LC_ALL=C sort) >"$main/DEBIAN/conffiles"
units=$(cd "$main/usr/lib/systemd/system" && echo *)
for script in postinst prerm postrm; do
    sed "s|@units@|$units|" "$here/$script" >"$main/DEBIAN/$script"
    chmod 755 "$main/DEBIAN/$script"
done
make_package "$main"
make_package "$symbols"
