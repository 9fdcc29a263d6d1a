"""The small Debian 12 that the other tests install and build in."""
import pathlib
import tempfile
import unittest

import debian


class Root(unittest.TestCase):
    def test_it_is_debian_12_as_a_folder(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-", dir="/var/tmp") as folder:
            debian.unpack(folder)
            self.assertIn("VERSION_CODENAME=bookworm", pathlib.Path(folder, "etc/os-release").read_text("utf8"))
            self.assertIn("uid=0", debian.command("chroot", folder, "id"))

    def test_it_is_debian_12_as_an_image(self):
        done = debian.command("podman", "--runtime", "runc", "run", "--rm", "--network", "host", "--ulimit",
                              "nofile=20000:20000", "--ulimit", "nproc=1000:1000", debian.base_image(),
                              "cat", "/etc/os-release")
        self.assertIn("VERSION_CODENAME=bookworm", done)


if __name__ == "__main__":
    unittest.main()
