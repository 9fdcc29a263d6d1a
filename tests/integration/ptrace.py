"""Stops one thread of a server, which needs no help of the thread itself."""
import ctypes
import os
import pathlib
import struct
import time
import unittest

IO_URING_ENTER = 426  # everywhere
SECONDS = 60


class StoppedThread:
    """Stops one thread of another process, as a debugger does. Used by one thread of ours."""

    SEIZE, INTERRUPT, CONTINUE, DETACH, WALL = 0x4206, 0x4207, 7, 17, 0x40000000
    SYSCALL, GET_SYSCALL_INFO, TRACE_SYSGOOD = 24, 0x420e, 1
    SYSCALL_STOP, SYSCALL_ENTRY = 0x85, 1

    def __init__(self, pid, name):
        """name: the main thread is "main"; others are called as they call themselves."""
        self.libc = ctypes.CDLL(None, use_errno=True)
        tasks = pathlib.Path(f"/proc/{pid}/task")
        names = {int(task.name): (task / "comm").read_text().strip() for task in tasks.iterdir()}
        names[pid] = "main"
        self.thread, = [task for task in names if names[task] == name]
        self.is_stopped = False

    def ptrace(self, request, address=0, data=0):
        self.libc.ptrace.argtypes = [ctypes.c_long] * 4
        if self.libc.ptrace(request, self.thread, address, data) < 0:
            error = ctypes.get_errno()
            raise unittest.SkipTest(f"SKIPPED: ptrace(2) is not allowed: {os.strerror(error)}")

    def __enter__(self):
        self.ptrace(self.SEIZE, data=self.TRACE_SYSGOOD)
        return self

    def stop(self):
        self.ptrace(self.INTERRUPT)
        os.waitpid(self.thread, self.WALL)
        self.is_stopped = True

    def stop_in_submit(self, operations_min):
        """Stops it where it enters the kernel with so many operations of its ring, or more."""
        info = ctypes.create_string_buffer(88)
        signal = 0
        deadline = time.monotonic() + SECONDS
        self.stop()
        while True:
            assert time.monotonic() < deadline, f"it never submits {operations_min} operations"
            self.ptrace(self.SYSCALL, data=signal)
            _, status = os.waitpid(self.thread, self.WALL)
            assert os.WIFSTOPPED(status), f"the thread has ended: {status:#x}"
            # A stop of ptrace's own is no signal that is to be delivered.
            signal = 0 if status >> 16 else os.WSTOPSIG(status)
            if signal == self.SYSCALL_STOP:
                signal = 0
                self.ptrace(self.GET_SYSCALL_INFO, len(info), ctypes.addressof(info))
                # struct ptrace_syscall_info: op at 0, the number of the call at 24, its arguments.
                number, _, operations = struct.unpack_from("QQQ", info, 24)
                if (info.raw[0] == self.SYSCALL_ENTRY and number == IO_URING_ENTER and
                        operations >= operations_min):
                    return

    def go_on(self):
        self.ptrace(self.CONTINUE)
        self.is_stopped = False

    def __exit__(self, *_):
        if not self.is_stopped:
            self.stop()
        self.ptrace(self.DETACH)
