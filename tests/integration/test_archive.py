"""`ringcast archive` and `ringcast restore`: every file that a configuration names, back where it was."""
import contextlib
import io
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import tarfile
import tempfile
import unittest

import tls_files
from server import CHECKOUT, Server, program, run, wait_until

CONFIG = """websocket:
  port: 0
admin:
  port: 0
  token_file: admin.token
security:
  enable_auth: yes
  tokens_file: {folder}/tokens.json
tls:
  port: 0
  certificates:
    - {certificate}
feeds:
  - sim
"""
TOKENS = '{"tokens": [{"name": "desk-1", "token": "desk-1-token-0123456789"}]}\n'


class Archive(unittest.TestCase):
    """S121: backup and restore."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name, "etc")
        self.folder.mkdir()
        self.archive = pathlib.Path(folder.name, "backup.tar")
        self.options = ["--config", "server.yaml", "--log-level", "WARNING"]
        certificate = tls_files.server()
        files = str(certificate.option).split(",")
        for number, name in enumerate(files):
            shutil.copy(name, self.folder / f"pem-{number}")
        self.write("server.yaml", CONFIG.format(
            folder=self.folder,
            certificate=",".join(f"pem-{number}" for number in range(len(files)))))
        self.write("tokens.json", TOKENS, 0o600)
        self.write("admin.token", "admin-token-0123456789\n", 0o640)
        self.before = self.contents()

    def write(self, name, text, mode=0o644):
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        os.utime(path, (1700000000, 1700000000))

    def contents(self):
        return {path.name: (path.read_bytes(), path.stat().st_mode, path.stat().st_uid,
                            int(path.stat().st_mtime)) for path in self.folder.iterdir()}

    def ringcast(self, *words, stdin=None):
        return run(["sh", "-c", 'cd "$0" && exec "$@"', self.folder, program("ringcast"), *map(str, words)])

    def make(self):
        done = self.ringcast("archive", self.archive, *self.options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def restore(self, *words, archive=None):
        return self.ringcast("restore", archive or self.archive, *words)

    def craft(self, options, files):
        """An archive with these files of the folder."""
        arguments = "".join(f"{line}\n" for line in (self.folder, *options)).encode()
        with tarfile.open(self.archive, "w", format=tarfile.USTAR_FORMAT) as tar:
            for name, content in {"ringcast.arguments": arguments, **{
                    f"{self.folder}/{name}"[1:]: content for name, content in files.items()}}.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))

    def refused(self, done, text):
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(text, done.stderr)
        self.assertIn("nothing is restored", done.stderr)

    def test_it_has_each_file_that_the_configuration_names_and_nobody_else_can_read_it(self):
        done = self.make()
        self.assertIn(f"the archive has {len(self.before)} files, with the secrets", done.stdout)
        self.assertEqual(self.archive.stat().st_mode & 0o777, 0o600)
        with tarfile.open(self.archive) as tar:  # another reader
            names = tar.getnames()
            tokens = tar.extractfile(f"{self.folder}/tokens.json"[1:]).read()
            arguments = tar.extractfile("ringcast.arguments").read().decode().split("\n")
        self.assertEqual(sorted(names), sorted(
            ["ringcast.arguments", *(f"{self.folder}/{name}"[1:] for name in self.before)]))
        self.assertEqual(tokens.decode(), TOKENS)
        self.assertEqual(arguments, [str(self.folder), *self.options, ""])

    def test_everything_comes_back_where_it_was_and_serves(self):
        self.make()
        for path in self.folder.iterdir():
            path.unlink()
        done = self.restore()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"{len(self.before)} files are restored", done.stdout)
        self.assertEqual(self.contents(), self.before)
        with Server("--config", "server.yaml", ports=False,
                    prefix=("sh", "-c", f'cd {self.folder} && exec "$@"', "sh")) as server:
            self.assertIsNotNone(server.port)

    def test_files_that_exist_are_replaced_by_force_only(self):
        self.make()
        self.write("tokens.json", "{}")
        self.refused(self.restore(), "exists; --force replaces files")
        self.assertEqual((self.folder / "tokens.json").read_text(), "{}")
        done = self.restore("--force")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.contents(), self.before)

    def test_a_configuration_that_is_not_good_is_undone(self):
        self.write("tokens.json", "not JSON", 0o600)
        self.make()
        self.write("tokens.json", TOKENS, 0o600)
        self.refused(self.restore("--force"), "the configuration of the archive is not good")
        self.assertEqual(self.contents(), self.before)

    def test_a_file_that_cannot_be_written_leaves_all_as_they_were(self):
        self.craft([], {"tokens.json": b"{}", "admin.token": bytes(2000)})
        done = run([program("ringcast"), "restore", self.archive, "--force"],
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)))
        self.refused(done, "admin.token.restored: File too large")
        self.assertEqual(self.contents(), self.before)

    def test_an_interrupted_check_is_undone(self):
        pipe = self.folder.parent / "pipe"
        os.mkfifo(pipe)
        self.craft(["--config", str(pipe)], {"tokens.json": b"{}"})
        restore = subprocess.Popen([program("ringcast"), "restore", self.archive, "--force"],
                                   stderr=subprocess.PIPE, text=True, start_new_session=True)

        def check_reads():
            with contextlib.suppress(OSError):  # ENXIO: not yet
                return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            return None
        writer = wait_until(check_reads, 60)
        self.assertEqual((self.folder / "tokens.json").read_text(), "{}")
        os.killpg(restore.pid, signal.SIGINT)
        self.assertIn("nothing is restored", restore.communicate(timeout=60)[1])
        os.close(writer)
        self.assertEqual(restore.returncode, -signal.SIGINT)
        self.assertEqual(self.contents(), self.before)

    def test_files_of_a_restore_that_was_killed_are_kept(self):
        self.make()
        for name in ("tokens.json.replaced", "admin.token.restored"):
            self.write(name, "of before")
            self.refused(self.restore("--force"), f"{name} exists, perhaps from a restore that was interrupted")
            self.assertEqual((self.folder / name).read_text(), "of before")
            (self.folder / name).unlink()
        self.assertEqual(self.contents(), self.before)

    def test_an_empty_option_is_kept(self):
        self.options += ["--allowed-origins", "", "--log-level", "INFO", "--trusted-proxies", ""]
        self.make()
        done = self.restore("--force")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_it_can_be_unpacked_below_another_folder(self):
        self.make()
        target = self.archive.with_name("elsewhere")
        done = self.restore("--to", target)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((target / f"{self.folder}/tokens.json"[1:]).read_text(), TOKENS)
        self.assertEqual(self.contents(), self.before)

    def test_it_goes_through_a_pipe(self):
        done = run(["sh", "-c", 'cd "$0" && "$1" archive - --config server.yaml | "$1" restore - --force',
                    self.folder, program("ringcast")])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.contents(), self.before)

    def test_an_archive_is_not_overwritten(self):
        self.make()
        done = self.ringcast("archive", self.archive, *self.options)
        self.assertEqual(done.returncode, 1)
        self.assertIn("name a file that does not exist", done.stderr)

    def test_a_missing_file_is_named_and_no_archive_is_left(self):
        (self.folder / "admin.token").unlink()
        done = self.ringcast("archive", self.archive, *self.options)
        self.assertEqual(done.returncode, 1)
        self.assertIn("admin.token: No such file or directory", done.stderr)
        self.assertFalse(self.archive.exists())

    def test_foreign_archives_are_refused(self):
        def entry(name, **fields):
            info = tarfile.TarInfo(name)
            for key, value in fields.items():
                setattr(info, key, value)
            return info
        hostile = {
            "leaves its folder": [entry("../escape")],
            "other than a regular file": [entry("link", type=tarfile.SYMTYPE, linkname="/etc/passwd")],
            "`ringcast archive` has not made it": [entry("plain")],
        }
        for text, entries in hostile.items():
            with self.subTest(text):
                with tarfile.open(self.archive, "w", format=tarfile.USTAR_FORMAT) as tar:
                    for info in entries:
                        tar.addfile(info, io.BytesIO())
                done = self.restore("--to", self.folder / "below")
                self.assertEqual(done.returncode, 1)
                self.assertIn(text, done.stderr)
                self.assertFalse((self.folder / "below").exists())

    def test_a_cut_archive_changes_nothing(self):
        self.make()
        whole = self.archive.read_bytes()
        for size in (0, 511, 512, 1000, len(whole) - 1024):
            with self.subTest(size):
                self.archive.write_bytes(whole[:size])
                done = self.restore("--force")
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertIn("its end is missing", done.stderr)
        self.assertEqual(self.contents(), self.before)

    def test_wrong_usage_is_2_and_help_is_printed(self):
        for words in (["archive"], ["archive", "--config", "x"], ["restore"], ["restore", "--to"],
                      ["restore", "a", "b"], ["archive", "x.tar", "--no-such-option"]):
            with self.subTest(words):
                self.assertEqual(self.ringcast(*words).returncode, 2)
        for word in ("archive", "restore"):
            self.assertIn(f"Usage: ringcast {word} FILE", self.ringcast(word, "--help").stdout)

    def test_every_option_that_names_a_file_to_read_is_part_of_it(self):
        """Or is known as a file that the server writes, or a socket."""
        source = (CHECKOUT / "src" / "archive" / "archive_command.c").read_text()
        table = (CHECKOUT / "docs" / "options.md").read_text()
        written = {"unix", "pid-file", "ctl-socket", "log-file", "access-log", "audit-log"}
        for line in table.split("\n"):
            if line.startswith("| `--") and line.split("`")[1].endswith((" FILE", " PATH", " FILES")):
                name = line.split("`")[1].split()[0][2:]
                is_read = f'"{name}"' in source or name == "tls-certificate"
                self.assertNotEqual(is_read, name in written, name)


if __name__ == "__main__":
    unittest.main()
