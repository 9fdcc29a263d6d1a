"""A server from a file, variables and options over it, and files that are wrong."""
import os
import tempfile
import unittest

from clients import RawClient
from server import CHECKOUT, SANITIZER_WORDS, Server, clean_environment, program, run

FILE = """\
websocket:
  host: 127.0.0.1
  port: 0
  max_connections: 11
  max_subscriptions_per_client: 3
admin:
  port: 0
feeds:
  - sim:symbols=20,rate=500,types=quote+trade
  - sim:symbols=5,rate=50,types=bar
frame_log_bytes: 1m
"""
# Enough for the program, and no more: what a bad file makes it take shows.
LITTLE_MEMORY = ("prlimit", "--data=33554432")


class ConfigTestCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.path = f"{self.folder}/ringcast.yaml"

    def write(self, text):
        with open(self.path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())

    def check(self, *arguments, env=None, prefix=()):
        result = run([*prefix, program("ringcast"), "--check-config", *arguments],
                     env=clean_environment(env))
        for word in SANITIZER_WORDS:
            self.assertNotIn(word, result.stderr)
        return result.returncode, result.stdout, result.stderr

    def check_refused(self, text, *words, **options):
        self.write(text)
        code, out, err = self.check("--config", self.path, **options)
        self.assertEqual((code, out), (2, ""), err)
        for word in words:
            self.assertIn(word, err)


def specs(stats):
    return [feed["spec"] for feed in stats["publisher"]["feeds"]]


class Precedence(ConfigTestCase):
    def test_a_server_starts_from_a_file(self):
        self.write(FILE)
        with Server("--config", self.path, ports=False) as server:
            stats = server.stats()
            self.assertEqual(stats["connections"]["max_connections"], 11)
            self.assertEqual(specs(stats), ["sim:symbols=20,rate=500,types=quote+trade",
                                            "sim:symbols=5,rate=50,types=bar"])
            with RawClient(server.port) as client:
                verdicts = client.subscribe(["000001.SZ", "600519.SH", "300750.SZ", "AAPL.US"],
                                            ["quote"])["data"]
                self.assertEqual(len(verdicts["ok"]), 3)

    def test_a_variable_wins_over_the_file_and_an_option_over_both(self):
        self.write(FILE)
        variables = {"MAX_CONNECTIONS": "22", "MAX_SUBSCRIPTIONS_PER_CLIENT": "2"}
        with Server("--config", self.path, "--max-connections", "33", "--feed", "sim:symbols=20",
                    env=variables, ports=False) as server:
            stats = server.stats()
            self.assertEqual(stats["connections"]["max_connections"], 33)
            self.assertEqual(specs(stats), ["sim:symbols=20"])
            with RawClient(server.port) as client:
                verdicts = client.subscribe(["000001.SZ", "600519.SH", "300750.SZ"],
                                            ["quote"])["data"]
                self.assertEqual(len(verdicts["ok"]), 2)

    def test_variables_alone_configure_a_server(self):
        self.write("websocket:\n  max_connections: 44\n")
        variables = {"RINGCAST_CONFIG": self.path, "RINGCAST_PORT": "0", "RINGCAST_ADMIN_PORT": "0",
                     "RINGCAST_HOST": "127.0.0.1", "RINGCAST_FEED": "sim:symbols=3;sim:symbols=5,types=bar"}
        with Server(env=variables, ports=False) as server:
            stats = server.stats()
            self.assertEqual(stats["connections"]["max_connections"], 44)
            self.assertEqual(specs(stats), ["sim:symbols=3", "sim:symbols=5,types=bar"])

    def test_a_secret_in_a_variable_is_never_printed(self):
        for variables in ({"RINGCAST_AUTH_TOKEN": "s3cr3t"}, {"RINGCAST_ADMIN_TOKEN": "s3cr3t\n"},
                          {"RINGCAST_AUTH_TOKEN": "tcp://s3cr3t"}, {"RINGCAST_AUTH_TOKE": "s3cr3t"},
                          {"RINGCAST_AUTH_TOKEN": "s3cr3t" * 1000}, {"RINGCAST_AUTH_TOKEN_PORT": "s3cr3t"},
                          {"RINGCAST_AUTH_TOKEN": "s3cr3t" * 3, "RINGCAST_PORT": "x"}):
            with self.subTest(variables):
                result = run([program("ringcast"), "--check-config"], env={**os.environ, **variables})
                self.assertIn("RINGCAST_", result.stderr)  # It complains.
                self.assertNotIn("s3cr3t", result.stdout + result.stderr)

    def test_a_service_of_kubernetes_named_websocket_does_not_stop_the_start(self):
        with Server(env={"WEBSOCKET_PORT": "tcp://10.96.12.34:8765",
                         "RINGCAST_PORT_8765_TCP_PORT": "8765", "RINGCAST_PROT": "1"}) as server:
            for warning in ("WEBSOCKET_PORT=tcp://10.96.12.34:8765 is ignored",
                            "RINGCAST_PROT is ignored: no option has this variable; did you mean RINGCAST_PORT"):
                self.assertIsNotNone(server.wait_for_line(warning), server.log())
            self.assertFalse([line for line in server.lines if "8765_TCP" in line])


