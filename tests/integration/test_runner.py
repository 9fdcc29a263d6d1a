"""scripts/run_tests.py: what it counts, and that nothing that fails hides anything else."""
import contextlib
import importlib.util
import io
import json
import pathlib
import subprocess
import tempfile
import unittest

from server import CHECKOUT, run

SCRIPT = CHECKOUT / "scripts/run_tests.py"
CMOCKA = """[==========] Running 3 test(s).
[       OK ] one
[  SKIPPED ] two
[  FAILED  ] three
[==========] 3 test(s) run.
[  FAILED  ] 1 test(s), listed below:
[  FAILED  ] three
"""


def load_runner():
    spec = importlib.util.spec_from_file_location("run_tests", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Runner(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.runner = load_runner()
        self.runner.RESULTS = self.folder / "results"

    def quietly(self, function, *arguments):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            code = function(*arguments)
        return code, out.getvalue()

    def test_every_kind_of_program_is_counted(self):
        for output, status, expected in (
                (CMOCKA, 1, (1, 1, 1)),
                ("24 passed, 0 failed\n", 0, (24, 0, 0)),
                ("0 passed, 0 failed, 1 skipped\n", 0, (0, 0, 1)),
                ("517 cases, 2 failed\n", 1, (515, 2, 0)),
                ("Ran 7 tests in 1.0s\n\nFAILED (failures=1, errors=2, skipped=1)\n", 1, (3, 3, 1)),
                ("Ran 7 tests in 1.0s\n\nOK (skipped=2)\n", 0, (5, 0, 2)),
                ("anything\n", 0, (1, 0, 0)), ("anything\n", 1, (0, 1, 0))):
            self.assertEqual(self.runner.counts_of(output, status), expected, output)

    def test_programs_that_fail_crash_or_hang_hide_no_other(self):
        (self.folder / "tests").mkdir()
        self.runner.SECONDS_MAX_OF_OTHERS = 60
        run_one = self.runner.run_one
        # The one that hangs has but a second; the others may be slow.
        self.runner.run_one = lambda name, command, environment, seconds: run_one(
            name, command, environment, seconds - 59 if name == "test_c_hangs" else seconds)
        for name, body in (("test_a_fails", "exit 1"), ("test_b_crashes", "kill -SEGV $$"),
                           ("test_c_hangs", "exec sleep 600"), ("test_d", "exit 0"),
                           ("test_e_ends_early", "echo '[==========]'; echo '[       OK ] x'; exit 3")):
            path = self.folder / "tests" / name
            path.write_text(f"#!/bin/sh\n{body}\n")
            path.chmod(0o755)
        code, out = self.quietly(self.runner.run_label, "test", str(self.folder), [])
        self.assertEqual(code, 1, out)
        self.assertEqual(json.loads((self.runner.RESULTS / "test.json").read_text()), [2, 4, 0], out)
        self.assertIn("no end within 1 s", out)

    def test_a_stage_that_leaves_no_counts_is_one_test_and_the_later_ones_are_run(self):
        self.runner.SIZES["quick"] = ("a", "b", "c")
        self.runner.command_of = lambda stage, size: ["false" if stage == "b" else "true"]
        code, out = self.quietly(self.runner.run_stages, "quick")
        self.assertEqual(code, 1)
        self.assertEqual(out.splitlines()[-1], "2 passed, 1 failed, 0 skipped")

    def test_a_module_that_cannot_be_loaded_is_a_test_that_fails(self):
        listed = self.runner.classes_of("tests/integration", self.runner.environment_of("integration", "."))
        self.assertIn("test_runner.Runner", listed)
        self.assertIn(True, listed.values())
        (self.folder / "test_broken.py").write_text("import what_is_not_there\n")
        done = subprocess.run(["/usr/bin/python3", "-B", "-m", "unittest", "-v", "test_broken"],
                              cwd=self.folder, text=True, capture_output=True, check=False)
        self.assertEqual(self.runner.counts_of(done.stderr, done.returncode), (0, 1, 0))


class Command(unittest.TestCase):
    def test_unknown_arguments_are_refused_and_help_is_given(self):
        for arguments in (["fast"], ["full", "long"], ["--full"]):
            done = run([str(CHECKOUT / "test"), *arguments])
            self.assertEqual(done.returncode, 2)
            self.assertIn("unknown argument", done.stderr)
        done = run([str(CHECKOUT / "test"), "--help"])
        self.assertEqual(done.returncode, 0)
        for word in ("./test full", "./test long", "Exit status"):
            self.assertIn(word, done.stdout)


if __name__ == "__main__":
    unittest.main()
