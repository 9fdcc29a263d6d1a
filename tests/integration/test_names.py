"""Names: of the programs in their errors, and of hosts that have several addresses."""
import functools
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import unittest

from server import Server, program, run

# program, its arguments before the wrong one, an option with a value, what abbreviates several
PROGRAMS = (("ringcast", (), "--port", "--max"), ("ringcast", ("stat",), "--pid", "--"),
            ("ringcast-tap", (), "--symbols", "--s"), ("ringcast-bench", (), "--duration", "--s"),
            ("ringcast-echo", (), "--port", "--"))


class CommandLine(unittest.TestCase):
    """Each error begins with the program's name, wherever it is and however it was called."""

    def check(self, path, *arguments):
        name = os.path.basename(path) + (" stat" if arguments[0] == "stat" else "")
        with self.subTest([path, *arguments]):
            result = run([path, *arguments])
            self.assertEqual(result.returncode, 2 if name in ("ringcast", "ringcast-echo") else 1)
            self.assertEqual(result.stdout, "")
            self.assertTrue(result.stderr.startswith(f"{name}: "), result.stderr)
            self.assertNotIn(path, result.stderr)
            self.assertLessEqual(result.stderr.count("\n"), 2, result.stderr)

    def check_all(self, folder):
        for name, before, valued, ambiguous in PROGRAMS:
            path = os.path.join(folder, name)
            for wrong in ("--bogus", "--bogus=1", "-Z", valued, f"{valued}x", "--help=1"):
                self.check(path, *before, wrong)
            if ambiguous != "--":
                self.check(path, *before, ambiguous)

    def test_an_error_begins_with_the_program(self):
        self.check_all(os.path.dirname(program("ringcast")))

    def test_an_error_names_no_path(self):
        with tempfile.TemporaryDirectory(prefix="%s \x1b[2J") as folder:
            for name in {row[0] for row in PROGRAMS}:
                shutil.copy(program(name), folder)
            self.check_all(folder)


# A host of a stock Debian, of which other machines have one of the two; one that nobody answers.
HOSTS = """::1 both
127.0.0.1 both
127.0.0.1 both
2001:db8::1 nobodys
127.0.0.1 nobodys
2001:db8::1 elsewhere
"""


@functools.cache
def hosts_prefix():
    """What a command runs under to see HOSTS as its /etc/hosts; skips where that needs a right that
    this user does not have."""
    folder = tempfile.mkdtemp()
    unittest.addModuleCleanup(shutil.rmtree, folder)
    path = pathlib.Path(folder, "hosts")
    path.write_text(HOSTS)
    path.chmod(0o644)
    pathlib.Path(folder).chmod(0o755)
    for options in (("--mount",), ("--mount", "--map-root-user")):
        prefix = ("unshare", *options, "sh", "-c", f'mount --bind {path} /etc/hosts && exec "$0" "$@"')
        try:
            if subprocess.run([*prefix, "true"], capture_output=True).returncode == 0:
                return prefix
        except FileNotFoundError:
            pass
    return None


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as at:
            at.bind(("::1", 0))
        return True
    except OSError:
        return False


class Hosts(unittest.TestCase):
    def setUp(self):
        self.prefix = hosts_prefix()
        if self.prefix is None:
            self.skipTest("only root, or who may make a user namespace, can have an own /etc/hosts")


class Clients(Hosts):
    def call(self, name, *arguments):
        return run([*self.prefix, program(name), *arguments], seconds=60)

    def check(self, host, port):
        url = f"ws://{host}:{port}"
        result = self.call("ringcast-tap", "-n", "3", url)
        self.assertEqual(result.returncode, 0, result.stderr)
        result = self.call("ringcast-tap", "--verify", "--connections", "3", "-n", "3", url)
        self.assertIn("3 readers", result.stdout, result.stderr)
        result = self.call("ringcast-bench", "-c", "3", "-d", "1", "--warmup", "0", url)
        self.assertIn("connect     3 in", result.stdout, result.stderr)

    def test_they_find_the_address_that_answers(self):
        for host in ("127.0.0.1", "::1")[:1 + has_ipv6()]:
            with Server("--feed", "sim:symbols=5,rate=500", host=host) as server:
                self.check("both", server.port)
                if host == "127.0.0.1":
                    self.check("nobodys", server.port)

    def test_they_name_all_addresses_when_none_answers(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))  # and nobody listens
            port = free.getsockname()[1]
            for name in ("ringcast-tap", "ringcast-bench"):
                result = self.call(name, f"ws://both:{port}")
                self.assertEqual(result.returncode, 2)
                self.assertRegex(result.stderr, rf"{name}: cannot connect to both:{port} \(\[::1\]: .+; "
                                                r"127\.0\.0\.1: Connection refused\)\n$")


class OneAddress(unittest.TestCase):
    """What needs no name of its own."""

    def test_tap_names_host_and_port(self):
        result = run([program("ringcast-tap"), "ws://127.0.0.1:1"])
        self.assertEqual((result.returncode, result.stderr),
                         (2, "ringcast-tap: cannot connect to 127.0.0.1:1: Connection refused\n"))

    def test_a_host_without_an_address_is_told(self):
        for name, code in (("ringcast-tap", 2), ("ringcast-bench", 1)):
            result = run([program(name), "ws://a..b"])
            self.assertEqual(result.returncode, code)
            self.assertIn(f"{name}: no address of host 'a..b': ", result.stderr)

    def test_they_try_all_addresses_of_localhost(self):
        """Whatever this machine's are: the server has one of them."""
        found = {row[4][0] for row in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
        for host in sorted(found):
            with Server("--feed", "sim:symbols=5,rate=500", host=host) as server:
                for name, options in (("ringcast-tap", ("-n", "3")),
                                      ("ringcast-bench", ("-c", "2", "-d", "1", "--warmup", "0"))):
                    result = run([program(name), *options, f"ws://localhost:{server.port}"])
                    self.assertIn(result.returncode, (0, 3), result.stderr)


if __name__ == "__main__":
    unittest.main()
