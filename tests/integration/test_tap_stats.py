"""ringcast-tap --stats: a line a second, and a table at the end."""
import pathlib
import re
import tempfile
import unittest

from server import Server, program, run, spawn_until, reap, wait_until

LINE = re.compile(r"(\w+) +(\d+) +(\d+)((?: +(?:-|[\d.]+(?:ns|us|ms|s))){6}) +(\d+) +(\d+)")
ROW = re.compile(r"(\S+|\(all others\)) +(\d+) +[\d.]+ +(\d+) +([\d.]+)%")
TOTAL = re.compile(r"(\d+) ticks?, (\d+) bytes in ([\d.]+) s; (\d+) gaps?, (\d+) ticks? lost")


def report(text):
    """(lines, total, rows): of each second, of the whole, of each symbol."""
    lines = [match for match in map(LINE.fullmatch, text.splitlines()) if match]
    rows = [(match[1], int(match[2]), int(match[3])) for match in map(ROW.fullmatch, text.splitlines()) if match]
    return lines, TOTAL.search(text), rows


class Stats(unittest.TestCase):
    def tap(self, server, *options):
        done = run([program("ringcast-tap"), "--stats", *options, server.url()])
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_the_whole_is_the_sum_of_its_symbols(self):
        with Server("--feed", "sim:symbols=30,rate=5000,types=quote+trade") as server:
            text = self.tap(server, "--types", "quote,trade", "--count", "9000")
        lines, total, rows = report(text)
        self.assertEqual(lines[-1][1], "whole", text)
        self.assertEqual([line[1] for line in lines[:-1]], [str(i + 1) for i in range(len(lines) - 1)], text)
        self.assertGreaterEqual(len(lines), 2, text)
        self.assertEqual(int(total[1]), 9000, text)
        self.assertEqual((sum(row[1] for row in rows), sum(row[2] for row in rows)), (9000, int(total[2])), text)
        self.assertEqual([row[0] for row in rows].index("(all others)"), 20, "20 rows, and those that follow as one")
        self.assertNotIn("-", lines[-1][4].split(), text)

    def test_rows_are_sorted_by_ticks(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "ticks.csv")
            path.write_text("ts_ns,symbol,price\n" + ",B,1\n" * 3 + ",C,1\n" * 2 + ",A,1\n" * 2)
            with Server("--feed", f"replay:path={path},loop=yes") as server:
                text = self.tap(server, "--types", "trade", "--snapshot", "no", "--count", "700")
        lines, _, rows = report(text)
        counts = {name: ticks for name, ticks, _ in rows}
        self.assertEqual(sorted(counts), ["A", "B", "C"], text)
        self.assertEqual(rows, sorted(rows, key=lambda row: (-row[1], row[0])), text)
        self.assertAlmostEqual(counts["B"], 300, delta=4)
        latencies = lines[-1][4].split()
        self.assertEqual(latencies[:3], ["-"] * 3, "no tick has ts_event: " + text)
        self.assertNotIn("-", latencies[3:], text)

    def test_gaps_are_counted_with_what_they_lose(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "holes.ws.log")
            path.write_text("ws://localhost:8765/ <-> 1 md.json.v1\n" + "".join(
                f'1: {{"type":"trade","symbol":"A","seq":{seq},"data":{{"price":{seq}}}}}\n' for seq in (1, 2, 5)))
            with Server("--feed", f"replay:path={path},loop=yes") as server:
                text = self.tap(server, "--types", "trade", "--snapshot", "no", "--count", "300")
        total = report(text)[1]
        self.assertAlmostEqual(int(total[4]), 100, delta=2)
        self.assertEqual(total[4], total[5], "a GAP of the reason source takes one seq")

    def test_what_came_before_the_subscription_is_not_measured(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "ticks.csv")
            path.write_text("ts_ns,symbol,bid\n1000000000000000000,A,1\n")
            with Server("--feed", f"replay:path={path}") as server:
                self.assertTrue(wait_until(lambda: server.stats()["publisher"]["ticks"] == 1))
                text = self.tap(server, "--count", "1")
        lines, _, _ = report(text)
        self.assertRegex(text, r"\n1 tick, \d+ bytes in [\d.]+ s; 0 gaps, 0 ticks lost\n")
        self.assertEqual(lines[-1][4].split(), ["-"] * 6, text)

    def test_a_line_comes_each_second(self):
        with Server("--feed", "sim:symbols=2,rate=100") as server, tempfile.TemporaryFile("w+") as out:
            def lines(_):
                out.seek(0)
                return len([line for line in report(out.read())[0] if line[1] != "whole"]) >= 3
            process, came = spawn_until(lines, [program("ringcast-tap"), "--stats", server.url()], stdout=out)
            try:
                self.assertTrue(came)
            finally:
                reap(process)


if __name__ == "__main__":
    unittest.main()
