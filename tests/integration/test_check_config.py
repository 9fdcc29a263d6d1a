"""--check-config beside the start: what the one refuses the other refuses, in the same words."""
import json
import os
import pathlib
import re
import socket
import tempfile
import unittest

from server import SANITIZER_WORDS, Server, clean_environment, program, run

PORTS = ("--host", "127.0.0.1", "--port", "0", "--admin-port", "0")
SMALL = ("--frame-log-bytes", "1m")  # less for the start to touch
TOKEN = "full-token-0123456789abcdef"
MEMORY_BYTES = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
# What differs between two runs.
MOMENT = re.compile(r"^\S+Z (ERROR|CRITICAL) |\d+ MiB (?=are available)", re.MULTILINE)

FILES = {
    "token": TOKEN + "\n",
    "short.token": "abc\n",
    "tokens.json": json.dumps({"tokens": [{"name": "a", "token": TOKEN}]}),
    "none.json": json.dumps({"tokens": []}),
    "digits.json": json.dumps({"tokens": [{"name": "a", "sha256": "64 hex digits"}]}),
    "torn.json": '{"tokens":[',
    "key.pem": "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
               "-----END PUBLIC KEY-----\n",
    "page": "# ringcast\n\nBroadcasts market data.\n",
    "secret": "jwt-secret-0123456789abcdef01234567\n",
    "ticks.csv": "type,symbol,ts_ns,price\nT,AAPL.US,1,2\n",
    "no.csv": "a,b\n1,2\n",
    "empty": "",
}
# Options and words of the error; @NAME is a file of the folder. The first option is the one that is
# at fault, which the error names.
BAD_OPTIONS = (
    # Access
    (("--enable-auth",), "add --auth-token-file"),
    (("--enable-auth", "--tokens-file", "@none.json"), "no token can be valid"),
    (("--tokens-file", "@absent.json", "--enable-auth"), "absent.json: No such file"),
    (("--tokens-file", "@digits.json", "--enable-auth"), "64 hexadecimal digits"),
    (("--tokens-file", "@torn.json", "--enable-auth"), "torn.json: not JSON at line 1"),
    (("--tokens-file", "@", "--enable-auth"), "@: "),
    (("--tokens-file", "@tokens.json"), "add --enable-auth"),
    (("--tokens-file", "@tokens.json", "--enable-auth", "--auth-token", TOKEN), "there already"),
    (("--auth-token", "abc", "--enable-auth"), "this one has 3"),
    (("--auth-token", TOKEN), "add --enable-auth"),
    (("--auth-token-file", "@token"), "add --enable-auth"),
    (("--auth-token-file", "@short.token", "--enable-auth"), "short.token: a token must have 16"),
    (("--auth-token-file", "@absent", "--enable-auth"), "absent: No such file"),
    (("--auth-token-file", "@key.pem", "--enable-auth"), "key.pem: it is a PEM, not a secret"),
    (("--auth-token-file", "@tokens.json", "--enable-auth"), "it is JSON, not a secret"),
    (("--admin-token-file", "@key.pem"), "key.pem: it is a PEM, not a secret"),
    (("--jwt-key-file", "@page", "--enable-auth"), "page: it contains no key"),
    (("--jwt-key-file", "@secret", "--enable-auth"), "--jwt-secret-file"),
    (("--jwt-key-file", "@absent", "--enable-auth"), "absent: No such file"),
    (("--jwt-key-file", "@key.pem"), "add --enable-auth"),
    (("--jwt-secret-file", "@key.pem", "--enable-auth"), "key.pem: it is a PEM, not a secret"),
    (("--jwt-secret-file", "@empty", "--enable-auth"), "empty: a secret for HS256"),
    (("--jwt-secret-file", "@secret"), "add --enable-auth"),
    (("--ip-deny", "10.0.0.1/8"), "beyond its prefix"),
    (("--ip-allow", "300.0.0.1"), "300.0.0.1"),
    (("--ip-allow", "10.0.0.0/33"), "10.0.0.0/33"),
    (("--trusted-proxies", "10.0.0.1,proxy"), "proxy"),
    (("--proxy-protocol",), "add --trusted-proxies"),
    (("--allowed-origins", "https://Example.com"), "in lower case"),
    (("--admin-token", "abc"), "this one has 3"),
    (("--admin-token-file", "@absent"), "absent: No such file"),
    (("--admin-token-file", "@short.token"), "short.token: a token must have 16"),
    # Where to listen
    (("--host", "a..b"), "'a..b'"),
    (("--host", "10.0.0..1"), "'10.0.0..1'"),
    (("--admin-host", "a..b"), "'a..b'"),
    (("--unix", "@none/x.sock"), "its directory must exist"),
    (("--unix", "@page/x.sock"), "its directory must exist"),
    (("--unix", "@page"), "not a socket"),
    (("--unix", "@"), "not a socket"),
    (("--unix", "x" * 108), "1 to 107 bytes"),
    (("--admin-port", "12345", "--port", "12345"), "is also the port for clients"),
    (("--admin-port", "12345", "--port", "12345", "--host", "0.0.0.0"), "is also the port for clients"),
    (("--admin-port", "12345", "--port", "12345", "--admin-host", "::ffff:127.0.0.1"),
     "is also the port for clients"),
    (("--host", "fe80::1"), "add its interface"),
    (("--admin-host", "fe80::1"), "add its interface"),
    (("--host", "ff02::1"), "a multicast address"),
    # Feeds
    (("--feed", "replay:path=@none.csv"), "none.csv"),
    (("--feed", "replay:path=@no.csv"), "no.csv"),
    (("--feed", "replay:path=@empty"), "empty"),
    (("--feed", "replay:path=@"), "replay"),
    (("--feed", "replay"), "path"),
    (("--feed", "replay:path=@ticks.csv,sped=1"), "speed"),
    (("--feed", "sim:symbls=3"), "symbols"),
    (("--feed", "sim:symbols=0"), "symbols"),
    (("--feed", "sim:pad=1"), "pad"),
    (("--feed", "smi"), "sim"),
    (("--feed", "sim:symbols=100000"), "symbols"),
    (("--feed", ""), "none empty"),
    # Sizes
    (("--frame-log-bytes", "64g"), "give a smaller"),
    (("--frame-log-bytes", "3m"), "a power of two"),
    (("--max-connections", "0"), "1 to 1000000"),
    (("--cores", "9999"), "this process may use"),
    (("--heartbeat-interval", "0"), "seconds from"),
    (("--engine", "epoll"), "uring"),
)
BAD_VARIABLES = (
    ({"WEBSOCKET_HOST": "a..b"}, "WEBSOCKET_HOST: ", "'a..b'"),
    ({"WEBSOCKET_PORT": "http"}, "WEBSOCKET_PORT: ", "0 to 65535"),
    ({"MAX_CONNECTIONS": "-1"}, "MAX_CONNECTIONS: ", "1 to 1000000"),
    ({"LOG_LEVEL": "loud"}, "LOG_LEVEL: ", "DEBUG"),
)
# Keys in whose line the fault is: the line that ends with a mark.
BAD_FILES = (
    ("security:\n  enable_auth: yes #!\n", "security.enable_auth: no token can be valid"),
    ("security:\n  enable_auth: yes\n  tokens_file: @absent.json #!\n",
     "security.tokens_file: @absent.json: No such file"),
    ("security:\n  tokens_file: @tokens.json #!\n", "security.tokens_file: clients need no tokens"),
    ("security:\n  enable_auth: yes\n  auth_token: abc #!\n", "security.auth_token: a token must have 16"),
    ("security:\n  enable_auth: yes\n  auth_token_file: @short.token #!\n",
     "security.auth_token_file: @short.token: a token must have 16"),
    ("security:\n  enable_auth: yes\n  jwt_key_file: @page #!\n",
     "security.jwt_key_file: @page: it contains no key"),
    ("security:\n  enable_auth: yes\n  jwt_secret_file: @key.pem #!\n",
     "security.jwt_secret_file: @key.pem: it is a PEM"),
    ("security:\n  ip_deny: 10.0.0.1/8 #!\n", "security.ip_deny: "),
    ("security:\n  ip_allow: nowhere #!\n", "security.ip_allow: "),
    ("security:\n  trusted_proxies: nowhere #!\n", "security.trusted_proxies: "),
    ("security:\n  proxy_protocol: yes #!\n", "security.proxy_protocol: "),
    ("security:\n  allowed_origins: https://x/ #!\n", "security.allowed_origins: "),
    ("admin:\n  token_file: @absent #!\n", "admin.token_file: @absent: No such file"),
    ("admin:\n  token: abc #!\n", "admin.token: a token must have 16"),
    ("admin:\n  host: a..b #!\n", "admin.host: cannot listen"),
    ("websocket:\n  port: 12345\nadmin:\n  port: 12345 #!\n", "admin.port: 12345 is also the port"),
    ("websocket:\n  host: a..b #!\n", "websocket.host: cannot listen"),
    ("websocket:\n  unix: @none/x.sock #!\n", "websocket.unix: cannot listen"),
    ("frame_log_bytes: 64g #!\n", "frame_log_bytes: "),
    ("feeds:\n  - sim\n  - sim:symbls=3 #!\n", "feeds: sim: "),
    ("feeds: 'replay:path=@none.csv' #!\n", "feeds: replay: "),
    ("feeds:\n  - sim\n  - replay:path=@none.csv #!\n  - sim\n", "feeds: replay: "),
    ("websocket:\n  port: many #!\n", 'websocket.port: "many"'),
    ("websocket:\n  prot: 1 #!\n", "websocket.prot: unknown key"),
)
GOOD = (
    (),
    ("--enable-auth", "--auth-token", TOKEN),
    ("--enable-auth", "--tokens-file", "@tokens.json", "--jwt-key-file", "@key.pem",
     "--jwt-secret-file", "@secret", "--admin-token-file", "@token"),
    ("--ip-deny", "10.0.0.0/8", "--trusted-proxies", "127.0.0.1", "--proxy-protocol"),
    ("--unix", "@new.sock", "--feed", "replay:path=@ticks.csv", "--feed", "sim:symbols=5"),
    ("--allowed-origins", "https://example.com,*", "--rate-limit-enabled", "no"),
    ("--admin-host", "localhost", "--frame-log-bytes", "1m", "--max-connections", "5"),
)


