"""`ringcast stat` beside a server: the same figures as /metrics and /stats, at no cost to the server."""
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time
import unittest

import test_bench
from server import (Server, ServerTestCase, as_ordinary_user, clean_environment, program, reap, run,
                    spawn, wait_until)

ENDED = 3
LOOKS = 300
KINDS = ("counter", "gauge", "histogram", "max")
SCOPES = ("process", "publisher", "cores")
CORES = 2
NS = 2


def stat(server, *options, prefix=(), seconds=30):
    return run([*prefix, program("ringcast"), "stat", "--pid", str(server.pid), *options],
               seconds=seconds)


def totals(server):
    result = stat(server, "--total", "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def text_at(data, at, count):
    return data[at:at + count].split(b"\0")[0].decode()


def entries_of(path):
    """(scope, name, metric, labels, kind, unit) of each entry, by ring/board/counters_format.h."""
    data = path.read_bytes()
    magic, version, cores, pid, started = struct.unpack_from("<8sIIQQ", data)
    assert magic == b"ringcst1" and version >= 6, (magic, version)
    _, _, _, _, _, at, step, count = struct.unpack_from("<8I", data, 32)
    for entry in range(at, at + count * step, step):
        _, scope, kind, unit = struct.unpack_from("<IBBB", data, entry + 224)
        yield (scope, text_at(data, entry, 32), text_at(data, entry + 32, 48),
               text_at(data, entry + 80, 32), KINDS[kind], unit)


def metrics(server):
    """{"name{labels}": value}"""
    body = server.admin("/metrics")[2]
    return {name: float(value) for name, value in re.findall(r"^(\w+(?:\{.*\})?) (\S+)$", body, re.M)}


def series(metric, labels, core):
    inside = ",".join(part for part in (f'core="{core}"' if core is not None else "", labels) if part)
    return f"ringcast_{metric}" + (f"{{{inside}}}" if inside else "")


class Figures(unittest.TestCase):
    """Under load no two readings are of one instant; what only grows lies between those around it."""

    def numbers(self, entries, found):
        """(series, kind, value as /metrics has it) of each number that /metrics has, too."""
        for scope, name, metric, labels, kind, unit in entries:
            own = found[SCOPES[scope]]
            factor = 1e-9 if unit == NS else 1
            for core, numbers in enumerate(own) if isinstance(own, list) else [(None, own)]:
                if metric and kind == "histogram":
                    yield series(metric + "_count", labels, core), kind, numbers[name]["count"]
                    yield series(metric + "_sum", labels, core), kind, numbers[name]["sum_ns"] * factor
                elif metric:
                    yield series(metric, labels, core), kind, numbers[name] * factor

    def compare(self, server, entries):
        """Between two readings of /metrics; returns the names of what did not stand still."""
        before, found, after = metrics(server), totals(server), metrics(server)
        moving, seen = set(), 0
        for name, kind, value in self.numbers(entries, found):
            seen += 1
            if before[name] == after[name] and kind != "gauge":
                self.assertAlmostEqual(value, after[name], delta=2e-9, msg=name)
            elif kind != "gauge":
                self.assertLessEqual(before[name], value + 2e-9, name)
                self.assertLessEqual(value, after[name] + 2e-9, name)
                moving.add(name)
            elif value != after[name]:
                moving.add(name)
        self.assertGreater(seen, 50)
        return moving

    def between(self, early, found, late, name):
        self.assertLessEqual(early, found + 2e-9, name)
        self.assertLessEqual(found, late + 2e-9, name)

    def in_stats(self, stats, name, number):
        """The same number of /stats, whose durations are in seconds."""
        if name.endswith("_ns") and not isinstance(number, dict):
            return stats[name[:-len("_ns")] + "_seconds"] * 1e9
        return stats[name]

    def compare_stats(self, server, entries):
        """/stats has each number, by its name, between two readings of ours."""
        early, stats, late = totals(server), server.stats(), totals(server)
        for scope, name, _, _, kind, _ in entries:
            scopes = [found[SCOPES[scope]] for found in (early, stats, late)]
            for ours, theirs, later in zip(*scopes) if scope == CORES else [scopes]:
                number = self.in_stats(theirs, name, ours[name])
                if kind == "histogram":
                    self.between(ours[name]["count"], number["count"], later[name]["count"], name)
                    self.between(ours[name]["sum_ns"], number["sum_seconds"] * 1e9 + 0.5,
                                 later[name]["sum_ns"] + 1, name)
                    self.assertEqual({key.replace("_seconds", "_ns") for key in number},
                                     set(ours[name]) - {"p99_9_ns"})
                elif kind != "gauge":
                    self.between(ours[name], number + 0.5, later[name] + 1, name)

    def test_totals_are_those_of_metrics_and_stats_under_load_and_at_rest(self):
        with Server("--cores", 2, "--feed", "sim:symbols=20,rate=2000") as server:
            entries = list(entries_of(server.counters_path()))
            clients = test_bench.started("-c", 40, "-d", 600, server.url(), is_there=lambda:
                                         server.stats()["connections"]["subscriptions"] == 40)
            try:
                moved = {"ringcast_ticks_published_total", 'ringcast_flush_latency_seconds_sum{core="1"}',
                         'ringcast_sends_total{core="0",result="whole"}'}
                self.assertTrue(wait_until(lambda: moved <= self.compare(server, entries), 30))
                self.compare_stats(server, entries)
            finally:
                reap(clients)
                clients.communicate()
            self.assertTrue(wait_until(lambda: server.stats()["connections"]["open"] == 0, 30))
            # What is left moves while nobody is there: ticks, turns, times.
            at_rest = {name for name, _, _ in self.numbers(entries, totals(server))
                       if re.search("connections|subscriptions|messages|frames_sent|sent_bytes|sends_total|"
                                    "gaps|lost|conflated", name)}
            self.assertGreater(len(at_rest), 20)
            self.assertTrue(wait_until(lambda: not at_rest & self.compare(server, entries), 30))
            self.compare_stats(server, entries)

    def windows_beside_metrics(self, server, count):
        """The objects of `count` intervals, and readings of /metrics: (when it had come, values). One was
        read before the first interval, and one each after the end of an interval was known."""
        readings, lines = [(time.time_ns(), metrics(server))], []
        process = spawn([program("ringcast"), "stat", "--pid", str(server.pid), "--json", "0.3"],
                        stdout=subprocess.PIPE, text=True)
        for _ in range(count):
            lines.append(json.loads(process.stdout.readline()))
            values = metrics(server)
            readings.append((time.time_ns(), values))
        reap(process)
        process.stdout.close()
        return lines, readings

    def test_intervals_grow_as_metrics_do(self):
        columns = {"sends": 'ringcast_sends_total{core="0",result="whole"}',
                   "frames_out": 'ringcast_frames_sent_total{core="0"}',
                   "bytes_out": 'ringcast_sent_bytes_total{core="0"}'}
        with Server("--feed", "sim:symbols=20,rate=1000") as server:
            clients = test_bench.started("-c", 10, "-d", 600, server.url(), is_there=lambda:
                                         server.stats()["connections"]["subscriptions"] == 10)
            try:
                lines, readings = self.windows_beside_metrics(server, 5)
            finally:
                reap(clients)
                clients.communicate()
        for before, after in zip(lines, lines[1:]):
            self.assertAlmostEqual(after["time_ns"] - before["time_ns"], after["interval_ns"], delta=5e7)
        # From the end of the first interval to that of the last.
        early = readings[0][1]
        late = readings[-1][1]
        inner_early = readings[1][1]
        inner_late = [values for when, values in readings if when < lines[-1]["time_ns"]][-1]
        for key, name in columns.items():
            grown = sum(line["cores"][0][key] for line in lines[1:])
            self.assertGreater(grown, 0, key)
            self.assertLessEqual(grown, late[name] - early[name], key)
            self.assertGreaterEqual(grown, inner_late[name] - inner_early[name], key)


class Forms(ServerTestCase):
    options = ("--feed", "sim:symbols=5,rate=500")

    def test_lines_come_after_each_interval(self):
        result = stat(self.server, "0.05", "5")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        lines = result.stdout.splitlines()
        self.assertEqual(len(lines), 7)
        for line in lines[2:]:
            self.assertRegex(line, r"^\d\d:\d\d:\d\d    0 ")
            self.assertEqual(len(line.split()), 17, line)

    def test_the_list_has_it(self):
        result = run([program("ringcast"), "stat", "--list", "--json"])
        found = [json.loads(line) for line in result.stdout.splitlines()]
        own, = [one for one in found if one["id"] == str(self.server.pid)]
        self.assertEqual((own["state"], own["pid"], own["cores"]), ("alive", self.server.pid, 1))
        self.assertRegex(run([program("ringcast"), "stat", "--list"]).stdout,
                         rf"(?m)^ *{self.server.pid} .* alive$")

    def test_each_line_is_there_at_once_in_a_pipe(self):
        process = spawn([program("ringcast"), "stat", "--pid", str(self.server.pid), "0.05"],
                        stdout=subprocess.PIPE, text=True)
        self.addCleanup(reap, process)
        for _ in range(4):
            self.assertTrue(process.stdout.readline())
        process.stdout.close()

    def test_it_ends_when_its_reader_leaves(self):
        for options in (("0.05",), ("0.05", "--json"), ("3600",), ("--total",)):
            with self.subTest(options):
                process = spawn([program("ringcast"), "stat", "--pid", str(self.server.pid), *options],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                self.addCleanup(reap, process)
                if "0.05" in options or "--total" in options:
                    self.assertTrue(process.stdout.readline())
                process.stdout.close()
                # A pipe takes all totals at once.
                self.assertIn(process.wait(20), (0, 1) if options == ("--total",) else (1,))
                self.assertEqual(process.stderr.read(), "")
                process.stderr.close()

    def test_a_full_disk_is_an_error(self):
        for options in (("0.05",), ("--total",), ("--total", "--json"), ("--help",)):
            with self.subTest(options), open("/dev/full", "wb") as full:
                process = spawn([program("ringcast"), "stat", "--pid", str(self.server.pid), *options],
                                stdout=full, stderr=subprocess.PIPE, text=True)
                _, err = process.communicate(timeout=30)
                reap(process)
                self.assertEqual(process.returncode, 1, err)
                self.assertIn("ringcast stat: standard output cannot be written", err)

    def test_another_user_is_told_whose_it_is(self):
        prefix = as_ordinary_user()
        if not prefix:
            self.skipTest("SKIPPED: only root can be another user")
        result = stat(self.server, "--total", prefix=prefix)
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertIn(f"/dev/shm/ringcast-{self.server.pid}: it belongs to user root (0)", result.stderr)


class Words(unittest.TestCase):
    def test_another_word_is_refused_with_those_there_are(self):
        for words in (("foo",), ("foo", "--help"), ("",), ("Stat",)):
            result = run([program("ringcast"), *words])
            self.assertEqual((result.returncode, result.stdout), (2, ""))
            self.assertIn(f'ringcast: "{words[0]}" is neither an option nor a command', result.stderr)
            self.assertIn("Commands: stat ctl health doctor archive restore help\n", result.stderr)

    def test_a_word_after_an_option_is_no_command(self):
        result = run([program("ringcast"), "--check-config", "stat"])
        self.assertEqual(result.returncode, 2)
        self.assertIn('"stat" is not an option', result.stderr)

    def test_the_help_of_the_server_names_it(self):
        self.assertIn("\n  stat  ", run([program("ringcast"), "--help"]).stdout)


class End(unittest.TestCase):
    def end_of(self, number, *options):
        with Server("--feed", "sim:symbols=5,rate=500") as server:
            process = spawn([program("ringcast"), "stat", "--pid", str(server.pid), *options],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.addCleanup(reap, process)
            first = process.stdout.readline()
            while options == ("0.05",) and first.count("\n") < 3:  # two are the header
                first += process.stdout.readline()
            server.signal(number)
            out, err = process.communicate(timeout=30)
            self.assertEqual(process.returncode, ENDED)
            self.assertIn(f"ringcast stat: server {server.pid} has ended\n", err)
            server.wait()
            return first + out

    def test_a_server_that_ends_or_is_killed_has_a_last_line(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            with self.subTest(number):
                self.assertGreaterEqual(self.end_of(number, "0.05").count("\n"), 4)
                last = self.end_of(number, "0.05", "--json").splitlines()[-1]
                self.assertIs(json.loads(last)["alive"], False)

    def test_a_file_that_is_cut_under_it_is_told(self):
        with Server("--feed", "sim:symbols=5,rate=500") as server:
            process = spawn([program("ringcast"), "stat", "--pid", str(server.pid), "--json", "0.05"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.addCleanup(reap, process)
            self.assertTrue(process.stdout.readline())
            server.signal(signal.SIGSTOP)
            os.truncate(f"/dev/shm/ringcast-{server.pid}", 0)
            _, err = process.communicate(timeout=30)
            self.assertEqual(process.returncode, 2, err)
            self.assertIn("damaged", err)
            server.signal(signal.SIGKILL)
            server.wait()


class Watch(unittest.TestCase):
    ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"

    def setUp(self):
        self.server = Server("--feed", "sim:symbols=5,rate=500").start()
        self.addCleanup(self.server.kill)
        self.terminal, inner = pty.openpty()
        self.addCleanup(os.close, self.terminal)
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
        self.process = spawn([program("ringcast"), "stat", "--pid", str(self.server.pid), "--watch", "0.05"],
                             stdin=inner, stdout=inner, stderr=inner)
        self.addCleanup(reap, self.process)
        os.close(inner)
        self.shown = b""

    def show(self):
        while select.select([self.terminal], [], [], 0)[0]:
            try:
                data = os.read(self.terminal, 65536)
            except OSError:  # The other end is closed.
                return self.shown
            if not data:
                break
            self.shown += data
        return self.shown

    def pictures(self):
        return len(re.findall(rb"\d\d:\d\d:\d\d", self.show()))

    def ended(self):
        self.assertTrue(wait_until(lambda: self.show() and self.process.poll() is not None, 30))
        self.show()
        self.assertGreater(self.shown.rindex(self.LEAVE), self.shown.rindex(self.ENTER))
        return self.process.returncode

    def test_it_draws_over_itself_and_gives_the_terminal_back(self):
        self.assertTrue(wait_until(lambda: self.pictures() > 3, 30))
        self.assertIn(self.ENTER, self.shown)
        self.assertNotIn(self.LEAVE, self.shown)
        self.assertGreater(self.shown.count(b"\x1b[H"), 3)
        self.process.send_signal(signal.SIGINT)
        self.assertEqual(self.ended(), 0)
        # The last picture stays.
        self.assertRegex(self.shown[self.shown.rindex(self.LEAVE):], rb"\d\d:\d\d:\d\d")

    def test_a_stop_gives_the_terminal_back_until_it_goes_on(self):
        self.assertTrue(wait_until(lambda: self.pictures() > 1, 30))
        self.process.send_signal(signal.SIGTSTP)
        self.assertTrue(wait_until(lambda: self.LEAVE in self.show(), 30))
        self.assertTrue(wait_until(lambda: os.waitid(
            os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT | os.WNOHANG) is not None, 30))
        before = self.pictures()
        self.process.send_signal(signal.SIGCONT)
        self.assertTrue(wait_until(lambda: self.pictures() > before + 1, 30))
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.ended(), 0)

    def test_the_end_of_the_server_ends_it(self):
        self.assertTrue(wait_until(lambda: self.pictures() > 1, 30))
        self.server.signal(signal.SIGKILL)
        self.assertEqual(self.ended(), ENDED)
        self.assertIn(b"has ended", self.shown[self.shown.rindex(self.LEAVE):])

    def test_a_file_that_is_cut_gives_the_terminal_back_too(self):
        self.assertTrue(wait_until(lambda: self.pictures() > 1, 30))
        self.server.signal(signal.SIGSTOP)
        os.truncate(f"/dev/shm/ringcast-{self.server.pid}", 0)
        self.assertEqual(self.ended(), 2)
        self.assertIn(b"damaged", self.shown[self.shown.rindex(self.LEAVE):])

    def test_another_size_of_the_terminal_is_taken_up(self):
        self.assertTrue(wait_until(lambda: self.pictures() > 1, 30))
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 3, 120, 0, 0))
        self.process.send_signal(signal.SIGWINCH)
        self.show()

        def newest():
            return self.show().split(b"\x1b[H")[-2]
        self.assertTrue(wait_until(lambda: newest().count(b"\r\n") == 2, 30), newest())


class Cost(unittest.TestCase):
    """An idle server, whose threads only wake up by their own timers."""
    def traced(self, server, until):
        """{(thread, system call): how often} while until() runs, and the paths that were opened."""
        names = {task.name: (task / "comm").read_text().strip()
                 for task in pathlib.Path(f"/proc/{server.pid}/task").iterdir()}
        with tempfile.NamedTemporaryFile("r") as report:
            tracer = spawn(["strace", "-f", "-o", report.name, "-p", str(server.pid)],
                           stderr=subprocess.PIPE, text=True)
            self.addCleanup(reap, tracer)
            said = tracer.stderr.readline()
            if "attached" not in said:
                tracer.communicate(timeout=30)
                self.skipTest(f"SKIPPED: strace may not attach here: {said}")
            until()
            tracer.send_signal(signal.SIGINT)
            tracer.communicate(timeout=40)
            calls, opened = {}, set()
            for line in report.read().splitlines():
                match = re.match(r"(\d+) +(\w+)\(([^)]*)", line)  # "<... resumed>" is none
                if match:
                    key = names.get(match[1], match[1]), match[2]
                    calls[key] = calls.get(key, 0) + 1
                    opened |= set(re.findall(r'"(/[^"]*)"', match[3]))
        return calls, opened

    def looked_at(self, server):
        result = stat(server, "--core", "all", "0.01", str(LOOKS))
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(result.stdout.count(" all "), LOOKS)

    def timed(self, server, until):
        """As traced(), with how long it took."""
        began = time.monotonic()
        calls, opened = self.traced(server, until)
        return calls, opened, time.monotonic() - began

    @unittest.skipUnless(shutil.which("strace"), "SKIPPED: strace is not installed")
    def test_an_idle_server_makes_the_same_system_calls_beside_it(self):
        read_end, write_end = os.pipe()  # a feed from which nothing comes
        self.addCleanup(os.close, read_end)
        self.addCleanup(os.close, write_end)
        known, new = set(), True
        with Server("--cores", 2, "--feed", "replay:path=-,speed=0", stdin=read_end) as server:
            # What a thread does once a minute may fall into any of the two times.
            for _ in range(4):
                before, _, alone_seconds = self.timed(server, lambda: time.sleep(3))
                during, opened, seconds = self.timed(server, lambda: self.looked_at(server))
                known |= set(before)
                new = set(during) - known
                if not new:
                    break
        self.assertFalse(new)
        self.assertIn(("core-0", "io_uring_enter"), during)
        self.assertFalse([path for path in opened if "ringcast" in path], opened)
        # A look that woke a thread would show as so many more of its calls. A sleeper looks up ten
        # times a second by itself; what it did alone, it may do again.
        for call, count in during.items():
            self.assertLess(count, before.get(call, 0) / alone_seconds * seconds * 1.5 + LOOKS / 3, call)


if __name__ == "__main__":
    unittest.main()
