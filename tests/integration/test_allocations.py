"""A start that runs out of memory, descriptors or threads: for every n the n-th such call fails.

fail_nth.c is compiled here and preloaded. Whatever fails, ringcast serves, or ends with a message and
exit code 1 or 2 and leaves nothing behind: it never crashes, hangs or ends without a word.
"""
import concurrent.futures
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from server import (CHECKOUT, READY_LINE, clean_environment, left_behind, program, reap, spawn,
                    wait_until)

TOKEN = "0123456789abcdef0123456789abcdef"
ED25519_KEY = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
"""
# It has a constructor of every kind: two encodings more, two cores, three feeds, all of access.
CONFIGURATION = """\
websocket: {{host: 127.0.0.1, port: 0, max_connections: 10}}
admin: {{port: 0}}
frame_log_bytes: 1m
cores: 2
security:
  enable_auth: true
  auth_token: {token}
  tokens_file: {folder}/tokens.json
  jwt_key_file: {folder}/key.pem
  allowed_origins: http://a
  ip_allow: 127.0.0.0/8
"""
HANDSHAKE = (f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
             f"Authorization: Bearer {TOKEN}\r\n\r\n").encode()
SECONDS = 60


def compiler():
    zig = CHECKOUT / ".toolchain" / "zig-0.16.0" / "zig"
    for command in (["cc"], ["gcc"], ["clang"]):
        if shutil.which(command[0]) is not None:
            return command
    if zig.exists():
        return [str(zig), "cc"]
    raise unittest.SkipTest("SKIPPED: there is no C compiler")


def answer(port):
    """The status line of the answer to a handshake, or what went wrong."""
    try:
        with socket.create_connection(("127.0.0.1", port), SECONDS) as peer:
            peer.sendall(HANDSHAKE)
            return peer.recv(4096).split(b"\r\n")[0].decode()
    except OSError as error:
        return str(error)


class Failures(unittest.TestCase):
    """Each test: one kind of call."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        with open(program("ringcast"), "rb") as file:
            if b"__asan_init" in file.read():
                raise unittest.SkipTest("SKIPPED: AddressSanitizer has allocators of its own")
        cls.library = cls.folder / "fail_nth.so"
        source = pathlib.Path(__file__).with_name("fail_nth.c")
        subprocess.run([*compiler(), "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC", "-o",
                        cls.library, source], check=True)
        (cls.folder / "tokens.json").write_text(
            '{"tokens":[{"name":"a","token":"%s"},{"name":"b","token":"%s","symbols":["A*","B"]}]}'
            % (TOKEN[::-1], "b" * 32))
        (cls.folder / "key.pem").write_text(ED25519_KEY)
        (cls.folder / "ringcast.yaml").write_text(
            CONFIGURATION.format(folder=cls.folder, token=TOKEN))

    def arguments(self, name):
        data = CHECKOUT / "tests" / "data"
        return [program("ringcast"), "--config", str(self.folder / "ringcast.yaml"),
                "--unix", str(self.folder / f"{name}.sock"), "--feed", "sim",
                "--feed", f"replay:path={data}/coinbase_small.ws.log",
                "--feed", f"replay:path={data}/ticks_small.csv,venue=XX"]

    def start(self, kind, number, is_sticky=False):
        """Starts, asks and stops one server. Returns (what is wrong or None, calls, served)."""
        name = f"{kind}-{number}"
        report = self.folder / f"{name}.report"
        log = self.folder / f"{name}.log"
        environment = clean_environment({
            "LD_PRELOAD": str(self.library), "FAIL_KIND": kind, "FAIL_NTH": str(number),
            "FAIL_STICKY": "1" if is_sticky else "0", "FAIL_REPORT": str(report)})
        with open(log, "wb") as sink:
            process = spawn(self.arguments(name), env=environment, stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=sink)
        try:
            wait_until(lambda: process.poll() is not None or READY_LINE.search(log.read_text()),
                       SECONDS)
            ready = READY_LINE.search(log.read_text())
            status = None
            if ready is not None:
                # Memory that is refused while it serves may cost a connection, but only one.
                for _ in range(3):
                    status = answer(int(ready[2]))
                    if status.startswith("HTTP/1.1 101"):
                        break
                process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                code = "none: it hangs"
        finally:
            reap(process)
        text = log.read_text()
        calls = report.read_text() if report.exists() else ""
        left = left_behind(process.pid)
        if (self.folder / f"{name}.sock").exists():
            left.append(f"{name}.sock")
        good = [0, 1] if ready is not None and is_sticky else [0] if ready is not None else [1, 2]
        wrong = code not in good or not text.strip() or left
        if ready is not None and not is_sticky:
            # jansson drops a byte of a text that it cannot make room for: the token is another.
            wrong = wrong or not status.startswith(
                "HTTP/1.1" if kind == "memory" else "HTTP/1.1 101")
        for path in (report, log):
            path.unlink(missing_ok=True)
        words = (f"{calls.strip()} (sticky: {is_sticky}): exit code {code}, answer {status}, "
                 f"left {left}:\n{text}")
        return words if wrong else None, calls, ready is not None

    def count_calls(self, kind):
        """Of a start that nothing fails. It may be repeated: servers of other tests take from what an
        ordinary user may lock in all processes."""
        deadline = time.monotonic() + SECONDS
        while True:
            wrong, calls, served = self.start(kind, 0)
            self.assertIsNone(wrong)
            if served:
                return int(re.search(r"calls (\d+)", calls)[1])
            self.assertLess(time.monotonic(), deadline, "it never served")
            time.sleep(0.2)

    def check(self, kind, step=1, is_sticky=False):
        count = self.count_calls(kind)
        first = random.randrange(1, step + 1)
        with concurrent.futures.ThreadPoolExecutor(2 * len(os.sched_getaffinity(0))) as pool:
            results = list(pool.map(lambda number: self.start(kind, number, is_sticky),
                                    range(first, count + 1, step)))
        faults = [wrong for wrong, _, _ in results if wrong is not None]
        self.assertEqual(faults, [], f"{len(faults)} of {len(results)}")
        refused = [result for result in results if not result[2]]
        self.assertGreater(len(refused), 0, "no call that failed mattered")

    def test_no_allocation_of_its_own_that_fails_brings_it_down(self):
        self.check("own")

    def test_no_allocation_of_a_library_that_fails_brings_it_down(self):
        self.check("memory", step=101)

    def test_no_mapping_that_fails_brings_it_down(self):
        self.check("map")

    def test_no_descriptor_or_thread_that_is_refused_brings_it_down(self):
        self.check("file")

    def test_memory_that_has_run_out_for_good_is_reported(self):
        self.check("own", step=3, is_sticky=True)
        self.check("map", step=3, is_sticky=True)


if __name__ == "__main__":
    unittest.main()
