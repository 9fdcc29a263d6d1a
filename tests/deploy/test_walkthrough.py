"""docs/walkthrough.md in a fresh Debian 12: from the installation to the removal, with the docs alone."""
import pathlib
import subprocess
import tempfile
import unittest

import debian
import images
import packages
import test_pages
from images import CHECKOUT, LIMITS, PODMAN, UNDER_OUR_PROFILE


def make_packages(folder):
    """A folder with the package of this checkout, and in the folder next the same as a later version."""
    folder, root = pathlib.Path(folder, "deb"), pathlib.Path(folder, "root")
    package, symbols = packages.build(folder)
    symbols.unlink()
    packages.unpack_as(package, package.name.split("_")[1].replace("-1", "-2"), root)
    (folder / "next").mkdir()
    packages.pack(root, folder / "next")
    return folder


class FreshDebian:
    """A container of the image that Docker's users have, in which nothing is installed yet."""

    def __init__(self, folder):
        self.name = images.unique_name()
        self.folder = tempfile.TemporaryDirectory(prefix="ringcast-", dir="/var/tmp")
        debian.command(*PODMAN, "run", "--detach", "--interactive", "--name", self.name, *LIMITS, *UNDER_OUR_PROFILE,
                       "-v", f"{folder}:/deb:ro", "-v", f"{CHECKOUT / 'container'}:/container:ro", "-w", "/root",
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
