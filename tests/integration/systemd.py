"""Stand-ins for what systemd does to a service: a socket for notices, and listening sockets that are passed."""
import os
import pathlib
import select
import socket
import sys
import tempfile
import time

PASS = """
import os, sys
fds = [int(number) for number in sys.argv[1].split(",")]
high = [os.dup2(fd, 200 + index) for index, fd in enumerate(fds)]
for index, fd in enumerate(high):
    os.dup2(fd, 3 + index, inheritable=True)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


def passing(sockets):
    """Arguments of Server: {name: socket} or [(name, socket)] are passed to it, as systemd does."""
    named = list(sockets.items() if isinstance(sockets, dict) else sockets)
    numbers = [entry.fileno() for _, entry in named]
    return {"prefix": (sys.executable, "-c", PASS, ",".join(map(str, numbers))), "pass_fds": numbers,
            "env": {"LISTEN_FDS": str(len(named)), "LISTEN_FDNAMES": ":".join(name for name, _ in named)}}


class NoticeSocket:
    """NOTIFY_SOCKET of a service manager; keeps every message in order."""

    def __init__(self, is_abstract=False):
        self.folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        path = pathlib.Path(self.folder.name) / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{path}" if is_abstract else str(path))
        path.parent.chmod(0o755)
        self.variable = f"@{path}" if is_abstract else str(path)
        self.messages = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.folder.cleanup()

    def env(self, **more):
        return {"NOTIFY_SOCKET": self.variable, **more}

    def read(self, seconds):
        """Takes what comes within the time, until there is a message. Returns it as a dictionary, or None."""
        if not select.select([self.socket], [], [], seconds)[0]:
            return None
        lines = self.socket.recv(65536).decode().split("\n")
        self.messages.append(dict(line.split("=", 1) for line in lines))
        return self.messages[-1]

    def wait_for(self, name, seconds=60):
        """The next message with that name, or None."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            message = self.read(left)
            if message is not None and name in message:
                return message
        return None

    def drain(self):
        """All that is there."""
        while self.read(0) is not None:
            pass
        return self.messages
