"""The scripts of tools/trace about clients, on a live server under load: what they show is true where the test can know it."""
import json
import pathlib
import re
import signal
import subprocess
import time
import unittest

import tracing
from clients import RawClient, Tracker, request, subscribe_message
from ptrace import StoppedThread
from server import Server, ServerTestCase, wait_until

SECONDS = 60
SMALL = ("--send-buffer-bytes", 65536, "--frame-log-bytes", "1m")
FEED = ("--feed", "sim:symbols=20,rate=2000,types=quote")


def setUpModule():
    tracing.require()


def port_of(client):
    return client.socket.getsockname()[1]


def descriptor_of(server, client):
    """The server's, by ss, as an operator would find it."""
    said = subprocess.run(["ss", "-tnpH", f"sport = :{server.port} and dport = :{port_of(client)}"],
                          capture_output=True, text=True, check=True).stdout
    return int(re.search(rf"pid={server.pid},fd=(\d+)", said)[1])


def stalled_client(server, types=("quote",)):
    client = RawClient(server.port, receive_buffer=4096, timeout=SECONDS)
    client.send_text(subscribe_message(["*"], types))
    return client


def read(client, seconds):
    """All that comes in this time; returns what a tracker made of it."""
    tracker = Tracker()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        client.next_message(tracker=tracker)
    return tracker


def total(text, name, *key):
    """The sum of what the seconds of a script show for a key of a map."""
    words = rf"\[{', '.join(map(str, key))}\]" if key else ""
    return sum(int(value) for value in re.findall(rf"^@{name}{words}: (\d+)$", text, re.M))


def count_of_histogram(text, name):
    lines = re.search(rf"^@{name}: \n((?:\[.*\n)+)", text, re.M)[1]
    return sum(map(int, re.findall(r"(\d+) \|", lines)))


class Loaded(ServerTestCase):
    """A server with 20 clients that keep up."""
    options = (*SMALL, *FEED)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(tracing.readers(cls.server, 20))


class Blocked(Loaded):
    LINE = r"^\d\d:\d\d:\d\d +0 +\d+ +{fd} +{port} +(\d+)$"

    def test_it_names_the_client_that_stopped_and_for_how_long(self):
        began = time.monotonic()
        with tracing.Script(self.server, "blocked", 50) as script, stalled_client(self.server) as client:
            key = {"fd": descriptor_of(self.server, client), "port": port_of(client)}
            script.wait_for(r"^@full_since\[0, \d+, {fd}, {port}\]: \d\d:\d\d:\d\d$".format(**key))
            known = time.monotonic()
            self.server.wait_for_ticks(1000)
            held = time.monotonic() - known
            read(client, 0.1)
            line = script.wait_for(self.LINE.format(**key))
            self.assertGreaterEqual(int(line[1]), int(held * 1000))
            self.assertLessEqual(int(line[1]), (time.monotonic() - began) * 1000)
            others = [int(ms) for ms in re.findall(self.LINE.format(fd=r"\d+", port=r"\d+"), script.text, re.M)]
            self.assertGreaterEqual(min(others), 50)
            self.assertIn("@full_ms:", script.stop())

    def test_a_client_that_leaves_while_its_socket_is_full_has_a_line(self):
        with tracing.Script(self.server, "blocked") as script:
            client = stalled_client(self.server)
            port = port_of(client)
            script.wait_for(rf"^@full_since\[0, \d+, \d+, {port}\]: ")
            client.reset()
            script.wait_for(self.LINE.format(fd=r"\d+", port=port))
            self.assertNotIn(f", {port}]", script.stop().rpartition(f" {port} ")[2])


class Slowest(Loaded):
    def conflated(self, client):
        listed = json.loads(self.server.admin("/admin/clients")[2])["clients"]
        return next(it["frames_conflated"] for it in listed if it["address"].endswith(f":{port_of(client)}"))

    def test_it_names_the_client_that_is_behind_and_what_it_was_not_sent(self):
        began = time.monotonic()
        with tracing.Script(self.server, "slowest") as script, stalled_client(self.server) as client:
            key = f"0, \\d+, {descriptor_of(self.server, client)}"
            received = 0
            for _ in range(2):
                self.server.wait_until_blocked()
                self.server.wait_for_ticks(1000)
                received += read(client, 1).frames
            before = self.conflated(client)
            for name in ("full_ms", "times_full", "caught_up_frames", "conflated_frames"):
                script.wait_for(rf"^@{name}\[{key}\]: [1-9]")
            text = script.stop()
            self.assertTrue(0 < before <= total(text, "conflated_frames", key) <= self.conflated(client))
            self.assertLessEqual(total(text, "caught_up_frames", key), received)
            self.assertLessEqual(total(text, "full_ms", key), (time.monotonic() - began) * 1000)


