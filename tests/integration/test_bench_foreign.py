"""ringcast-bench against servers that are no ringcast: what their messages look like, and how it is told."""
import pathlib
import re
import unittest

from server import Server, in_full
from test_bench import CONNECTIONS_FAILED, NOT_DELIVERED, PLAIN, VALID, BenchTestCase, PlainServer, bench

COUNTING = ("--protocol", "plain", "--time-pattern", "")
SHORT = ("-c", 3, "-d", "600ms", "-w", "200ms")
ACKNOWLEDGED = ('{"op": "hello"}', '{"result": null, "id": 1}')


@in_full
class Foreign(BenchTestCase):
    def text(self, server, *options, code=VALID):
        result = bench(*SHORT, *options, server.url())
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result.stdout

    def test_what_comes_before_the_first_tick_is_not_malformed(self):
        with PlainServer(greetings=ACKNOWLEDGED) as server:
            report = self.report(*SHORT, *PLAIN, "--send", '{"op": "subscribe"}', server.url(), least=30)
            self.assertEqual((report["malformed"], report["skipped"]), (0, 6))
            self.assertEqual(report["received"], report["due"])
            self.assertIn("\n  skipped     6 messages before the first tick of a connection\n",
                          self.text(server, *PLAIN))

    def test_what_comes_between_ticks_is_malformed_unless_it_is_ignored(self):
        with PlainServer(between='{"op": "status", "n": "none"}') as server:
            out = self.text(server, *PLAIN, code=NOT_DELIVERED)
            self.assertIn('\n  malformed   {"op": "status", "n": "none"}\n'
                          '  expected    --seq-pattern "n": , but no number of at most 19 digits follows\n'
                          '  expected    --time-pattern "t": , but it is not in the message\n', out)
            self.assertRegex(out, r"\n  INVALID: \d+ messages (are|is) malformed\n")
            report = self.report(*SHORT, *PLAIN, "--ignore", "no such text", "--ignore", '"status"', server.url(),
                                 least=30)
        self.assertEqual(report["malformed"], 0)
        self.assertGreater(report["ignored"], 0)

    def test_a_malformed_message_steers_no_terminal(self):
        with PlainServer(between="\x1b[31m" + 300 * "x") as server:
            out = self.text(server, *PLAIN, code=NOT_DELIVERED)
        shown = re.search(r"\n  malformed   (.*)\n", out)[1]
        self.assertNotIn("\x1b", shown)
        self.assertRegex(shown, r"^\S*\[31mx{150,200}\.\.$")

    def test_a_message_that_cannot_be_read_says_why_and_suggests_no_patterns(self):
        in_two_frames = ('{"n": 1,', ' "t": 2}')
        with PlainServer(greetings=(in_two_frames,)) as server:
            for options in (PLAIN, COUNTING):
                out = self.text(server, *options, code=CONNECTIONS_FAILED)
                self.assertIn('\n  malformed   {"n": 1,\n  because     a message in several frames, which ringcast-bench '
                              'does not read\n', out)
                self.assertNotIn("pattern", out)

    def test_a_hint_has_no_text_that_a_shell_would_run(self):
        with PlainServer(between="{\"x';touch pwned;'\": 7, \"y\": 8}") as server:
            out = self.text(server, *PLAIN, code=NOT_DELIVERED)
        self.assertIn('\n  hint        numbers follow "y":\n', out)

    def test_blanks_in_patterns_do_not_matter(self):
        with PlainServer() as server:
            for time, number in (('"t":', '"n":'), ('"t" : ', '"n" :')):
                report = self.report(*SHORT, *PLAIN, "--time-pattern", time, "--seq-pattern", number, server.url(),
                                     least=30)
                self.assertEqual((report["malformed"], report["received"]), (0, report["due"]))

    def test_the_options_that_would_read_it_are_named(self):
        with PlainServer() as server:
            out = self.text(server, "--protocol", "plain", code=NOT_DELIVERED)
        self.assertIn('\n  expected    --time-pattern "ts_pub":, but it is not in the message\n', out)
        self.assertIn("\n  hint        a time in s: --time-pattern '\"t\":' --time-unit s\n", out)
        self.assertIn('\n  hint        numbers follow "t":, "n":, "last":\n', out)
        self.assertRegex(out, r"\n  INVALID: none of \d+ messages is a tick by the patterns\n$")

    def test_messages_without_a_time_are_counted(self):
        with PlainServer(greetings=ACKNOWLEDGED) as server:
            report = self.report(*SHORT, *COUNTING, server.url(), least=30)
            self.assertEqual((report["due"], report["published"], report["unfinished"]), (None, None, 0))
            self.assertEqual(report["latency_ns"]["count"], 0)
            self.assertGreater(report["each_min"], 0)
            self.assertLessEqual(report["each_min"] * 3, report["received"])
            self.assertGreaterEqual(report["each_max"] * 3, report["received"])
            out = self.text(server, *COUNTING)
            self.assertRegex(out, r"\n  each        connection received \d+ to \d+ messages\n")
            self.assertRegex(out, r"\n  VALID(, with warnings?)?\n$")
            for line in ("latency", "published", "fairness", "spread", "unfinished"):
                self.assertNotIn(f"\n  {line} ", out)
            server.is_mute = True
            out = self.text(server, *COUNTING, code=NOT_DELIVERED)  # of the greetings none is in the window
            self.assertIn("\n  INVALID: no message was received inside the window\n", out)

    def test_numbers_without_times_still_show_losses(self):
        with PlainServer() as server:
            report = self.report(*SHORT, *COUNTING, "--seq-pattern", '"n":', server.url(), least=30)
            self.assertIsNone(report["due"])
            self.assertGreater(report["published"], 10)
        with PlainServer(clients=3, tamper=lambda text: []) as server:
            for _ in range(5):
                report = self.one_report("-c", 3, "-d", "2s", "-w", 0, *COUNTING, "--seq-pattern", '"n":',
                                         server.url())
                if report["readers"]["holes"]:
                    break
            self.assertEqual((report["readers"]["holes"], report["valid"]), (1, False))

    def test_headers_and_a_subprotocol_are_asked_for(self):
        token = pathlib.Path(self.folder(), "token")
        token.write_text("secret-2\n", encoding="ascii")
        with PlainServer(subprotocols=["v1.ticks"]) as server:
            self.report(*SHORT, *PLAIN, "--subprotocol", "v1.ticks", "-H", "Origin: http://a.example", "-H", "X-A: b",
                        "--token", "secret-1", server.url())
            for headers in server.headers:
                self.assertEqual((headers["Origin"], headers["X-A"], headers["Authorization"],
                                  headers["Sec-WebSocket-Protocol"]),
                                 ("http://a.example", "b", "Bearer secret-1", "v1.ticks"))
            server.headers.clear()
            self.report(*SHORT, *PLAIN, "--token-file", token, server.url())
            self.assertEqual({headers["Authorization"] for headers in server.headers}, {"Bearer secret-2"})
        result = bench(*PLAIN, "-H", "no colon", "ws://127.0.0.1:9/")
        self.assertEqual((result.returncode, result.stderr),
                         (1, "ringcast-bench: a header has the form 'Name: value'\n"))


class Locked(BenchTestCase):
    def test_a_token_logs_in(self):
        token = pathlib.Path(self.folder(), "token")
        token.write_text("a-secret-of-the-test-of-32-bytes\n", encoding="ascii")
        token.chmod(0o600)
        with Server("--feed", "sim:symbols=1,rate=200", "--enable-auth", "--auth-token-file", token) as server:
            self.report(*SHORT, "--token-file", token, server.url())
            result = bench(*SHORT, "--token", "wrong", server.url())
            self.assertEqual(result.returncode, 2, result.stdout)
            self.assertIn("\n  hint        401: the server wants a token: --token-file FILE\n", result.stdout)


if __name__ == "__main__":
    unittest.main()
