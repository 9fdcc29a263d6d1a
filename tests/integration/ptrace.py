"""Stops one thread of a server, which needs no help of the thread itself."""
import ctypes
import os
import pathlib
import unittest


class StoppedThread:
    """Stops one thread of another process, as a debugger does. Used by one thread of ours."""

    SEIZE, INTERRUPT, CONTINUE, DETACH, WALL = 0x4206, 0x4207, 7, 17, 0x40000000

    def __init__(self, pid, name):
        """name: the main thread is "main"; others are called as they call themselves."""
        self.libc = ctypes.CDLL(None, use_errno=True)
        tasks = pathlib.Path(f"/proc/{pid}/task")
        names = {int(task.name): (task / "comm").read_text().strip() for task in tasks.iterdir()}
        names[pid] = "main"
        self.thread, = [task for task in names if names[task] == name]
        self.is_stopped = False

    def ptrace(self, request):
        self.libc.ptrace.argtypes = [ctypes.c_long] * 4
        if self.libc.ptrace(request, self.thread, 0, 0) < 0:
            error = ctypes.get_errno()
            raise unittest.SkipTest(f"SKIPPED: ptrace(2) is not allowed: {os.strerror(error)}")

    def __enter__(self):
        self.ptrace(self.SEIZE)
        return self

    def stop(self):
        self.ptrace(self.INTERRUPT)
        os.waitpid(self.thread, self.WALL)
        self.is_stopped = True

    def go_on(self):
        self.ptrace(self.CONTINUE)
        self.is_stopped = False

    def __exit__(self, *_):
        if not self.is_stopped:
            self.stop()
        self.ptrace(self.DETACH)