class Accept(ServerTestCase):
    LINE = r"^\d\d:\d\d:\d\d +0 +\d+ +{port} +(-?\d+) +(\d+)$"

    def is_stopped(self):
        states = [(task / "stat").read_text().rpartition(")")[2].split()[0]
                  for task in pathlib.Path(f"/proc/{self.server.pid}/task").iterdir()]
        return set(states) == {"T"}

    def test_it_tells_a_busy_core_from_a_slow_request(self):
        with tracing.Script(self.server, "accept") as script:
            slow = RawClient(self.server.port, upgrade=False)
            self.assertTrue(wait_until(lambda: self.server.stats()["connections"]["open"] == 1))
            began = time.monotonic()
            self.server.wait_for_ticks(100)
            slow_us = (time.monotonic() - began) * 1e6
            slow.send(request())
            self.assertEqual(slow.read_head(), 101)
            self.server.signal(signal.SIGSTOP)
            self.assertTrue(wait_until(self.is_stopped))
            waiting = RawClient(self.server.port, upgrade=False)
            waiting.send(request())
            began = time.monotonic()
            time.sleep(0.3)
            waiting_us = (time.monotonic() - began) * 1e6
            self.server.signal(signal.SIGCONT)
            self.assertEqual(waiting.read_head(), 101)
            bad = RawClient(self.server.port, upgrade=False)
            bad.send(request(version="12"))
            self.assertEqual(bad.read_head(), 426)
            of_slow, of_waiting = (script.wait_for(self.LINE.format(port=port_of(it))) for it in (slow, waiting))
            self.assertGreater(int(of_slow[2]), slow_us)
            self.assertGreater(int(of_waiting[1]), waiting_us)
            self.assertLess(int(of_slow[1]), slow_us)
            text = script.stop()
        self.assertIn("@refused_status[426]: 1\n", text)
        for name in ("backlog_us", "request_us"):
            self.assertEqual(count_of_histogram(text, name), 2)
        for client in (slow, waiting, bad):
            client.close()


class Laps(ServerTestCase):
    """The publisher has a thread of its own, so that it goes on when the core is stopped."""
    LOG_BYTES = 1 << 20
    options = ("--send-buffer-bytes", 65536, "--frame-log-bytes", LOG_BYTES, "--publisher", "thread",
               "--feed", "sim:symbols=20,rate=12000,burst=100,types=trade")

    def published_bytes(self):
        return self.server.stats()["publisher"]["tick_bytes"]

    def test_a_gap_is_counted_as_its_client_receives_it(self):
        with tracing.Script(self.server, "laps") as script, stalled_client(self.server, types=("trade",)) as client:
            tracker = Tracker()
            self.server.wait_until_blocked()
            goal = self.published_bytes() + 2 * self.LOG_BYTES
            self.assertTrue(wait_until(lambda: self.published_bytes() > goal, SECONDS))
            tracing.act_until(lambda: tracker.gaps, lambda: client.next_message(tracker=tracker))
            script.wait_for(r"^@jumps\[the log passed it\]: \d+$")
            script.wait_for(r"^@lost_frames\[0, \d+\]: \d+$")
            text = script.stop()
        lost = total(text, "lost_frames", 0, r"\d+")
        self.assertGreaterEqual(lost, sum(tracker.lost.values()))
        self.assertLessEqual(lost, self.server.stats()["message_queue"]["frames_lost"])
        self.assertGreaterEqual(total(text, "gaps", "overrun"), len(tracker.gaps))

    def core_laps(self):
        return self.server.stats()["message_queue"]["core_laps"]

    def is_passed(self):
        """Whether the log passes the stopped core. If not, the publisher waits for it, for the whole last second."""
        before, end = self.published_bytes(), time.monotonic() + 1
        goal = before + 2 * self.LOG_BYTES
        while time.monotonic() < end:
            published = self.published_bytes()
            if published > goal:
                return True
            if published > before:
                before, end = published, time.monotonic() + 1
        return False

    def test_a_core_that_stops_is_passed_or_waited_for(self):
        """It is passed, unless it stopped while it sent bytes of the log."""
        deadline = time.monotonic() + 2 * SECONDS
        seen = set()
        laps = [self.core_laps()]
        with tracing.readers(self.server, 20, "--types", "trade"), tracing.Script(self.server, "laps") as script, \
                StoppedThread(self.server.pid, "core-0") as core:
            laps.append(self.core_laps())
            while seen != {"passed", "waited"}:
                self.assertLess(time.monotonic(), deadline, seen)
                if "passed" in seen:
                    core.stop_in_submit(8)
                else:
                    core.stop()
                is_passed, mark = self.is_passed(), len(script.text)
                core.go_on()
                if is_passed:
                    script.wait_until(lambda text: re.search(r" core 0 lost [1-9]\d* frames of encoding 0, ", text[mark:]))
                    seen.add("passed")
                else:
                    script.wait_until(lambda text: any(int(us) >= 900_000 for us in re.findall(
                        r" the publisher waited (\d+) us for core 0$", text[mark:], re.M)))
                    seen.add("waited")
            laps.append(self.core_laps())
            text = script.stop()
        laps.append(self.core_laps())
        count = len(re.findall(r" core 0 lost ", text))
        self.assertTrue(laps[2] - laps[1] <= count <= laps[3] - laps[0], (laps, text))


