"""docs/walkthrough.md in a fresh Debian 12: from the installation to the removal, with the docs alone."""
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import debian
import images
import test_pages
from images import CHECKOUT, LIMITS, PODMAN, UNDER_OUR_PROFILE

ZIG = CHECKOUT / ".toolchain/zig-0.16.0/zig"


def make_packages(folder):
    """A folder with the package of this checkout, and in the folder next the same as a later version."""
    folder, root = pathlib.Path(folder, "deb"), pathlib.Path(folder, "root")
    (folder / "next").mkdir(parents=True)
    with debian.locked("/var/tmp/ringcast-deb.lock"):
        debian.command(str(ZIG), "build", "deb", cwd=CHECKOUT)
        package, = (CHECKOUT / "zig-out/deb").glob("ringcast_*.deb")
        shutil.copy(package, folder)
    debian.command("dpkg-deb", "-R", str(folder / package.name), str(root))
    control = root / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: (.*)-1$", r"Version: \1-2", control.read_text("utf8")), "utf8")
    debian.command("dpkg-deb", "-Zgzip", "--root-owner-group", "-b", str(root), str(folder / "next"))
    return folder


class FreshDebian:
    """A container of the image that Docker's users have, in which nothing is installed yet."""

    def __init__(self, packages):
        self.name = images.unique_name()
        self.folder = tempfile.TemporaryDirectory(prefix="ringcast-", dir="/var/tmp")
        debian.command(*PODMAN, "run", "--detach", "--interactive", "--name", self.name, *LIMITS, *UNDER_OUR_PROFILE,
                       "-v", f"{packages}:/deb:ro", "-v", f"{CHECKOUT / 'container'}:/container:ro", "-w", "/root",
                       debian.base_image(), "cat")

    def close(self):
        debian.command(*PODMAN, "rm", "--force", "--time", "0", self.name)
        self.folder.cleanup()

    def write(self, name, text):
        path = pathlib.Path(self.folder.name, "file")
        path.write_text(text, "utf8")
        debian.command(*PODMAN, "cp", str(path), f"{self.name}:{name}")

    def run(self, commands):
        return subprocess.run((*PODMAN, "exec", self.name, *test_pages.SHELL, commands), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


class Walkthrough(test_pages.Page, unittest.TestCase):
    page = "docs/walkthrough.md"

    def host(self, folder):
        return FreshDebian(make_packages(folder))


if __name__ == "__main__":
    unittest.main()
