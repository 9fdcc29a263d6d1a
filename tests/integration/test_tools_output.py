"""What the tools do when nobody reads them, the disk is full, or the server refuses or sends evil text."""
import csv
import fcntl
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from clients import accept_of
from server import (Server, ServerTestCase, clean_environment, in_full, program, reap, run, spawn,
                    until_room, wait_until)
from test_bench import BY_DUE_TIME

FULL = "/dev/full"
F_SETPIPE_SZ = 1031


def run_into(out, *arguments, seconds=30):
    """(exit code, output if out is a pipe, errors). As run(), it waits for memory for a ring."""
    def attempt():
        process = spawn(arguments, stdout=out, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                        env=clean_environment())
        try:
            text, err = process.communicate(timeout=seconds)
        finally:
            reap(process)
        return (process.returncode, text, err), err.decode(errors="replace")
    return until_room(attempt)


@in_full
class FullDisk(ServerTestCase):
    options = ("--feed", "sim:symbols=5,rate=500")

    def check(self, *arguments, code=1):
        with self.subTest(arguments):
            with open(FULL, "wb") as full:
                found, _, err = run_into(full, *arguments)
            self.assertEqual(found, code, err)
            self.assertRegex(err.decode(), r"standard output cannot be written \((No space left on device|"
                                  r"is the disk full\?)\)")

    def test_help_and_version(self):
        for name in ("ringcast", "ringcast-tap", "ringcast-bench", "ringcast-echo"):
            self.check(program(name), "--help", code=5 if name == "ringcast-tap" else 1)
            self.assertEqual(run([program(name), "--help"]).returncode, 0)
        self.check(program("ringcast"), "--version")
        self.check(program("ringcast-tap"), "--version", code=5)
        self.check(program("ringcast-echo"), "--version")
        self.check(program("ringcast"), "--check-config")

    def test_tap(self):
        for options in ((), ("--json",), ("--verify", "--quiet", "--duration", "0.5"),
                        ("--verify", "--quiet", "--json", "--duration", "0.5")):
            self.check(program("ringcast-tap"), *options, self.server.url(), code=5)

    def test_bench(self):
        for options in ((), ("--json",), ("--until", "p99=1s", "--until-max", "3"),
                        ("--until", "p99=1s", "--until-max", "3", "--json")):
            self.check(program("ringcast-bench"), "-c", "2", "-d", "1", "--warmup", "0", *options,
                       self.server.url())

    def test_the_files_of_bench(self):
        with tempfile.TemporaryDirectory() as folder:
            picture = pathlib.Path(folder, "full.svg")
            picture.symlink_to(FULL)
            for option, path in (("--csv", FULL), ("--hdr-log", FULL), ("--hgrm", FULL), ("--plot", str(picture))):
                if option == "--plot" and shutil.which("gnuplot") is None:
                    continue
                for form in ((), ("--json",)):
                    with self.subTest(option, form=form):
                        result = run([program("ringcast-bench"), "-c", "2", "-d", "1", "--warmup", "0",
                                      option, path, *form, self.server.url()])
                        self.assertEqual(result.returncode, 1, result.stderr)
                        self.assertRegex(result.stderr, f"{path}: cannot be written")
                        if option != "--plot":
                            self.assertIn("No space left on device", result.stderr)
                        if form:
                            report = json.loads(result.stdout)
                            self.assertEqual((report["valid"], report["exit_code"]), (False, 1))
                        self.assertIn("INVALID: a file could not be written (the run: ", result.stdout)

    def test_a_file_that_fills_in_the_middle_is_told(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "x.csv")
            result = run([program("ringcast-bench"), "--json", "-c", "2", "-d", "3", "-w", "0", "--csv",
                          str(path), self.server.url()], seconds=40, preexec_fn=lambda: resource.setrlimit(
                              resource.RLIMIT_FSIZE, (256, 256)))
            self.assertEqual(result.returncode, 1, result.stderr)
            self.assertIn(f"{path}: cannot be written: File too large", result.stderr)
            report = json.loads(result.stdout)
            self.assertEqual((report["valid"], report["exit_code"]), (False, 1))
            self.assertEqual(path.stat().st_size, 256)


