"""The thread that writes the log stands still while the program ends: the last lines are not lost."""
import os
import signal
import time
import unittest

from ptrace import StoppedThread
from server import Server

FEED = ("--feed", "sim:symbols=5,rate=500")


class StoppedLog(unittest.TestCase):
    def test_the_end_waits_for_a_thread_that_is_only_late(self):
        with Server(*FEED) as server:
            log = StoppedThread(server.pid, "log").__enter__()
            log.stop()
            server.signal(signal.SIGTERM)
            time.sleep(1.5)  # Half a second is for a standard error that takes nothing.
            ended, _ = os.waitpid(log.thread, log.WALL | os.WNOHANG)
            self.assertEqual(ended, 0, "the program has ended without its last lines")
            log.__exit__()
            self.assertEqual(server.wait(), 0)
            self.assertIsNotNone(server.wait_for_line("ringcast: stopped"), server.log())


if __name__ == "__main__":
    unittest.main()
