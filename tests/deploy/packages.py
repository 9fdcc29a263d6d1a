"""The Debian packages of this checkout, which classes of tests build side by side."""
import pathlib
import re
import shutil

import debian
from server import CHECKOUT

ZIG = CHECKOUT / ".toolchain/zig-0.16.0/zig"
OUTPUT = CHECKOUT / "zig-out/deb"


def build(folder):
    """Returns the package, and that of its debug symbols: copies in a folder, since the next build removes those
    in zig-out/deb."""
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    with debian.locked(OUTPUT.with_suffix(".lock")):
        debian.command(ZIG, "build", "deb", cwd=CHECKOUT)
        return tuple(pathlib.Path(shutil.copy(next(OUTPUT.glob(f"{name}_*.deb")), folder))
                     for name in ("ringcast", "ringcast-dbgsym"))


def unpack_as(package, version, folder):
    """What a package consists of, in a folder, as that of another version."""
    debian.command("dpkg-deb", "-R", package, folder)
    control = pathlib.Path(folder, "DEBIAN/control")
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text("utf8")), "utf8")


def pack(folder, package):
    debian.command("dpkg-deb", "-Zgzip", "--root-owner-group", "-b", folder, package)
