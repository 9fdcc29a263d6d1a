"""Producers of other people: libringcast_publish with gcc and g++, examples/producer.py, a tap's lines."""
import json
import os
import pathlib
import re
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from clients import TEXT, RawClient, subscribe_message
from server import BIN_DIR, CHECKOUT, Server, reap, run, spawn, wait_until

sys.path.insert(0, str(CHECKOUT / "examples"))
from producer import Producer, Refused  # noqa: E402

INCLUDE, LIBRARY = BIN_DIR.parent / "include", BIN_DIR.parent / "lib" / "libringcast_publish.a"
PAGE = CHECKOUT / "docs" / "feeds" / "publish.md"
SECONDS = 60
PROGRAM = """
#include <ringcast_publish.h>
int main(void)
{
    struct ringcast_publish_options options = NOTHING;
    struct ringcast_publish *publish;
    struct ringcast_quote quote = ringcast_quote_none;
    struct ringcast_bar bar = ringcast_bar_none;
    options.address = "unix:/nowhere";
    options.name = "program";
    if (ringcast_publish_open(&publish, &options, NULL) < 0) {
        return 1;
    }
    ringcast_publish_quote(publish, ringcast_publish_channel(publish, "X", RINGCAST_QUOTE), &quote);
    ringcast_publish_bar(publish, ringcast_publish_channel(publish, "X", RINGCAST_BAR), &bar);
    return ringcast_publish_close(publish, 0) == 2 ? 0 : 1;
}
"""


