"""The Debian package: what is in it, and its life in a bare Debian without systemd."""
import json
import os
import pathlib
import re
import shutil
import tempfile
import unittest

import debian
import packages
from server import CHECKOUT, run

PAGE = (CHECKOUT / "docs/install.md").read_text(encoding="utf8")
CONFIG = "etc/ringcast/ringcast.yaml"
CONFFILES = ("etc/logrotate.d/ringcast", CONFIG, "etc/security/limits.d/ringcast.conf")
APT_SECONDS = 300
APT_SETTINGS = """APT::Get::Assume-Yes "true";
APT::Install-Recommends "false";
"""


def field(package, name):
    return debian.command("dpkg-deb", "-f", package, name).strip()


def block_of_page(word):
    """The commands of a block of the page, of which one has this word."""
    found = [block for block in re.findall(r"(?:^    .*\n)+", PAGE, re.M) if word in block]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} blocks of docs/install.md have {word!r}")
    return re.sub("^    ", "", found[0], flags=re.M)


class Contents(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        cls.addClassCleanup(folder.cleanup)
        cls.main, cls.symbols = packages.build(folder.name)
        cls.version = re.search(r'RINGCAST_VERSION "(.*)"', (CHECKOUT / "codec/base/version.h").read_text("utf8"))[1]

    def test_its_name_has_the_version_of_the_programs(self):
        self.assertEqual(field(self.main, "Version"), f"{self.version}-1")
        self.assertEqual(self.main.name, f"ringcast_{self.version}-1_{field(self.main, 'Architecture')}.deb")

    def test_it_depends_on_the_package_of_each_library(self):
        depends = set(re.findall(r"(?:^|, )([a-z0-9.+-]+)", field(self.main, "Depends")))
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            debian.command("dpkg-deb", "-x", self.main, folder)
            for path in pathlib.Path(folder, "usr/bin").iterdir():
                for library in re.findall(r"NEEDED.*\[(.*)\]", debian.command("readelf", "-d", path)):
                    found = debian.command("dpkg-query", "-S", f"*/{library}")
                    self.assertTrue(depends & set(re.findall(r"^([^:\n]+):", found, re.M)), library)

    def test_lintian_finds_no_fault(self):
        if shutil.which("lintian") is None:
            self.skipTest("SKIPPED: lintian is not installed")
        done = run(["lintian", "--fail-on", "warning", self.main, self.symbols], 120)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_the_same_sources_give_the_same_bytes(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            for before, again in zip((self.main, self.symbols), packages.build(folder)):
                self.assertEqual((again.name, again.read_bytes()), (before.name, before.read_bytes()))

    def test_a_producer_can_be_linked_with_its_library(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            debian.command("dpkg-deb", "-x", self.main, folder)
            usr = f"{folder}/usr"
            debian.command("cc", f"{usr}/share/doc/ringcast/examples/publish.c", f"-I{usr}/include", f"-L{usr}/lib",
                           "-lringcast_publish", "-o", f"{folder}/publish")
            self.assertEqual(run([f"{folder}/publish"]).returncode, 2)  # It prints its usage.

    def test_the_programs_have_probes_and_the_other_package_has_their_symbols(self):
        """The tools find the symbols by the build ID."""
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            for package in (self.main, self.symbols):
                debian.command("dpkg-deb", "-x", package, folder)
            for path in pathlib.Path(folder, "usr/bin").iterdir():
                notes = debian.command("readelf", "-n", path)
                build_id = re.search(r"Build ID: (\w+)", notes)[1]
                file = f"{folder}/usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug"
                self.assertIn("no symbols", debian.command("nm", path))
                (address,) = re.findall(r"^(\w+) T main$", debian.command("nm", file), re.M)
                self.assertRegex(debian.command("addr2line", "-e", file, address), r"^[./]+(src|tools)/\S*main\.c:\d+")
                self.assertEqual("Name: conn_state" in notes, path.name in ("ringcast", "ringcast-echo"), path)


class Life(unittest.TestCase):
    """S130: installed, upgraded, removed and purged as docs/install.md says."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-", dir="/var/tmp")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name, "root")
        debian.unpack(self.root)
        (self.root / "etc/apt/apt.conf.d/99test").write_text(APT_SETTINGS)
        (self.root / "zig-out/deb").mkdir(parents=True)
        self.main, self.symbols = packages.build(folder.name)

    def inside(self, command, seconds=30):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
        done = run(["chroot", self.root, "sh", "-e", "-c", f"cd /; {command}"], seconds, env=environment)
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}{done.stderr}")
        return done.stdout

    def install(self, package):
        for other in (self.root / "zig-out/deb").iterdir():
            other.unlink()
        shutil.copy(package, self.root / "zig-out/deb")
        self.inside(block_of_page("apt install ./zig-out/deb/" + package.name.split("_")[0] + "_"), APT_SECONDS)

    def older(self):
        """The same package with an older version, and with another file in /etc."""
        folder, package = self.root.parent / "older", self.root.parent / "ringcast_0.0.1-1_all.deb"
        packages.unpack_as(self.main, "0.0.1-1", folder)
        (folder / CONFFILES[0]).write_text("# an older one\n")
        packages.pack(folder, package)
        return package

    def ours(self):
        """All files and links that have to do with ringcast, without what dpkg and apt keep."""
        kept = ("var/lib/apt", "var/lib/dpkg", "var/log/apt", "var/log/dpkg.log", "zig-out", "var/cache")
        found = {str(path.relative_to(self.root)) for path in self.root.rglob("*ringcast*")}
        return {name for name in found if not name.startswith(kept)}

    def test_from_the_first_install_to_the_purge(self):
        self.assertEqual(self.ours(), set())
        self.inside("apt-get -q update", APT_SECONDS)
        self.install(self.older())
        self.check_installed("0.0.1-1")
        self.check_service()

        config = self.root / CONFIG
        config.write_text(config.read_text().replace("max_connections: 1000", "max_connections: 2000"))
        (self.root / "tokens.json").write_text('{"tokens": []}')
        self.inside(block_of_page("install -m 640 -g ringcast tokens.json"))
        self.install(self.main)
        self.check_installed(field(self.main, "Version"))
        self.assertIn("max_connections: 2000", config.read_text())
        self.assertIn("rotate 30", (self.root / CONFFILES[0]).read_text())
        self.assertEqual((self.root / "etc/ringcast/tokens.json").stat().st_mode & 0o777, 0o640)
        self.assertTrue((self.root / "etc/systemd/system/websocket-server.service").is_symlink())
        self.check_restart(config)
        self.install(self.symbols)
        self.inside("sh /var/lib/dpkg/info/ringcast.postinst configure 0.0.1-1")

        for kind in ("lib", "log"):
            (self.root / f"var/{kind}/ringcast").mkdir(exist_ok=True)
            (self.root / f"var/{kind}/ringcast/file").touch()
        remove, purge = block_of_page("apt purge").splitlines()
        self.inside(remove, APT_SECONDS)
        self.assertFalse((self.root / "usr/bin/ringcast").exists())
        self.assertTrue(config.exists() and (self.root / "var/log/ringcast/file").exists())
        self.inside(purge, APT_SECONDS)
        self.assertEqual(self.ours(), {"etc/ringcast"})
        self.assertEqual(os.listdir(self.root / "etc/ringcast"), ["tokens.json"])
        self.assertNotIn("ringcast", (self.root / "etc/passwd").read_text() + (self.root / "etc/group").read_text())

    def check_restart(self, config):
        """An upgrade restarts a service that runs, unless it would not start again: with a recorder as systemd."""
        for name in ("run/systemd/system", "recorders", "var/lib/ringcast"):
            (self.root / name).mkdir(parents=True)
        for name in ("systemctl", "deb-systemd-invoke"):
            path = self.root / "recorders" / name
            path.write_text(f'#!/bin/sh\necho {name} "$@" >>/recorders/record\n')
            path.chmod(0o755)
        good, record = config.read_text(), self.root / "recorders/record"
        for text, restarts in ((good, 1), ("websocket: {prot: 1}\n", 0), ("security: {tokens_file: /root/x}\n", 0)):
            config.write_text(text)
            record.write_text("")
            self.inside("PATH=/recorders:$PATH sh /var/lib/dpkg/info/ringcast.postinst configure 0.0.1-1")
            self.assertEqual(record.read_text().count("deb-systemd-invoke try-restart ringcast.service"), restarts, text)
        config.write_text(good)
        for name in ("run/systemd", "recorders"):
            shutil.rmtree(self.root / name)

    def check_installed(self, version):
        self.assertEqual(self.inside("dpkg-query -W -f '${Version} ${db:Status-Status}' ringcast"), f"{version} installed")
        self.assertEqual(self.inside("dpkg --verify ringcast | grep -v ' c ' || true"), "")
        self.assertEqual(set(self.inside("cat /var/lib/dpkg/info/ringcast.conffiles").split()),
                         {f"/{name}" for name in CONFFILES})
        self.assertRegex(self.inside("id ringcast"), r"uid=\d+\(ringcast\) gid=\d+\(ringcast\)")
        self.assertIn("ringcast ", self.inside("ringcast --version"))
        check = block_of_page("--check-config").splitlines()[0]
        self.assertEqual(self.inside(check), "configuration is good\n")
        for name in ("ringcast-tap", "ringcast-bench", "ringcast-echo"):
            self.inside(f"{name} --version")
        for name in ("usr/share/bash-completion/completions/ringcast", "usr/share/zsh/vendor-completions/_ringcast",
                     "usr/share/man/man1/ringcast-echo.1.gz", "usr/share/man/man3/ringcast_publish.3.gz",
                     "usr/lib/sysctl.d/60-ringcast.conf", "usr/lib/libringcast_publish.a",
                     "usr/share/ringcast/trace/blocked.bt"):
            self.assertTrue((self.root / name).exists(), name)
        bom = json.loads((self.root / "usr/share/doc/ringcast/ringcast.cdx.json").read_text(encoding="utf8"))
        installed = set(self.inside("dpkg-query -W -f '${Package}\\n'").split())
        self.assertLessEqual({it["name"] for it in bom["components"] if not it["name"].endswith("-dev")}, installed)

    def check_service(self):
        """The operator enables the service: it has both names, and systemd finds no fault in it."""
        if shutil.which("systemctl") is None:
            raise unittest.SkipTest("SKIPPED: systemd is not installed")
        units = self.root / "etc/systemd/system"
        self.assertEqual(list(units.rglob("*ringcast*")), [])
        self.inside("sh /var/lib/dpkg/info/ringcast.postinst configure 0.0.1-1")  # once more
        self.assertEqual(list(units.rglob("*ringcast*")), [])
        debian.command("systemctl", f"--root={self.root}", "enable", "ringcast.service")
        links = {"multi-user.target.wants/ringcast.service", "websocket-server.service"}
        self.assertEqual({str(path.relative_to(units)) for path in units.rglob("*") if path.is_symlink()} & links, links)
        unit = (self.root / "usr/lib/systemd/system/ringcast.service").read_text(encoding="utf8")
        command = re.search(r"(?m)^ExecStart=(\S+) --config (\S+)", unit)
        self.assertEqual(command.groups(), ("/usr/bin/ringcast", f"/{CONFIG}"))


if __name__ == "__main__":
    unittest.main()
