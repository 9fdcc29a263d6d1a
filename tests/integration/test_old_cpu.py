"""Programs on a processor that is older than what they were compiled for, by qemu-x86_64."""
import platform
import shutil
import signal
import subprocess
import unittest

from server import program

EMULATOR = "qemu-x86_64"
PROGRAMS = ("ringcast", "ringcast-tap", "ringcast-bench", "ringcast-echo")


@unittest.skipUnless(platform.machine() == "x86_64", "SKIPPED: about processors of x86-64")
@unittest.skipUnless(shutil.which(EMULATOR), f"SKIPPED: {EMULATOR} (package qemu-user) is missing")
class OldProcessors(unittest.TestCase):
    def run_on(self, model, name):
        done = subprocess.run([EMULATOR, "-cpu", model, program(name), "--help"], check=False,
                              capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout, done.stderr

    def test_a_processor_with_all_of_v3_runs_every_program(self):
        for name in PROGRAMS:
            with self.subTest(name):
                status, output, error = self.run_on("Haswell", name)
                self.assertEqual(status, 0, error)
                self.assertIn(name, output)

    def test_an_older_processor_is_refused_with_words_and_no_signal(self):
        for model in ("qemu64", "Nehalem", "SandyBridge", "max,-avx2", "max,-bmi2", "max,-movbe",
                      "max,-xsave"):
            for name in PROGRAMS:
                with self.subTest(model=model, name=name):
                    status, output, error = self.run_on(model, name)
                    self.assertNotIn(status, (-signal.SIGILL, 128 + signal.SIGILL))
                    self.assertEqual(status, 1, error)
                    self.assertIn("x86-64-v3", error)
                    self.assertEqual(output, "")


if __name__ == "__main__":
    unittest.main()
