"""Runs the commands of a page of the docs, as a reader would: doc_page.py PAGE [full]

test_docs.py calls it in namespaces of its own, where the ports of the docs are free, no other
program is to be seen, and /dev/shm is empty. Prints a line for each block, and what went wrong.
"""
import contextlib
import ctypes
import fcntl
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

from server import BIN_DIR, CHECKOUT, READY_LINE, clean_environment, reap, spawn, until_room, wait_until

sys.path.insert(0, str(CHECKOUT / "scripts"))
import doc_commands  # noqa: E402

SECONDS = 150  # for a command; a busy machine is slow
ENOUGH_LINES = 3  # of a command that ends with Ctrl-C only, where the page shows no more
SERVER = re.compile(r"(?:(?:my-ticks|python3 \w+\.py) \| )?(?:taskset -c \d+ )?(?:\./run|(?:zig-out/bin/)?ringcast(?:-echo)?)"
                    r"(?! (?:stat|ctl|health|help|archive|restore|doctor)\b)(?=\s|$)(?!.* --(?:help|version|check-config|print-\w+))", re.S)
READY = re.compile(rf"{READY_LINE.pattern}|ringcast-echo: listening on ")
ENDLESS = re.compile(r"(?:zig-out/bin/)?(?:ringcast-tap (?!.*--(?:count|duration) )|"
                     r"ringcast stat(?!.* (?:\d+ \d+|--total|--list|--help))|"
                     r"(?:node )?examples/(?!curl)|python3 block|tail -f )", re.S)
CORES = re.compile(r"(?:--cores|(taskset) -c) (\d+)")  # how many; from 0
A_WHILE = 0.3
AFTER_CTRL_C = (0, 130, -signal.SIGINT)
# What stands for a path of the reader's, and files that the reader has.
PATHS = {"/etc/ringcast": "{folder}/etc", "/run/": "{folder}/"}
FILES = {"coinbase.ws.log": CHECKOUT / "tests/data/coinbase_small.ws.log",
         "my-ticks.csv": CHECKOUT / "tests/data/ticks_small.csv"}
LOG_FILE = "logs/websocket-server.log"  # of the profile production
MY_TICKS = """#!/bin/sh
cat my-ticks.csv
while sleep 0.1; do tail -n 1 my-ticks.csv || exit; done
"""


class Fault(Exception):
    """A command that does not do what its page says."""


def pattern_of(line):
    """A line of the docs as a regular expression: numbers stand for any, and so does `...`.

    A number may be 501 230, and a time may have another unit: 1.2ms for 900us."""
    parts = re.split(r"(\.{2,3}|\b[0-9a-f]{8,}\b|\b\d{1,3}(?: \d{3})+(?![\d.])|\d[\d.,:]*(?:[num]?s\b)?|\s+)",
                     line.strip())
    for i, part in enumerate(parts):
        parts[i] = (re.escape(part) if i % 2 == 0 else r"[\s\S]*?" if part[0] == "." else
                    r"\s+" if part[0].isspace() else r"(?:\d[\d ]*|-)" if " " in part else
                    r"(?:[0-9a-f][0-9a-f.,:]*(?:[num]?s\b)?|-)")
    return "".join(parts)


def check_output(lines, said):
    """Each line of the docs is in what was said, behind the one before it."""
    at = 0
    for line in lines:
        found = re.compile(pattern_of(line)).search(said, at)
        if not found:
            raise Fault(f"the output has no line like\n  {line}\nin\n{said[-3000:]}")
        at = found.end()


def cores_of(block):
    """How many cores its commands need."""
    return max((int(number) + bool(taskset) for taskset, number in CORES.findall("\n".join(block.lines))), default=1)


