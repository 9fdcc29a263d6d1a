"""bench/run.py: each scenario with gates works in its small size, and says of each gate whether it holds."""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

from server import in_full, program, reap, run, spawn, until_room, wait_until

BENCH_DIR = pathlib.Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH_DIR))
import gates  # noqa: E402
import harness  # noqa: E402

BIN_DIR = pathlib.Path(program("ringcast")).resolve().parent
CPUS = sorted(os.sched_getaffinity(0))
YARDSTICK = BIN_DIR.parent / "bench" / "raw_send"
STEERS = """
import sys
sys.path.insert(0, {bench!r})
import harness, signal, time
harness.RPS_PATH = {path!r}
signal.signal(signal.SIGTERM, harness.interrupt)
with harness.steered(3):
    time.sleep(600)
"""


@unittest.skipUnless(YARDSTICK.exists(), f"{YARDSTICK} is not built")
class Small(unittest.TestCase):
    def small(self, scenario, *options):
        """What it printed. The figures of so small a run on a busy machine are worth nothing."""
        command = [sys.executable, "-B", str(BENCH_DIR / "run.py"), scenario, "--small", "--seconds", "0.5",
                   "--warmup", "0.3", "--bin", str(BIN_DIR), "--server-cpu", str(CPUS[0]),
                   "--load-cpu", str(CPUS[-1]), *options]

        def attempt():
            done = run(command, seconds=200)
            return done, done.stderr
        results = {path: path.stat().st_size for path in (BENCH_DIR / "results").iterdir()}
        done = until_room(attempt)
        self.assertIn(done.returncode, (0, 1), done.stdout + done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        self.assertEqual(results, {path: path.stat().st_size
                                   for path in (BENCH_DIR / "results").iterdir()})
        return done.stdout

    def judged(self, scenario, *options, skipped=()):
        said = self.small(scenario, *options)
        verdicts = {line.partition(": ")[2]: line.split()[0] for line in said.splitlines()
                    if line.startswith(("PASSED", "MISSED", "SKIPPED"))}
        for gate in gates.GATES[scenario]:
            verdict = [verdicts[text] for text in verdicts if text.startswith(gate.label + ": ")]
            self.assertEqual(len(verdict), 1, said)
            self.assertEqual(verdict[0] == "SKIPPED", gate.key in skipped, said)
        return said

    def test_fanout(self):
        said = self.judged("fanout")
        self.assertEqual(sum("  round 1 " in line for line in said.splitlines()), 3, said)

    @in_full
    def test_floors(self):
        self.judged("floors")

    @in_full
    def test_leak(self):
        """S99, S146: in cycles of clients that come, stall and leave, with a reload each, the server's memory stays
        the same. How busy the machine is does not matter to these figures."""
        said = self.judged("leak")
        self.assertEqual(sum(line.startswith("PASSED") for line in said.splitlines()), 2, said)

    @in_full
    def test_steered(self):
        fault = harness.steering_fault()
        if fault:
            self.assertIn(f"SKIPPED steered: {fault}", self.small("steered"))
            return
        before = pathlib.Path(harness.RPS_PATH).read_text(encoding="ascii")
        self.judged("steered")
        self.assertEqual(pathlib.Path(harness.RPS_PATH).read_text(encoding="ascii"), before)

    @in_full
    def test_unix(self):
        self.assertIn("32 frames a send:", self.judged("unix"))

    @in_full
    def test_saturation_alone(self):
        self.judged("saturation", skipped=["ratio_to_before"])

    @in_full
    def test_saturation_beside_another_build(self):
        said = self.judged("saturation", "--before", str(BIN_DIR))
        for kind in ("ringcast", "uring", "before"):
            self.assertRegex(said, rf"(?m)^  {kind} +sustains [0-9.]+ million frames/s")

    @in_full
    def test_connect_beside_another_build(self):
        self.judged("connect", "--before", str(BIN_DIR), "--peers", skipped=["by_url_to_nchan"])

    def test_encodings(self):
        said = self.judged("encodings")
        self.assertEqual(sum("  round 1 " in line for line in said.splitlines()), 4, said)

    @in_full
    def test_flood(self):
        said = self.judged("flood")
        self.assertEqual(sum("  round 1 " in line for line in said.splitlines()), 2, said)

    @in_full
    def test_memory(self):
        self.judged("memory")

    @in_full
    def test_tls(self):
        skipped = () if harness.nginx() else ("to_nginx_256",)
        said = self.judged("tls", skipped=skipped)
        self.assertEqual(sum("  round 1 " in line for line in said.splitlines()), 6 if skipped else 12, said)

    @in_full
    def test_tls_memory(self):
        self.judged("tls_memory")

    @in_full
    def test_tls_handshakes(self):
        self.judged("tls_handshakes")

    def test_sparse_without_a_peer_says_so(self):
        self.assertIn("no peer", self.small("sparse", "--peers"))


class Steering(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-test-steering-")
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / "rps_cpus"
        self.path.write_text("5\n", encoding="ascii")

    def value(self):
        return self.path.read_text(encoding="ascii").strip()

    def test_an_error_restores_the_old_value(self):
        with unittest.mock.patch.object(harness, "RPS_PATH", str(self.path)), \
                unittest.mock.patch("builtins.print"):
            with self.assertRaises(ZeroDivisionError), harness.steered(1):
                self.assertEqual(self.value(), "2")
                raise ZeroDivisionError
        self.assertEqual(self.value(), "5")

    def test_a_signal_restores_the_old_value(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            script = STEERS.format(bench=str(BENCH_DIR), path=str(self.path))
            process = spawn([sys.executable, "-B", "-c", script], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
            try:
                self.assertTrue(wait_until(lambda: self.value() == "8", 60))
                process.send_signal(number)
                process.wait(60)
            finally:
                reap(process)
            self.assertEqual(self.value(), "5", number)

    def test_without_the_file_or_the_right_the_reason_is_given(self):
        with unittest.mock.patch.object(harness, "RPS_PATH", str(self.path) + "-none"):
            self.assertIn("has no", harness.steering_fault())
        with unittest.mock.patch.object(harness, "RPS_PATH", str(self.path)):
            with unittest.mock.patch("os.access", return_value=False):
                self.assertIn("only root", harness.steering_fault())
            self.assertIsNone(harness.steering_fault())


if __name__ == "__main__":
    unittest.main()
