"""Names: of the programs in their errors."""
import os
import shutil
import tempfile
import unittest

from server import program, run

# program, its arguments before the wrong one, an option with a value, what abbreviates several
PROGRAMS = (("ringcast", (), "--port", "--max"), ("ringcast", ("stat",), "--pid", "--"),
            ("ringcast-tap", (), "--symbols", "--s"), ("ringcast-bench", (), "--duration", "--s"),
            ("ringcast-echo", (), "--port", "--"))


class CommandLine(unittest.TestCase):
    """Each error begins with the program's name, wherever it is and however it was called."""

    def check(self, path, *arguments):
        name = os.path.basename(path) + (" stat" if arguments[0] == "stat" else "")
        with self.subTest([path, *arguments]):
            result = run([path, *arguments])
            self.assertEqual(result.returncode, 2 if name in ("ringcast", "ringcast-echo") else 1)
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

    def test_an_error_begins_with_the_program(self):
        self.check_all(os.path.dirname(program("ringcast")))

    def test_an_error_names_no_path(self):
        with tempfile.TemporaryDirectory(prefix="%s \x1b[2J") as folder:
            for name in {row[0] for row in PROGRAMS}:
                shutil.copy(program(name), folder)
            self.check_all(folder)


if __name__ == "__main__":
    unittest.main()