class Subscriber(threading.Thread):
    """Keeps the trades that a client receives."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.client = RawClient(server.port, timeout=SECONDS)
        self.client.send_text(subscribe_message(["*"], ["trade"], delivery={"on_lag": "skip"}))
        self.trades, self.gaps = [], []
        self.subscribed = threading.Event()
        self.start()

    def run(self):
        while (got := self.client.next_frame()) is not None:
            if got[0] != TEXT:
                continue
            message = json.loads(got[1])
            if message["type"] == "trade":
                self.trades.append(message)
            elif message["type"] == "GAP":
                self.gaps.append(message["data"])
            self.subscribed.set()


class Library(unittest.TestCase):
    def setUp(self):
        if not LIBRARY.exists():
            self.skipTest(f"SKIPPED: {LIBRARY} does not exist: run `zig build` first")
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def compile(self, *arguments):
        done = run([*map(str, arguments), f"-I{INCLUDE}", "-Wall", "-Wextra", "-Wshadow", "-Werror",
                    f"-L{LIBRARY.parent}", "-lringcast_publish", "-o", self.directory / "program"])
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        return self.directory / "program"

    def test_programs_in_c_and_cpp_compile_link_and_run(self):
        for compiler, standard, suffix in (("gcc", "c99", "c"), ("gcc", "gnu17", "c"),
                                           ("g++", "c++11", "cc")):
            with self.subTest(compiler=compiler, standard=standard):
                source = self.directory / f"source.{suffix}"
                source.write_text(PROGRAM.replace("NOTHING", "{0}" if suffix == "c" else "{}"))
                program = self.compile(compiler, f"-std={standard}", "-pedantic", source)
                self.assertEqual(run([program]).returncode, 0)

    def test_it_can_be_a_part_of_a_shared_library(self):
        done = run(["gcc", "-shared", "-o", str(self.directory / "it.so"), "-Wl,--whole-archive",
                    str(LIBRARY), "-Wl,--no-whole-archive", "-Wl,-z,defs", "-Wl,-z,text"])
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_its_symbols_collide_with_none_of_others(self):
        lines = run(["nm", "--defined-only", "--extern-only", str(LIBRARY)]).stdout.splitlines()
        names = [line.split()[2] for line in lines if len(line.split()) == 3]
        self.assertIn("ringcast_publish_open", names)
        self.assertEqual([name for name in names if not name.startswith("ringcast_publish_")], [])

    def test_the_page_has_all_functions_and_states_of_the_header(self):
        header = (INCLUDE / "ringcast_publish.h").read_text()
        functions = set(re.findall(r"^\w.*?\b(ringcast_publish_\w+)\(", header, re.M))
        states = set(re.findall(r"^    (RINGCAST_PUBLISH_\w+),", header, re.M))
        self.assertGreaterEqual(len(functions), 14)
        self.assertEqual(len(states), 5)
        page = PAGE.read_text()
        for name in functions | states | {"RINGCAST_NONE"}:
            self.assertIn(f"`{name}`", page)
        options = header[header.index("struct ringcast_publish_options {"):]
        for name in re.findall(r"^    [^/\n]*?(\w+);", options[:options.index("};")], re.M):
            self.assertIn(f"`{name}`", page)

    def test_the_example_publishes_to_a_server(self):
        program = self.compile("gcc", CHECKOUT / "examples" / "publish.c")
        with Server("--feed", f"ingest:unix={self.directory}/socket") as server:
            subscriber = Subscriber(server)
            self.assertTrue(subscriber.subscribed.wait(SECONDS))
            done = run([program, f"unix:{self.directory}/socket", "60"], SECONDS)
            self.assertEqual((done.returncode, done.stdout, done.stderr),
                             (0, "60 ticks, 0 not acknowledged, 0 refused\n", ""))
            self.assertTrue(wait_until(lambda: len(subscriber.trades) >= 60, SECONDS))
        self.assertEqual([trade["data"]["id"] for trade in subscriber.trades], list(range(1, 61)))
        self.assertEqual({trade["symbol"] for trade in subscriber.trades}, {"MINE"})


class Load(unittest.TestCase):
    def test_the_load_of_the_bench_measures_a_server(self):
        load = str(BIN_DIR.parent / "bench" / "ingest_load")
        with tempfile.TemporaryDirectory() as directory, \
                Server("--unix", f"{directory}/clients", "--feed", f"ingest:unix={directory}/in"):
            for form in ("binary", "ndjson"):
                done = run([load, f"unix:{directory}/in", form, "0.2"], SECONDS)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                figures = json.loads(done.stdout)
                self.assertEqual((figures["refused"], figures["unacked"]), (0, 0))
                self.assertGreater(figures["ticks_per_s"], 0)
            done = run([load, f"unix:{directory}/in", "latency", "0.1",
                        f"unix://{directory}/clients"], SECONDS)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("publish to subscriber", done.stdout)


class Python(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = f"{directory.name}/socket"

    def producer(self, address=None, **options):
        made = Producer(address or f"unix:{self.path}", options.pop("name", "python"), **options)
        self.addCleanup(made.close, 0)
        return made

    def test_the_program_publishes_over_tcp(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with Server("--feed", f"ingest:tcp=127.0.0.1:{port}") as server:
            subscriber = Subscriber(server)
            self.assertTrue(subscriber.subscribed.wait(SECONDS))
            done = run([sys.executable, "-B", str(CHECKOUT / "examples" / "producer.py"),
                        f"tcp:127.0.0.1:{port}", "--rate", "1000", "--count", "60"], SECONDS)
            self.assertEqual((done.returncode, done.stdout, done.stderr),
                             (0, "60 ticks, 0 not acknowledged, 0 refused, 0 dropped\n", ""))
            self.assertTrue(wait_until(lambda: len(subscriber.trades) >= 60, SECONDS))
        self.assertEqual([trade["data"]["id"] for trade in subscriber.trades], list(range(1, 61)))

    def test_what_the_server_refuses_is_passed_on(self):
        refused = []
        with Server("--feed", f"ingest:unix={self.path}"):
            producer = self.producer(on_refused=lambda q, reason: refused.append((q, reason)))
            producer.publish("X", "trade", {"price": 1, "size": 1})
            producer.publish("X" * 33, "trade", {"price": 1, "size": 1})
            self.assertEqual(producer.drain(SECONDS), 0)
        self.assertEqual(refused, [(2, "symbol is not a string of 1 to 32 bytes")])
        self.assertEqual(producer.refused, 1)

    def test_a_full_queue_drops_and_reports_a_gap_when_there_is_room(self):
        producer = self.producer(queue_max=3)
        numbers = [producer.publish("X", "trade", {"price": 1, "size": 1, "id": i}) for i in range(5)]
        self.assertEqual(numbers, [1, 2, 3, None, None])
        self.assertEqual((producer.dropped, producer.unacked), (2, 3))
        with Server("--feed", f"ingest:unix={self.path}") as server:
            subscriber = Subscriber(server)
            self.assertTrue(subscriber.subscribed.wait(SECONDS))
            self.assertEqual(producer.drain(SECONDS), 0)
            self.assertEqual(producer.publish("X", "trade", {"price": 1, "size": 1, "id": 5}), 4)
            self.assertEqual(producer.drain(SECONDS), 0)
            self.assertTrue(wait_until(lambda: subscriber.gaps, SECONDS))

    def test_another_producer_of_the_name_ends_the_first_for_good(self):
        with Server("--feed", f"ingest:unix={self.path}"):
            first = self.producer()
            self.assertIsNone(first.wait_for_welcome(SECONDS))
            second = self.producer()
            self.assertIsNone(second.wait_for_welcome(SECONDS))
            self.assertTrue(wait_until(lambda: first.failed, SECONDS))
            self.assertIn("replaced", str(first.failed))
            with self.assertRaises(Refused):
                first.publish("X", "trade", {"price": 1, "size": 1})

    def test_an_address_that_is_none_is_an_error_at_once(self):
        for address in ("", "unix:", "127.0.0.1:9100", "tcp:9100", "tcp:host:", "tcp:host:65536", "udp:host:1"):
            with self.subTest(address=address), self.assertRaisesRegex(ValueError, "unix:PATH or tcp:HOST:PORT"):
                Producer(address, "python")
        done = run([sys.executable, "-B", str(CHECKOUT / "examples" / "producer.py"), "127.0.0.1:9100"], SECONDS)
        self.assertEqual(done.returncode, 2)
        self.assertIn("unix:PATH or tcp:HOST:PORT", done.stderr)

    def test_a_fault_of_on_refused_ends_the_producer(self):
        def on_refused(q, reason):
            raise LookupError(f"tick {q}")

        with Server("--feed", f"ingest:unix={self.path}"):
            producer = self.producer(on_refused=on_refused)
            producer.publish("", "trade", {"price": 1, "size": 1})
            self.assertTrue(wait_until(lambda: producer.failed, SECONDS))
            with self.assertRaisesRegex(LookupError, "tick 1"):
                producer.publish("X", "trade", {"price": 1, "size": 1})

    def test_descriptors_above_1023_are_waited_for(self):
        if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2000:
            self.skipTest("SKIPPED: fewer than 2000 descriptors are permitted: raise `ulimit -Hn`")
        program = """if True:
            import os, resource, sys
            resource.setrlimit(resource.RLIMIT_NOFILE, (2000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            while os.open("/dev/null", os.O_RDONLY) < 1100:
                pass
            from producer import Producer
            producer = Producer(sys.argv[1], "python")
            producer.publish("X", "trade", {"price": 1, "size": 1})
            sys.exit(producer.close(30))
        """
        with Server("--feed", f"ingest:unix={self.path}"):
            done = run([sys.executable, "-B", "-c", program, f"unix:{self.path}"], SECONDS,
                       env={**os.environ, "PYTHONPATH": str(CHECKOUT / "examples")})
            self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_server_that_does_not_read_costs_no_processor_time(self):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.path)
            listener.listen()
            producer = self.producer()
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b'{"type":"WELCOME","data":{"epoch":"x","q":null,"heartbeat_s":0.01,"silent_s":60}}\n')
                self.assertIsNone(producer.wait_for_welcome(SECONDS))
                for _ in range(1000):
                    producer.publish("X", "status", {"state": "halted", "reason": "x" * 10_000})
                self.assertTrue(wait_until(lambda: producer._sent, SECONDS))
                clock = time.pthread_getcpuclockid(producer._thread.ident)
                before = time.clock_gettime(clock)
                time.sleep(0.5)  # A thread that spins takes about as much of its processor.
                self.assertLess(time.clock_gettime(clock) - before, 0.1)

    def test_numbers_of_the_producer_go_on_and_never_back(self):
        with Server("--feed", f"ingest:unix={self.path}"):
            with self.producer(epoch=7) as producer:
                producer.publish("X", "trade", {"price": 1, "size": 1}, q=10)
                with self.assertRaises(ValueError):
                    producer.publish("X", "trade", {"price": 1, "size": 1}, q=10)
            again = self.producer(epoch=7)
            self.assertEqual(again.wait_for_welcome(SECONDS), 10)
            self.assertEqual(again.publish("X", "trade", {"price": 1, "size": 1}), 11)


class Tap(unittest.TestCase):
    def test_the_lines_of_a_tap_are_ticks_of_another_server(self):
        with Server("--feed", "sim:symbols=3,rate=200,types=trade") as first:
            tap = spawn([str(BIN_DIR / "ringcast-tap"), "--json", "--types", "trade", first.url()],
                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            self.addCleanup(reap, tap)
            with Server("--feed", "ingest:stdin", stdin=tap.stdout) as second:
                subscriber = Subscriber(second)
                self.assertTrue(wait_until(lambda: len(subscriber.trades) >= 100, SECONDS))
                self.assertNotIn("malformed", second.log())
            tap.stdout.close()


if __name__ == "__main__":
    unittest.main()
