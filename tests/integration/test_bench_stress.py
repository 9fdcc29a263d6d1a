"""ringcast-bench's stress tests: the presets low, medium and high, their reports and grades, and what is not graded."""
import json
import re
import resource
import unittest

from server import Server, ServerTestCase, program, run, in_full
from test_bench import NOT_DELIVERED, VALID, BenchTestCase, bench

SHORT = ("-d", "500ms", "-w", "50ms")
GRADES = ("S", "A+", "A", "B", "C")


class Presets(ServerTestCase, BenchTestCase):
    options = ("--feed", "sim:symbols=5,rate=500")

    def stress(self, preset, connections, requests):
        """S152, S153, S160: the preset's run has a report as a file, which is that of --json, and a grade."""
        folder = self.folder()

        def attempt():
            for path in folder.iterdir():
                path.unlink()
            done = run([program("ringcast-bench"), "--json", "--preset", preset, *SHORT, self.server.url()],
                       seconds=60, cwd=folder)
            self.assertIn(done.returncode, (VALID, NOT_DELIVERED), done.stdout + done.stderr)
            return json.loads(done.stdout)
        report = self.checked(lambda: attempt(), VALID, 1)
        files = list(folder.iterdir())
        self.assertEqual(len(files), 1, files)
        self.assertRegex(files[0].name, r"^websocket_stress_test_report_\d{8}_\d{6}_\d{6}\.json$")
        self.assertEqual(json.loads(files[0].read_text(encoding="utf8")), report)
        self.assertEqual((report["connections"], report["subscribed"]), (connections, connections))
        self.assertEqual((report["received"], report["malformed"]), (report["due"], 0))
        answers = report["requests"]
        self.assertEqual((answers["count"], answers["answered"], answers["refused"], answers["success_rate"]),
                         (requests, requests, 0, 1.0))
        self.assertAlmostEqual(answers["per_second"], requests / answers["seconds"], delta=1)
        response = report["response_ns"]
        self.assertEqual(response["count"], requests)
        self.assertLessEqual(response["mean"], response["max"])
        # Each connection asks one after the other, so their times cannot add up to more than all were given.
        self.assertLessEqual(response["mean"] * requests, answers["seconds"] * 1e9 * connections * 1.01)
        self.assertIn(report["grade"], GRADES)

    def test_low(self):
        """S152: 20 connections, 100 requests."""
        self.stress("low", 20, 100)

    @in_full
    def test_medium(self):
        """S152: 50 connections, 500 requests."""
        self.stress("medium", 50, 500)

    @in_full
    def test_high(self):
        """S152: 100 connections, 2 000 requests."""
        self.stress("high", 100, 2000)

    def test_the_text_has_the_requests_and_the_grade(self):
        """S96, S160: the grade is a line of the report, with the reason."""
        done = bench("-c", 3, "-t", 2, "--requests", 7, *SHORT, self.server.url())
        self.assertEqual(done.returncode, VALID, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"\n  response( +[\d.]+(ns|us|ms|s)){8}\n")
        self.assertRegex(done.stdout, r"\n  requests    7 of 7 answered \(100\.00 %\) in [\d.]+(us|ms|s), [\d ]+/s\n")
        self.assertRegex(done.stdout, r"\n  grade       (S: no grade is better|(A\+|A|B|C): .+ needs .+)\n  VALID")

    @in_full
    def test_requests_are_divided_among_the_connections(self):
        """10 connections on 3 threads send 23 requests, and 4 connections send fewer requests than there are."""
        for connections, requests in ((10, 23), (4, 3)):
            report = self.report("-c", connections, "-t", 3, "--requests", requests, *SHORT, self.server.url())
            self.assertEqual(report["response_ns"]["count"], requests)

    def test_what_does_not_go_with_requests_is_said(self):
        for options, words in (
                (("--protocol", "plain"), "--requests are those of ringcast's readers"),
                (("--echo",), "--requests are those of ringcast's readers"),
                (("--stalled", 1), "--requests are those of ringcast's readers"),
                (("--until", "p99=1s"), "--requests are those of ringcast's readers"),
                (("--requests", "-1"), "--requests")):
            done = bench("--requests", 10, *options, self.server.url())
            self.assertEqual(done.returncode, 1, (options, done.stderr))
            self.assertIn(words, done.stderr)

    def test_a_folder_that_takes_no_report_is_an_error_before_the_run(self):
        folder = self.folder()
        (folder / "file").write_text("")
        for path, words in ((folder / "none", "No such file or directory"), (folder / "file", "Not a directory")):
            done = bench("--report", path, *SHORT, self.server.url())
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn(f"{path}: no report can be written there: {words}", done.stderr)

    def test_a_report_that_cannot_be_written_leaves_no_file(self):
        folder = self.folder()
        done = run([program("ringcast-bench"), "--report", folder, "-c", "2", *SHORT, self.server.url()],
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (256, 256)))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("cannot be written: File too large", done.stderr)
        self.assertEqual(list(folder.iterdir()), [])


class Refused(BenchTestCase):
    @in_full
    def test_requests_that_the_server_refuses_make_the_run_invalid(self):
        """S160: a run in which requests were refused has no grade."""
        with Server("--feed", "sim:symbols=5,rate=500", "--messages-per-second", "1") as server:
            report = self.report("-c", 2, "--requests", 40, *SHORT, server.url(), code=NOT_DELIVERED)
            text = bench("-c", 2, "--requests", 40, *SHORT, server.url()).stdout
        self.assertGreater(report["requests"]["refused"], 0)
        self.assertLess(report["requests"]["success_rate"], 1)
        self.assertEqual((report["grade"], report["grade_reason"]), (None, None))
        self.assertRegex(report["verdict"], r"^INVALID: \d+ of 40 requests were refused or not answered$")
        self.assertRegex(text, r"\n  requests    \d+ of 40 answered \([\d.]+ %\).*; \d+ REFUSED\n")
        self.assertIn('"code":111', text)  # the reason, as the server wrote it
        self.assertIsNone(re.search(r"\n  grade ", text))


if __name__ == "__main__":
    unittest.main()
