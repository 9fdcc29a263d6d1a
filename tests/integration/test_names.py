"""Names: of the programs in their errors, and of hosts that have several addresses."""
import contextlib
import functools
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

from server import Server, program, reap, run, spawn

# program, its arguments before the wrong one, an option with a value, what abbreviates several
PROGRAMS = (("ringcast", (), "--port", "--max"), ("ringcast", ("stat",), "--pid", "--"),
            ("ringcast", ("doctor",), "--pid", "--"),
            ("ringcast-tap", (), "--symbols", "--s"), ("ringcast-bench", (), "--duration", "--s"),
            ("ringcast-echo", (), "--port", "--"))


class CommandLine(unittest.TestCase):
    """Each error begins with the program's name, wherever it is and however it was called."""

    def check(self, path, *arguments):
        name = " ".join([os.path.basename(path), *(word for word in arguments[:1] if word in ("stat", "doctor"))])
        with self.subTest([path, *arguments]):
            result = run([path, *arguments])
            self.assertEqual(result.returncode, {"ringcast": 2, "ringcast-echo": 2, "ringcast doctor": 3}.get(name, 1))
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
        for wrong in ((), ("-n", "x"), ("-d", "0"), ("-c", "2"), ("--snapshot", "perhaps"), ("a", "b")):
            self.check(os.path.join(folder, "ringcast-tap"), *wrong)

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
fe80::1 links
ff02::1 links
""" + "".join(f"127.0.0.{number} many\n" for number in range(1, 10))


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
            self.skipTest("SKIPPED: only root, or a user who may create a user namespace, can have an own /etc/hosts")


class Clients(Hosts):
    def call(self, name, *arguments):
        return run([*self.prefix, program(name), *arguments], seconds=60)

    def check(self, host, port):
        url = f"ws://{host}:{port}"
        result = self.call("ringcast-tap", "-n", "3", url)
        self.assertEqual(result.returncode, 0, result.stderr)
        result = self.call("ringcast-tap", "--verify", "--connections", "3", "-n", "3", url)
        self.assertIn("3 connections", result.stdout, result.stderr)
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
            for name, code in (("ringcast-tap", 4), ("ringcast-bench", 2)):
                result = self.call(name, f"ws://both:{port}")
                self.assertEqual(result.returncode, code)
                self.assertTrue(result.stderr.startswith(f"{name}: cannot connect to both:{port} ("))
                self.assertIn("[::1]: ", result.stderr)
                self.assertIn("127.0.0.1: Connection refused", result.stderr)


class Servers(Hosts):
    """A server listens on all addresses of its host, with one port."""

    def check(self, server, hosts):
        for host in hosts:
            result = run([program("ringcast-tap"), "-n", "3", f"ws://{host}:{server.port}"])
            self.assertEqual(result.returncode, 0, result.stderr)
            with urllib.request.urlopen(f"http://{host}:{server.admin_port}/health",
                                        timeout=30) as answer:
                self.assertEqual(answer.status, 200)
            with self.assertRaises(urllib.error.HTTPError) as refused:  # for this host alone
                urllib.request.urlopen(f"http://{host}:{server.admin_port}/admin/x", timeout=30)
            refused.exception.close()
            self.assertEqual(refused.exception.code, 404)
            self.assertIsNotNone(server.wait_for_line(
                rf"listening on {re.escape(host)}:{server.port}\b"), server.log())
            self.assertIsNotNone(server.wait_for_line(
                rf"admin on {re.escape(host)}:{server.admin_port}\b"), server.log())

    def serve(self, host, *options):
        return Server("--feed", "sim:symbols=5,rate=500", "--admin-host", host, *options, host=host,
                      prefix=self.prefix)

    @unittest.skipUnless(has_ipv6(), "SKIPPED: this machine has no IPv6")
    def test_both_families_are_served(self):
        for cores in (1, 2):
            with self.serve("both", "--cores", cores) as server:
                self.check(server, ("127.0.0.1", "[::1]"))
                self.assertNotIn("WARNING", server.log())

    def test_an_address_that_the_machine_lacks_is_skipped_with_a_warning(self):
        with self.serve("nobodys") as server:
            self.check(server, ("127.0.0.1",))
            for option in ("--host", "--admin-host"):
                self.assertIsNotNone(server.wait_for_line(
                    rf"WARNING ringcast: {option}: this machine lacks some of the addresses of nobodys: "
                    rf"\[2001:db8::1\] \("))

    def test_a_host_that_the_machine_lacks_is_refused(self):
        result = run([*self.prefix, program("ringcast"), "--host", "elsewhere", "--admin-port", "0"])
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("--host: cannot listen on elsewhere ([2001:db8::1]) port 8765: ", result.stderr)

    def test_a_port_that_is_taken_at_one_address_is_refused(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for options, option in ((("--host", "both", "--port", port, "--admin-port", "0"), "port"),
                                    (("--admin-host", "both", "--admin-port", port, "--port", "0"),
                                     "admin-port")):
                result = run([*self.prefix, program("ringcast"), *map(str, options)])
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertIn(f"--{option}: cannot listen on both (127.0.0.1) port {port}: Address "
                              "already in use: another program", result.stderr)

    def test_the_check_says_what_the_start_says(self):
        for options in (("--host", "many"), ("--admin-host", "many"), ("--host", "links"),
                        ("--host", "both", "--admin-host", "both", "--admin-port", "8765"),
                        ("--host", "both", "--admin-host", "0.0.0.0", "--admin-port", "8765")):
            with self.subTest(options):
                start = run([*self.prefix, program("ringcast"), *options])
                check = run([*self.prefix, program("ringcast"), "--check-config", *options])
                self.assertEqual((start.returncode, check.returncode), (2, 2))
                self.assertEqual(start.stderr.split("CRITICAL")[1], check.stderr.split("CRITICAL")[1])
        for host in ("both", "nobodys"):
            result = run([*self.prefix, program("ringcast"), "--check-config", "--host", host,
                          "--admin-host", host])
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_few_descriptors_leave_some_for_the_admin_server(self):
        """Clients that wait at both addresses take none of its own."""
        with Server("--feed", "sim:symbols=5,rate=500", "--admin-host", "both", "--cores", "2", host="both",
                    prefix=(*self.prefix, "prlimit", "--nofile=80")) as server:
            hosts = ("127.0.0.1", "::1")[:1 + has_ipv6()]
            with contextlib.ExitStack() as clients:
                for index in range(100):
                    clients.enter_context(socket.create_connection((hosts[index % len(hosts)], server.port)))
                self.assertIsNotNone(server.wait_for_line("protection descriptors begins"))
                for host in hosts:
                    url = f"http://{f'[{host}]' if ':' in host else host}:{server.admin_port}/health"
                    urllib.request.urlopen(url, timeout=30).close()

    def test_echo_listens_on_all_addresses(self):
        process = spawn([*self.prefix, program("ringcast-echo"), "--host", "both", "--port", "0"],
                        stderr=subprocess.PIPE)
        self.addCleanup(process.stderr.close)
        self.addCleanup(reap, process)
        lines = [process.stderr.readline().decode() for _ in range(2)]
        hosts = ["[::1]", "127.0.0.1"]
        if not has_ipv6():
            self.assertIn(f"this machine lacks some of its addresses: {hosts.pop(0)} (", lines.pop(0))
        for host in hosts:
            found = re.search(rf"listening on ws://{re.escape(host)}:(\d+)/", "".join(lines))
            self.assertIsNotNone(found, lines)
            socket.create_connection((host.strip("[]"), int(found[1]))).close()


class OneAddress(unittest.TestCase):
    """What needs no name of its own."""

    def test_tap_names_host_and_port(self):
        result = run([program("ringcast-tap"), "ws://127.0.0.1:1"])
        self.assertEqual((result.returncode, result.stderr),
                         (4, "ringcast-tap: cannot connect to 127.0.0.1:1: Connection refused\n"))

    def test_a_host_without_an_address_is_told(self):
        for name, code in (("ringcast-tap", 4), ("ringcast-bench", 1)):
            result = run([program(name), "ws://a..b"])
            self.assertEqual(result.returncode, code)
            self.assertIn(f"{name}: no address of host 'a..b': ", result.stderr)

    def test_a_unix_path_that_is_taken_is_told_with_its_option(self):
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as taken:
            path = os.path.join(folder, "socket")
            taken.bind(path)
            taken.listen()
            for options, variables, option in ((("--unix", path), {}, "--unix"),
                                               ((), {"RINGCAST_UNIX": path}, "RINGCAST_UNIX")):
                result = run([program("ringcast"), "--port", "0", "--admin-port", "0", *options],
                             env={**os.environ, **variables})
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertIn(f" {option}: cannot listen on Unix socket '{path}': Address already in use",
                              result.stderr)

    @unittest.skipUnless(has_ipv6(), "SKIPPED: this machine has no IPv6")
    def test_all_of_ipv6_is_all_of_ipv4_too(self):
        with Server("--feed", "sim:symbols=5,rate=500", "--admin-host", "::", host="::") as server:
            for host in ("127.0.0.1", "[::1]"):
                result = run([program("ringcast-tap"), "-n", "3", f"ws://{host}:{server.port}"])
                self.assertEqual(result.returncode, 0, result.stderr)
                urllib.request.urlopen(f"http://{host}:{server.admin_port}/health").close()

    @unittest.skipUnless(has_ipv6(), "SKIPPED: this machine has no IPv6")
    def test_an_address_with_its_interface(self):
        """fe80::1%eth0: where a machine has one."""
        for line in pathlib.Path("/proc/net/if_inet6").read_text().splitlines():
            digits, _, _, scope, _, interface = line.split()
            if scope == "20":
                break
        else:
            self.skipTest("SKIPPED: no interface has a link-local address")
        address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits)) + "%" + interface
        with Server("--feed", "sim:symbols=5,rate=500", host=address) as server:
            self.assertIn(f"listening on [{address}]:{server.port}", server.log())
            result = run([program("ringcast-tap"), "-n", "3", f"ws://[{address}]:{server.port}"])
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_the_server_has_all_addresses_of_localhost(self):
        found = {row[4][0] for row in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
        with Server("--feed", "sim:symbols=5,rate=500", "--admin-host", "localhost",
                    host="localhost") as server:
            for host in found:
                for port in (server.port, server.admin_port):
                    socket.create_connection((host, port)).close()

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