class CheckConfig(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        for name, text in FILES.items():
            pathlib.Path(self.folder, name).write_text(text)

    def fill(self, text):
        return re.sub(r"@", f"{self.folder}/", text)

    def ask(self, *arguments, env=None):
        done = run([program("ringcast"), *arguments], env=clean_environment(env))
        for word in SANITIZER_WORDS:
            self.assertNotIn(word, done.stderr)
        return done.returncode, done.stdout, MOMENT.sub("", done.stderr)

    def assert_refused(self, words, *arguments, env=None):
        """By both, with the same words."""
        arguments = [self.fill(argument) for argument in arguments]
        code, out, error = self.ask("--check-config", *arguments, env=env)
        self.assertEqual((code in (1, 2), out), (True, ""), error)
        self.assertEqual(self.ask(*arguments, env=env), (code, out, error))
        self.assertEqual(len(error.splitlines()), 1, error)
        for word in words:
            self.assertIn(self.fill(word), error)

    def test_what_an_option_says_wrong(self):
        for arguments, words in BAD_OPTIONS:
            if "64g" in arguments and MEMORY_BYTES > 60 << 30:
                continue
            with self.subTest(arguments):
                self.assert_refused((f"{arguments[0]}: ", words), *PORTS, *SMALL, *arguments)

    def test_what_a_variable_says_wrong(self):
        for env, *words in BAD_VARIABLES:
            with self.subTest(env):
                self.assert_refused(words, "--admin-port", "0", *SMALL, env=env)

    def test_what_a_file_says_wrong_is_told_with_its_line_and_key(self):
        path = f"{self.folder}/ringcast.yaml"
        for text, words in BAD_FILES:
            if "64g" in text and MEMORY_BYTES > 60 << 30:
                continue
            with self.subTest(text):
                pathlib.Path(path).write_text(self.fill(text))
                line = text[:text.index("#!")].count("\n") + 1
                small = () if "frame_log" in text else SMALL
                self.assert_refused((f"{path}:{line}: {words}",), "--config", path, *small)

    def test_an_option_over_a_file_is_blamed_itself(self):
        path = f"{self.folder}/ringcast.yaml"
        pathlib.Path(path).write_text("websocket:\n  host: 127.0.0.1\nfeeds: [sim]\n")
        for option, value in (("--host", "a..b"), ("--feed", "sim:symbls=3")):
            self.assert_refused((f"ringcast: {option}: ",), "--config", path, option, value)

    def test_a_quiet_log_hides_no_refusal(self):
        self.assert_refused(("--enable-auth: ",), "--enable-auth", "--log-level", "CRITICAL")

    def test_what_is_good_passes_both_and_leaves_nothing(self):
        for arguments in GOOD:
            with self.subTest(arguments):
                arguments = [self.fill(argument) for argument in arguments]
                before = sorted(pathlib.Path(self.folder).iterdir())
                code, out, error = self.ask("--check-config", *PORTS, *arguments)
                self.assertEqual((code, out), (0, "configuration is good\n"), error)
                self.assertEqual(sorted(pathlib.Path(self.folder).iterdir()), before)
                with Server(*arguments):
                    pass

    def test_a_server_that_runs_does_not_disturb_the_check(self):
        with Server() as server, socket.create_server(("127.0.0.1", 0)) as other:
            for port in (server.port, other.getsockname()[1]):
                code, out, error = self.ask("--check-config", "--host", "127.0.0.1", "--port",
                                            str(port), "--admin-port", "0")
                self.assertEqual((code, out), (0, "configuration is good\n"), error)
            self.assertTrue(server.counters_path().exists())


if __name__ == "__main__":
    unittest.main()