class Page:
    def __init__(self, name, is_full, folder):
        self.name, self.is_full, self.folder = name, is_full, folder
        self.server = None  # its command, process and log
        self.said = ""  # by the commands of the last block; None: they were not run
        self.environment = clean_environment({
            "PATH": f"{folder}/bin:{BIN_DIR.resolve()}:/usr/bin:{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1", "NODE_PATH": "/usr/share/nodejs",
            "RINGCAST_DUMP_DIR": str(folder)})  # Nothing is left in /tmp.
        self.furnish()

    def furnish(self):
        """A folder like the checkout, and what a reader has beside it."""
        for path in CHECKOUT.iterdir():
            if path.name not in ("run", "test", "zig-out"):
                (self.folder / path.name).symlink_to(path)
        for path in ("zig-out", "etc", "bin"):
            (self.folder / path).mkdir()
        (self.folder / "zig-out/bin").symlink_to(BIN_DIR.resolve())
        for name in ("include", "lib"):
            (self.folder / "zig-out" / name).symlink_to(BIN_DIR.resolve().parent / name)
        for name, path in FILES.items():
            shutil.copy(path, self.folder / name)
        self.write("bin/my-ticks", MY_TICKS)
        # Without the set-up and the build.
        run = (CHECKOUT / "run").read_text()
        self.write("run", "#!/usr/bin/env bash\n" + run[run.index("if [ $# -eq 0 ]"):])

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o755)

    def spawn(self, command, output):
        for path, stands in PATHS.items():
            command = command.replace(path, stands.format(folder=self.folder))
        return spawn(["bash", "-c", command], cwd=self.folder, env=self.environment,
                     stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)

    def run_block(self, block):
        commands, output = block.commands_and_output()
        if block.info == "python":
            self.write("block.py", "\n".join(block.lines))
            commands, output = ["python3 block.py"], []
        elif block.info == "yaml":
            self.write("FILE", "\n".join(block.lines))
            commands, output = ["ringcast --config FILE --check-config"], []
        if not commands:
            raise Fault("a mark, and no command below it")
        if block.run["beside"]:
            self.start(block.run["beside"])
        self.said = ""
        for command in commands:
            if SERVER.match(command):
                self.start(command)
            else:
                self.said += self.run_command(command, max(ENOUGH_LINES, len(output)))
        check_output(output, self.said)

    def start(self, command):
        """A server, in place of the one before."""
        self.stop()
        log, log_file = tempfile.TemporaryFile(dir=self.folder), self.folder / LOG_FILE

        def text():
            said = os.pread(log.fileno(), 1 << 20, 0).decode(errors="replace")
            return said + log_file.read_text(errors="replace") if log_file.exists() else said

        def attempt():
            log.truncate(0)
            log_file.unlink(missing_ok=True)
            process = self.spawn(command, log)
            if wait_until(lambda: READY.search(text()) or process.poll() is not None, SECONDS) and \
                    process.poll() is None:
                return process, ""
            reap(process)
            return None, text()
        process = until_room(attempt)
        if process is None:
            raise Fault(f"{command}\nis not ready:\n{text()}")
        self.server = command, process, text

    def stop(self):
        if self.server is None:
            return
        (command, process, text), self.server = self.server, None
        for pid in members(process.pid):
            os.kill(pid, signal.SIGTERM)
        try:
            status = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            status = "no end"
        reap(process)
        if status != 0:
            raise Fault(f"{command}\nends with {status}:\n{text()[-3000:]}")
        if re.search(r" WARNING .* ignored", text()):
            raise Fault(f"{command}\nwarns:\n{text()[-3000:]}")

    def run_command(self, command, enough_lines):
        is_endless = ENDLESS.match(command)
        with tempfile.TemporaryFile(dir=self.folder) as output:
            def text():
                return os.pread(output.fileno(), 1 << 24, 0).decode(errors="replace")

            def attempt():
                output.truncate(0)
                process = self.spawn(command, output)
                has_enough = wait_until(lambda: process.poll() is not None or is_endless and
                                        text().count("\n") >= enough_lines, SECONDS)
                if is_endless and process.poll() is None:
                    time.sleep(A_WHILE)  # Its lines may be those of an error that ends it.
                if is_endless and process.poll() is None:
                    os.killpg(process.pid, signal.SIGINT)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(SECONDS)
                status = process.poll()
                reap(process)
                return (status, has_enough), text()
            status, has_enough = until_room(attempt)
            if not has_enough or status not in (AFTER_CTRL_C if is_endless else (0,)):
                raise Fault(f"{command}\nended with {status}:\n{text()[-3000:]}")
            return text()

    def run(self):
        blocks = doc_commands.blocks_of(self.name, (CHECKOUT / self.name).read_text(encoding="utf8"))
        faults = 0
        followers = [*(it for it in blocks if it.run), None]
        for block in blocks:
            if block.run:
                followers.pop(0)
            if not block.mark:
                continue
            if block.mark.startswith(("not run", "deploy")) or block.run and block.run["full"] and not self.is_full:
                self.said = None
                continue
            if block.run and cores_of(block) > len(os.sched_getaffinity(0)):
                print(f"skipped {self.name}:{block.line}: it needs {cores_of(block)} cores", flush=True)
                self.said = None
                continue
            began = time.monotonic()
            try:
                if block.mark.startswith("file: "):
                    self.write(block.mark.removeprefix("file: "), "\n".join(block.lines) + "\n")
                elif block.mark == "output":
                    if self.said is not None:
                        check_output([line for line in block.lines if line.strip()], self.said)
                else:
                    self.run_block(block)
                    if not (followers[0] and followers[0].run["same"]):
                        self.stop()
                print(f"ok {self.name}:{block.line} ({time.monotonic() - began:.1f} s)", flush=True)
            except Fault as fault:
                faults += 1
                print(f"FAULT {self.name}:{block.line}: {fault}", flush=True)
                with contextlib.suppress(Fault):
                    self.stop()
        return 1 if faults else 0


def members(group):
    """The servers of a process group; a shell or a pipe around them ends by itself."""
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getpgid(int(path.name)) == group and \
                    (path / "comm").read_text().startswith("ringcast"):
                yield int(path.name)


def bring_up_loopback():
    """In a network namespace of our own it is down at first."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        up = struct.pack("16sH14x", b"lo", 1)  # IFF_UP
        fcntl.ioctl(any_socket, 0x8914, up)  # SIOCSIFFLAGS


@contextlib.contextmanager
def orphans_end():
    """What a page leaves running becomes our child, and ends with the page. A PID namespace does it by itself."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    try:
        yield
    finally:
        orphans = [int(pid) for pid in pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
        for pid in orphans:
            os.kill(pid, signal.SIGTERM)
        for pid in orphans:
            os.waitpid(pid, 0)


if __name__ == "__main__":
    has_namespaces = bool(os.environ.get("RINGCAST_DOC_NAMESPACES"))
    if has_namespaces:
        bring_up_loopback()
        subprocess.run(["mount", "-t", "tmpfs", "shm", "/dev/shm"], check=True)
    with tempfile.TemporaryDirectory(prefix="ringcast-") as scratch, \
            contextlib.nullcontext() if has_namespaces else orphans_end():
        sys.exit(Page(sys.argv[1], "full" in sys.argv[2:], pathlib.Path(scratch)).run())