class Check(ConfigTestCase):
    def test_the_examples_are_good(self):
        for name, warning_count in (("docs/ringcast.yaml", 0), ("tests/data/deployment.yaml", 7)):
            with self.subTest(name):
                code, out, err = self.check("--config", str(CHECKOUT / name))
                self.assertEqual((code, out), (0, "configuration is good\n"), err)
                self.assertEqual(len(err.splitlines()), warning_count, err)
                self.assertEqual(err.count(" is ignored: "), warning_count)

    def test_without_a_file_options_and_variables_are_checked(self):
        self.assertEqual(self.check()[:2], (0, "configuration is good\n"))
        code, _, err = self.check(env={"WEBSOCKET_PORT": "http"})
        self.assertEqual(code, 2)
        self.assertIn("WEBSOCKET_PORT", err)
        self.assertEqual(self.check("--port", "x")[0], 2)

    def test_feeds_are_checked_too(self):
        self.check_refused("feeds: ['sim:symbls=3']\n", "symbls", "symbols")
        self.check_refused(f"feeds: ['sim', 'replay:path={self.folder}/none.csv']\n", "none.csv")

    def test_a_pipe_is_a_file(self):
        result = run(["bash", "-c", "exec \"$0\" --check-config --config <(echo 'cores: 1')",
                      program("ringcast")], env=clean_environment())
        self.assertEqual(result.stdout, "configuration is good\n", result.stderr)


class BadFiles(ConfigTestCase):
    def test_what_is_wrong_is_told_with_file_line_and_key(self):
        for text, words in (
                ("websocket:\n  prot: 1\n", (":2: websocket.prot: unknown", "websocket.port?")),
                ("websocket:\n  port: 65536\n", (":2: websocket.port: \"65536\"", "0 to 65535")),
                ("cores: 1\ncores: 1\n", (":2: cores: given twice, first in line 1",)),
                ("websocket:\n\tport: 1\n", (":2: the line is indented with a tab",)),
                ("", ("empty",))):
            with self.subTest(text):
                self.check_refused(text, self.path, *words)

    def test_the_server_does_not_start_from_a_bad_file(self):
        self.write("websocket:\n  port: many\n")
        result = run([program("ringcast"), "--config", self.path], env=clean_environment())
        self.assertEqual(result.returncode, 2)
        self.assertIn(f"{self.path}:2: websocket.port", result.stderr)

    def test_what_is_no_file_is_refused(self):
        for path, word in ((self.folder, "a directory"), (f"{self.folder}/none", "the file does not exist"),
                           ("/dev/zero", "longer than 262144 bytes")):
            code, _, err = self.check("--config", path)
            self.assertEqual(code, 2)
            self.assertIn(f"{path}: ", err)
            self.assertIn(word, err)

    def test_a_file_that_would_grow_in_memory_is_refused_in_little(self):
        laughs = "a: &a [x, x]\n" + "".join(
            f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n"
            for before, name in zip("abcdefghijklmn", "bcdefghijklmno"))
        for name, text, word in (
                ("10 MB", b"cores: 1 #" + b"x" * 10_000_000, "longer than 262144 bytes"),
                ("laughs", laughs, "anchors"), ("lists", "[" * 262144, ":1: "),
                ("sections", "{a: " * 65536, ":1: a: unknown key"),
                ("known sections", "websocket: {" * 20000, "websocket.websocket: unknown key"),
                ("keys", "? " * 131072, ":1: "),
                ("a long text", "websocket:\n  host: " + "x" * 200_000, "1 to 255 bytes"),
                ("many items", "feeds: [" + "sim," * 50_000 + "sim]", "at most 16")):
            with self.subTest(name):
                self.check_refused(text, word, prefix=LITTLE_MEMORY)


if __name__ == "__main__":
    unittest.main()