@in_full
class Files(ServerTestCase):
    options = ("--feed", "sim:symbols=5,rate=500")

    def test_a_file_that_cannot_be_opened_costs_no_run(self):
        accepted = self.server.stats()["connections"]["accepted"]
        for option in ("--csv", "--hdr-log", "--hgrm", "--plot"):
            with self.subTest(option):
                result = run([program("ringcast-bench"), "-d", "600", option, "/nonexistent/x.svg",
                              self.server.url()])
                self.assertEqual(result.returncode, 1)
                self.assertIn("/nonexistent/x.svg: No such file or directory", result.stderr)
        self.assertEqual(self.server.stats()["connections"]["accepted"], accepted)

    def test_a_plot_without_gnuplot_costs_no_run(self):
        with tempfile.TemporaryDirectory() as folder:
            result = run([program("ringcast-bench"), "-d", "600", "--plot", f"{folder}/x.svg",
                          self.server.url()], env={"PATH": folder})
        self.assertEqual(result.returncode, 1)
        self.assertIn("gnuplot is not installed", result.stderr)

    def test_a_picture_that_gnuplot_cannot_draw_costs_no_run(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("x.pdf", "x.jpg", "x", "svg", "x.svg.gz"):
                with self.subTest(name):
                    result = run([program("ringcast-bench"), "-d", "600", "--plot", f"{folder}/{name}",
                                  self.server.url()])
                    self.assertEqual(result.returncode, 1)
                    self.assertIn(f"--plot {folder}/{name}: the name must end in .svg or .png",
                                  result.stderr)
            self.assertEqual(os.listdir(folder), [])
            gnuplot = pathlib.Path(folder, "gnuplot")
            gnuplot.write_text("#!/bin/sh\nexit 1\n")
            gnuplot.chmod(0o755)
            result = run([program("ringcast-bench"), "-d", "600", "--plot", f"{folder}/x.png",
                          self.server.url()], env={"PATH": folder})
            self.assertEqual(result.returncode, 1)
            self.assertIn("gnuplot cannot draw such a picture", result.stderr)

    def test_one_file_for_two_outputs_costs_no_run(self):
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(f"{folder}/x", f"{folder}/y")
            for second in (f"{folder}/x", f"{folder}/y"):
                result = run([program("ringcast-bench"), "-d", "600", "--csv", f"{folder}/x",
                              "--hdr-log", second, self.server.url()])
                self.assertEqual(result.returncode, 1)
                self.assertIn(f"{folder}/x and {second} are one file", result.stderr)

    def test_the_file_of_the_report_is_no_second_output(self):
        with tempfile.TemporaryDirectory() as folder:
            for option, path in (("--csv", "/dev/stdout"), ("--hdr-log", f"{folder}/x")):
                with open(f"{folder}/x", "w+", encoding="ascii") as file:
                    file.write("before\n")
                    file.flush()
                    status, _, err = run_into(file, program("ringcast-bench"), "-d", "600", option, path,
                                              self.server.url())
                    self.assertEqual(status, 1)
                    self.assertIn(f"standard output and {path} are one file", err.decode())
                    file.seek(0)
                    self.assertEqual(file.read(), "before\n")

    def test_a_picture_whose_folder_is_gone_is_not_drawn_into_the_report(self):
        gnuplot = shutil.which("gnuplot")
        if gnuplot is None:
            self.skipTest("SKIPPED: gnuplot is not installed")
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(f"{folder}/gone")
            wrapper = pathlib.Path(folder, "gnuplot")  # With arguments it is asked what it can draw.
            wrapper.write_text(f'#!/bin/sh\n[ $# -gt 0 ] || rm -r {folder}/gone\nexec {gnuplot} "$@"\n')
            wrapper.chmod(0o755)
            result = run([program("ringcast-bench"), "--json", "-c", "2", "-d", "1", *BY_DUE_TIME, "--plot",
                          f"{folder}/gone/x.svg", self.server.url()],
                         env={"PATH": f"{folder}:{os.environ['PATH']}"})
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("gone/x.svg: gnuplot failed", result.stderr)
        self.assertEqual(json.loads(result.stdout)["exit_code"], 1)

    def test_a_picture_of_one_second_has_no_warnings(self):
        if shutil.which("gnuplot") is None:
            self.skipTest("SKIPPED: gnuplot is not installed")
        with tempfile.TemporaryDirectory() as folder:
            for name in ("x.svg", "y.PNG"):
                path = pathlib.Path(folder, name)
                result = run([program("ringcast-bench"), "-q", "-c", "2", "-d", "1", "--plot", str(path),
                              *BY_DUE_TIME, self.server.url()])
                self.assertEqual((result.returncode, result.stderr), (0, ""), result.stdout)
                self.assertGreater(path.stat().st_size, 1000)
                self.assertEqual(path.read_bytes()[:4] == b"\x89PNG", name == "y.PNG")

    def test_a_picture_of_nothing_is_not_drawn(self):
        if shutil.which("gnuplot") is None:
            self.skipTest("SKIPPED: gnuplot is not installed")
        with tempfile.TemporaryDirectory() as folder:
            result = run([program("ringcast-bench"), "-c", "2", "-d", "1", "-y", "trade", "--plot",
                          f"{folder}/x.svg", self.server.url()])
            self.assertEqual(result.returncode, 3, result.stderr)
            self.assertIn("no picture: nothing was received", result.stderr)

    def test_csv_has_no_figure_that_was_not_measured(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "x.csv")
            result = run([program("ringcast-bench"), "-c", "2", "-d", "1", "-y", "trade", "--csv",
                          str(path), self.server.url()])
            self.assertEqual(result.returncode, 3, result.stderr)
            with open(path, newline="", encoding="ascii") as file:
                row, = csv.DictReader(file)
        for name in ("p50_ns", "p99.99_ns", "max_ns", "core_busy_ns", "server_cpu_ns",
                     "server_rss_bytes"):
            self.assertEqual(row[name], "", name)
        self.assertEqual((row["second"], row["frames"]), ("0.000", "0"))
        self.assertTrue(0 <= float(row["load_busy"]) < 1, row)

    def test_a_process_or_core_that_is_not_there_costs_no_run(self):
        gone = subprocess.Popen(["true"])
        gone.wait()
        zombie = spawn(["true"])
        self.addCleanup(reap, zombie)
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        for options, words in ((("--cpu", "4095"), "--cpu 4095: /proc/stat has no such core"),
                               (("--cpu", "0-1"), "--cpu: '0-1' is not a number"),
                               (("--cpu", "0,1"), "--cpu: '0,1' is not a number"),
                               (("--pid", "0"), "--pid: '0' is not a number from 1"),
                               (("--pid", str(gone.pid)), f"--pid {gone.pid}: there is no such"),
                               (("--pid", str(zombie.pid)), f"--pid {zombie.pid}: there is no such")):
            with self.subTest(options):
                result = run([program("ringcast-bench"), "-d", "600", *options, self.server.url()])
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertIn(words, result.stderr)

    def test_an_old_file_lasts_until_the_new_is_written(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "x.csv")
            path.write_text("old\n" * 1000)
            result = run([program("ringcast-bench"), "--csv", str(path), "--timeout", "1",
                          "ws://localhost:1/nowhere", "--symbols", ""])
            self.assertNotEqual(result.returncode, 0)
            result = run([program("ringcast-bench"), "-c", "2", "-d", "1", "--csv", str(path),
                          *BY_DUE_TIME, self.server.url()])
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertNotIn("old", path.read_text())
            self.assertTrue(path.read_text().startswith("second,"))


class ClosedPipe(ServerTestCase):
    options = ("--feed", "sim:symbols=5,rate=500")

    def head(self, lines, *arguments):
        """As `program | head -LINES` does it. Returns the exit code and standard error."""
        process = spawn(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                        env=clean_environment())
        self.addCleanup(reap, process)
        for _ in range(lines):
            self.assertTrue(process.stdout.readline())
        process.stdout.close()
        code = process.wait(20)
        err = process.stderr.read().decode()
        process.stderr.close()
        return code, err

    def test_tap_ends_and_says_nothing(self):
        for options in ((), ("--json",), ("--verify", "--print")):
            with self.subTest(options):
                code, err = self.head(1, program("ringcast-tap"), *options, self.server.url())
                self.assertEqual((code, err), (5, ""))

    def test_tap_ends_although_nothing_more_comes(self):
        for options in (("--symbols", "NOTHING*", "--quiet"), ("--verify",),
                        ("--symbols", "NOTHING*")):
            with self.subTest(options):
                lines = 2 if options == ("--symbols", "NOTHING*") else 0  # WELCOME, SUBSCRIBED
                code, err = self.head(lines, program("ringcast-tap"), *options, self.server.url())
                self.assertEqual(code, 5)
                self.assertIn(err, ("", "ringcast-tap: no channel yet matches NOTHING* quote\n"))

    def test_all_that_was_asked_for_is_well_although_the_reader_left(self):
        code, err = self.head(0, program("ringcast-bench"), "-c", "1", "-d", "1", self.server.url())
        self.assertEqual(code, 1, err)
        result = subprocess.run(["bash", "-c", f"set -o pipefail; {program('ringcast-tap')} -n 5 "
                                 f"{self.server.url()} | cat"], capture_output=True, timeout=30)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_tap_that_nobody_reads_ends_by_a_signal(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            read_end, write_end = os.pipe()
            fcntl.fcntl(write_end, F_SETPIPE_SZ, 4096)
            process = spawn([program("ringcast-tap"), self.server.url()], stdout=write_end,
                            stderr=subprocess.DEVNULL)
            self.addCleanup(reap, process)
            os.close(write_end)

            def is_full():
                return "pipe_write" in pathlib.Path(f"/proc/{process.pid}/wchan").read_text()
            # It has much to print at once.
            os.read(read_end, 1)
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.5)
            process.send_signal(signal.SIGCONT)
            wait_until(is_full, 30)
            process.send_signal(number)
            self.assertEqual(process.wait(30), 5)
            os.close(read_end)


class Refused(ServerTestCase):
    options = ("--feed", "sim:symbols=5,rate=500")  # quotes only

    def tap(self, *options, url=None, seconds=30):
        return run([program("ringcast-tap"), *options, url or self.server.url()], seconds=seconds)

    def test_a_number_that_is_none_is_named(self):
        for option, name, texts, valid in (
                ("-n", "--count", ("0.5", "1.5", "0", "-1", "nan", "2e15", "", "1x"), "a whole number from 1 to"),
                ("-c", "--connections", ("0.5", "1.5", "0", "100001"), "a whole number from 1 to 100000"),
                ("-d", "--duration", ("0", "1e-10", "nan", "inf", "1e7", "5x", "5sm", "s"),
                 "a time above 0 and up to")):
            for text in texts:
                with self.subTest((option, text)):
                    result = self.tap("--verify", f"{option}{text}" if text else f"{option} ")
                    self.assertEqual(result.returncode, 1, result.stderr)
                    self.assertTrue(result.stderr.startswith(
                        f"ringcast-tap: {name}: '{text or ' '}' is not {valid}"), result.stderr)

    def test_a_symbol_that_json_cannot_hold_is_told(self):
        result = self.tap("-n", "1", "-s", b"000001.SZ,\xff")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("not UTF-8", result.stderr)

    def test_an_error_ends_it(self):
        for options in (("-y", "qoute"), ("-n", "1", "-y", "foo"), ("-n", "1", "-y", "foo", "--json"),
                        ("--verify", "-y", "foo")):
            with self.subTest(options):
                result = self.tap(*options)
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertRegex(result.stderr, r"^ringcast-tap: refused: unknown data type; .*\(121\)\n$")
                self.assertNotIn("CERTIFICATE", result.stdout)

    def test_symbols_that_are_all_refused_end_it(self):
        for options in ((), ("-n", "1"), ("--json",)):
            with self.subTest(options):
                result = self.tap("-s", "BTC-USD,ETH-USD", *options)
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertEqual(result.stderr, "".join(
                    f"ringcast-tap: refused: {symbol} quote: unknown symbol (120)\n"
                    for symbol in ("BTC-USD", "ETH-USD")))

    def test_what_is_refused_in_part_goes_on_for_the_rest(self):
        for options in (("-s", "000001.SZ,BTC-USD"), ("-s", "000001.SZ", "-y", "quote,trade")):
            with self.subTest(options):
                result = self.tap("-n", "5", *options)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertEqual(result.stderr.count("refused: "), 1)
                self.assertEqual(result.stdout.count("000001.SZ quote #"), 5)

    def test_each_reader_is_counted_once(self):
        """Refusals are the same for all readers, and are told once."""
        refused = "ringcast-tap: refused: BTC-USD quote: unknown symbol (120)\n"
        result = self.tap("--verify", "-c", "3", "-d", "0.5", "-s", "000001.SZ,BTC-USD")
        self.assertEqual((result.returncode, result.stderr), (0, refused))
        result = self.tap("--verify", "-c", "3", "-s", "BTC-USD")
        self.assertEqual((result.returncode, result.stderr), (2, refused +
                         "ringcast-tap: of 3 connections 0 served, 3 refused, 0 closed by the server, "
                         "0 without an answer; 0 errors\n"))
        self.assertEqual(result.stdout, "")
        with EvilServer(None, server_frame(1, b'{"type":"SUBSCRIBED","id":1,"data":{"ok":[{"ch":1}]}}'),
                        server_frame(1, b'{"type":"ERROR","id":9,"data":{}}'),
                        close_frame(4001, b"")) as port:
            result = self.tap("--verify", "-c", "2", url=f"ws://127.0.0.1:{port}")
        self.assertIn("of 2 connections 0 served, 0 refused, 2 closed by the server, 0 without an answer; "
                      "2 errors", result.stderr)
        self.assertIn("connection 2: closed by the server: 4001", result.stderr)

    def test_a_pattern_without_a_channel_is_told_once(self):
        for options in ((), ("-c", "2", "--verify"), ("--json",)):
            with self.subTest(options):
                result = self.tap("-s", "ZZZ*,000001.SZ", "-d", "1", *options)
                self.assertEqual((result.returncode, result.stderr),
                                 (0, "ringcast-tap: no channel yet matches ZZZ* quote\n"))

    def test_one_reader_has_no_number(self):
        for frames in ([close_frame(4001, b"")], [server_frame(2, b"binary")],
                       [server_frame(1, b'{"type":"SUBSCRIBED","id":1,"data":{"ok":[{"ch":1}]}}'),
                        server_frame(1, b'{"type":"GAP","data":{"ch":1,"from":1,"to":2}}'),
                        server_frame(1, b"no JSON"), close_frame(4001, b"")]):
            for options in ((), ("--verify",)):
                with self.subTest((frames, options)), EvilServer(None, *frames) as port:
                    result = self.tap("-d", "1", *options, url=f"ws://127.0.0.1:{port}")
                    self.assertNotIn("connection 1:", result.stderr + result.stdout)
                    self.assertNotEqual(result.returncode, 0)

    def test_a_server_that_does_not_answer_is_told(self):
        with EvilServer(None) as port:
            result = self.tap("-d", "0.5", url=f"ws://127.0.0.1:{port}")
            self.assertEqual((result.returncode, result.stderr),
                             (2, "ringcast-tap: the server did not answer the subscription\n"))

    def test_options_given_twice_add_up(self):
        result = self.tap("-d", "1", "--json", "-s", "000001.SZ", "--symbols", "600519.SH,NO1", "-s", "NO2")
        ticks = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual({tick["symbol"] for tick in ticks if tick["type"] == "quote"},
                         {"000001.SZ", "600519.SH"})
        self.assertEqual(result.stderr.count("unknown symbol (120)"), 2, result.stderr)
        result = self.tap("-n", "1", "-y", "quote", "-y", "bar", "-s", "000001.SZ")
        self.assertRegex(result.stderr, r"^ringcast-tap: refused: 000001\.SZ bar: .* \(120\)\n$")
        for options in (("-s", "A" * 9000, "-s", "B" * 9000), ("-s", "A" * 20000)):
            result = self.tap(*options)
            self.assertEqual(result.returncode, 1)
            self.assertIn("too many symbols or types for one message", result.stderr)

    def test_one_of_a_kind_is_no_plural(self):
        result = self.tap("--verify", "--quiet", "-n", "1", "-s", "000001.SZ")
        self.assertIn("1 connection, 1 channel,", result.stdout)
        self.assertNotRegex(result.stdout, r"\b1 [a-z]+s\b")

    def test_a_server_that_wants_a_token_ends_it(self):
        with Server("--feed", "sim:symbols=5,rate=500", "--enable-auth", "--auth-token",
                    "a-token-of-some-length") as server:
            result = self.tap(url=server.url())
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn("101", result.stderr)

    def test_an_error_without_a_number_ends_it_too(self):
        for id in (b"", b'"id":null,', b'"id":1,'):
            with self.subTest(id), EvilServer(None, server_frame(
                    1, b'{"type":"ERROR",' + id + b'"data":{"code":999}}')) as port:
                result = self.tap(url=f"ws://127.0.0.1:{port}")
                self.assertEqual(result.returncode, 2)

    def test_a_connection_that_ends_or_is_refused_is_2(self):
        with EvilServer(b"HTTP/1.1 503 Busy\r\n\r\n") as port:
            result = self.tap(url=f"ws://127.0.0.1:{port}")
            self.assertEqual(result.returncode, 2)
            self.assertIn("503 Busy", result.stderr)
        with EvilServer(None, close_frame(4001, b"no token")) as port:
            result = self.tap(url=f"ws://127.0.0.1:{port}")
            self.assertEqual(result.returncode, 2)
            self.assertIn("closed by the server: 4001 no token", result.stderr)


# A window's title, a cleared screen, a C1 control, a turned direction, bytes that are no UTF-8.
EVIL = "\x1b]0;owned\x07\x1b[2J\r\n\u009b31m\u202eabc".encode() + b"\xff\x9b"
EVIL_TEXT = EVIL[:-2]  # a text message must be UTF-8


class Evil(unittest.TestCase):
    """What a server sends does not reach a terminal as it is."""

    def check(self, text):
        text = text.replace(b"\n", b"")
        for byte in b"\x1b\r\x07\xff":
            self.assertNotIn(bytes([byte]), text)
        self.assertNotIn("\u009b".encode(), text)
        self.assertNotIn("\u202e".encode(), text)
        text.decode()

    def run_against(self, *arguments, head=None, frames=()):
        with EvilServer(head, *frames) as port:
            _, out, err = run_into(subprocess.PIPE, *arguments, f"ws://127.0.0.1:{port}/")
        return out, err

    def test_the_reason_of_a_close(self):
        reason = EVIL_TEXT[:100]
        out, err = self.run_against(program("ringcast-tap"), frames=[close_frame(4001, reason)])
        self.check(out + err)
        self.assertIn(rb"4001 \x1b]0;owned\x07\x1b[2J\x0d\x0a\u009b31m\u202eabc", err)

    def test_the_status_line_of_a_refused_upgrade(self):
        head = b"HTTP/1.1 503 " + EVIL.replace(b"\r\n", b"") + b"\r\n\r\n"
        for name, options in (("ringcast-tap", ()), ("ringcast-bench", ("-c", "1", "-d", "1"))):
            out, err = self.run_against(program(name), *options, head=head)
            self.check(out + err)
            if name == "ringcast-tap":
                self.assertIn(rb"503 \x1b]0;owned", err)

    def test_messages_ticks_and_a_certificate(self):
        evil = EVIL_TEXT.replace(b"\r\n", b"")
        tick = (b'{"type":"quote","ch":1,"symbol":"' + evil + b'","seq":1,"ts_pub":1,"data":{"'
                + evil + b'":"' + evil + b'"}}')
        frames = [server_frame(1, b'{"type":"WELCOME","data":{"epoch":"' + evil + b'"}}'),
                  server_frame(1, b'{"type":"SUBSCRIBED","id":1,"data":{"ok":[{"ch":1,"next_seq":1}],'
                               b'"failed":[{"symbol":"\xc2\x9b31m"}]}}'),
                  server_frame(1, tick),
                  server_frame(1, b'{"type":"' + evil + b'","data":{"x":"' + evil + b'"}}'),
                  server_frame(1, b'{"type":"ERROR","data":{"message":"\xc2\x9b31m' + evil + b'"}}'),
                  server_frame(1, evil), close_frame(1000, b"")]
        for options in ((), ("--verify",)):
            with self.subTest(options):
                out, err = self.run_against(program("ringcast-tap"), *options, frames=frames)
                self.check(out + err)
                if not options:
                    self.assertIn(rb"\x1b]0;owned\x07\x1b[2J\u009b31m\u202eabc quote #1", out)

    def test_a_refusal_in_the_report_of_bench(self):
        frames = [server_frame(1, b'{"type":"WELCOME","data":{}}'),
                  server_frame(1, b'{"type":"ERROR","id":1,"data":{"message":"\xc2\x9b31m\x7f"}}')]
        out, err = self.run_against(program("ringcast-bench"), "-c", "1", "-d", "1", frames=frames)
        self.check(out + err)
        self.assertNotIn(b"\x7f", out)
        self.assertIn(rb"\u009b31m\x7f", out)


def server_frame(opcode, payload):
    if len(payload) < 126:
        return bytes([0x80 | opcode, len(payload)]) + payload
    return bytes([0x80 | opcode, 126]) + len(payload).to_bytes(2, "big") + payload


def close_frame(code, reason):
    return server_frame(8, code.to_bytes(2, "big") + reason)


class EvilServer:
    """Answers each request with head (None: 101), then with frames, and waits for the client's end.
    Of a head, ACCEPT becomes what the request's key asks for."""

    def __init__(self, head, *frames):
        self.head, self.frames = head, frames

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self.listener.getsockname()[1]

    def __exit__(self, *_):
        # The thread ends first: it might accept by the number of a descriptor that is another's by then.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client:
            request = b""
            while b"\r\n\r\n" not in request:
                piece = client.recv(4096)
                if not piece:
                    return
                request += piece
            key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0].decode()
            head = self.head and self.head.replace(b"ACCEPT", accept_of(key).encode())
            client.sendall(head or (
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Accept: {accept_of(key)}\r\nSec-WebSocket-Protocol: md.json.v1\r\n"
                "\r\n").encode())
            for piece in self.frames:
                client.sendall(piece)
            if self.frames or not self.head:
                try:
                    while client.recv(4096):
                        pass
                except OSError:
                    pass


if __name__ == "__main__":
    unittest.main()