class Retransmits(unittest.TestCase):
    def test_it_names_the_peer_to_which_the_network_loses_packets(self):
        with tracing.Link() as link, Server(*FEED, host=link.SERVER, prefix=link.server.prefix) as server:
            with link.client.inside():
                lossy, healthy = (RawClient((link.SERVER, server.port), timeout=SECONDS) for _ in range(2))
            link.lose(3, f"tcp dport {port_of(lossy)}")
            with lossy, healthy, tracing.Script(server, "retransmits", server.port) as script:
                for client in (lossy, healthy):
                    client.subscribe(["*"], ["quote"])
                tracing.act_until(lambda: link.lost() >= 10, lambda: [read(client, 0.2) for client in (lossy, healthy)])
                peer = f"{link.CLIENT}, {port_of(lossy)}"
                script.wait_for(rf"^@second\[{link.CLIENT}, {port_of(lossy)}\]: \d+$")
                text = script.stop()
                counts = [(total(text, "all", link.CLIENT, port_of(client)), self.sent_again(link, client))
                          for client in (lossy, healthy)]
        self.assertGreater(counts[0][0], 0)
        self.assertGreater(counts[0][0], counts[1][0])
        for traced, by_kernel in counts:
            self.assertLessEqual(traced, by_kernel)

    def sent_again(self, link, client):
        """What the kernel has counted for the connection. A client that acknowledges late is sent some again, too."""
        said = link.server.run("ss", "-tinH", f"dport = :{port_of(client)}")
        return int((re.search(r" retrans:\d+/(\d+)", said) or [0, 0])[1])


class Messages(Loaded):
    def test_each_message_counts_once_and_its_answers_are_as_long_as_the_client_receives(self):
        with RawClient(self.server.port) as client, tracing.Script(self.server, "messages") as script:
            received = 0
            for number in range(7):
                client.send_text(json.dumps({"type": "PING", "id": number}))
                received += self.bytes_of_answer(client)
            for number in range(3):
                client.subscribe([f"S{number}"], ["quote"])
            script.wait_until(lambda text: total(text, "messages", "PING") == 7 and total(text, "messages", "SUBSCRIBE") == 3)
            text = script.stop()
        self.assertIn(f"@answered_bytes[PING]: count 7, average {received // 7}, total {received}\n", text)
        lines = re.findall(r"^\d\d:\d\d:\d\d +0 +(\d+) (\w+) +1 +\d+ +\d+$", text, re.M)
        self.assertEqual(sorted(kind for _, kind in lines), 7 * ["PING"] + 3 * ["SUBSCRIBE"])
        self.assertEqual(len({conn for conn, _ in lines}), 1)

    def bytes_of_answer(self, client):
        """Of its payload."""
        while True:
            _, payload = client.next_frame()
            if json.loads(payload)["type"] == "PONG":
                return len(payload)


class Lends(unittest.TestCase):
    OPTIONS = ("--frame-log-bytes", "1m", "--send-buffer-bytes", 65536, "--zero-copy-bytes", 4096,
               "--feed", "sim:symbols=1,rate=5120,burst=128,types=trade")

    def lent(self, server):
        return server.core_sum("lent_bytes")

    def check(self, **settings):
        with Server(*self.OPTIONS, **settings) as server, tracing.Script(server, "lends") as script, \
                RawClient(server.port, timeout=SECONDS) as client:
            client.send_text(subscribe_message(["*"], ["trade"], delivery={"on_lag": "skip"}))
            tracing.act_until(lambda: self.lent(server) >= 1 << 18, lambda: read(client, 0.3))
            client.close()
            self.assertTrue(wait_until(lambda: server.stats()["connections"]["open"] == 0))
            lent = self.lent(server)
            script.wait_until(lambda text: total(text, "lent_bytes", 0, r"\d+") == lent)
            text = script.stop()
        self.assertEqual(count_of_histogram(text, "us"), count_of_histogram(text, "bytes"))
        self.assertNotRegex(text, r"(?m)^@us: \n\[0\]")  # None is that fast: each was timed.

    def test_it_adds_up_to_what_the_server_counts(self):
        self.check()

    def test_it_does_so_for_a_server_in_a_container(self):
        self.check(prefix=tracing.CONTAINED)


if __name__ == "__main__":
    unittest.main()
