"""Bad lines and stops under load: packets are lost or late, and a server ends while it sends as fast as it can."""
import asyncio
import contextlib
import signal
import socket
import struct
import threading
import unittest

from clients import RawClient, Tracker, subscribe_message
from server import Server, in_full, wait_until
from test_bench import CONNECTIONS_FAILED, BenchTestCase
from test_life import attach_filter

LOSS = 0.03
RANDOM = 0xfffff000 + 56  # the kernel's random number, as a packet's field
DROP_SOME = b"".join(struct.pack("HBBI", *instruction) for instruction in (
    (0x20, 0, 0, RANDOM), (0x25, 1, 0, int(LOSS * 2**32)), (0x06, 0, 0, 0), (0x06, 0, 0, 0xffffffff)))
OUT_OF_ORDER_AT = 224  # tcpi_rcv_ooopack in struct tcp_info: segments that came behind a lost one


class SlowLine:
    """A line to a port, whose every byte is late by the same time, in both directions."""

    def __init__(self, port, seconds):
        self.target, self.seconds = port, seconds

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = self.call(asyncio.start_server(self.on_client, "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        self.call(self.hang_up())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def hang_up(self):
        self.server.close()  # on the loop's thread, which also counts its connections
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    async def on_client(self, reader, writer):
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(self.carry(reader, far_writer), self.carry(far_reader, writer))

    async def carry(self, reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                self.loop.call_later(self.seconds, self.deliver, writer, data)
        self.loop.call_later(self.seconds, writer.close)

    @staticmethod
    def deliver(writer, data):
        if not writer.is_closing():
            writer.write(data)


class BadLines(BenchTestCase):
    def test_lost_packets_cost_no_frame(self):
        """S147: three of a hundred packets are lost on their way to each client."""
        frames = 3000
        with Server("--feed", "sim:symbols=20,rate=5000,types=trade") as server, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(RawClient(server.port, timeout=30)) for _ in range(4)]
            for client in clients:
                if not wait_until(lambda: attach_filter(client.socket, DROP_SOME)):
                    self.skipTest("SKIPPED: the kernel has no room for an ordinary user's filter")
                client.send_text(subscribe_message(["*"], ["trade"]))
            trackers = [Tracker() for _ in clients]
            for client, tracker in zip(clients, trackers):
                while tracker.frames < frames:
                    client.next_message(("trade",), tracker=tracker)
            lost = sum(struct.unpack_from("I", client.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256),
                                          OUT_OF_ORDER_AT)[0] for client in clients)
        self.assertGreater(lost, 0, "no packet was lost: the test shows nothing")
        for tracker in trackers:
            self.assertEqual((tracker.faults, tracker.gaps), ([], []))

    @in_full
    def test_a_slow_line_costs_its_time_and_no_frame(self):
        """S147: a line that takes 100 ms each way."""
        with Server("--feed", "sim:symbols=20,rate=1000") as server, SlowLine(server.port, 0.1) as line:
            report = self.report("-c", 20, "--requests", 40, "-d", "1s", "-w", "300ms", f"ws://127.0.0.1:{line.port}/")
        self.assertEqual(report["received"], report["due"])
        self.assertEqual((report["readers"]["holes"], report["readers"]["gaps"]), (0, 0))
        self.assertGreaterEqual(report["latency_ns"]["p50"], 100e6)
        self.assertGreaterEqual(report["response_ns"]["mean"], 200e6)


class StopUnderLoad(BenchTestCase):
    def stopped(self, drain_timeout, *options):
        """The report of 200 clients whose server is stopped while it sends 200 000 frames a second, and the server."""
        with Server("--feed", "sim:symbols=20,rate=1000", "--drain-timeout", drain_timeout) as server:
            before = server.stats()["publisher"]["ticks"]
            with self.running("-c", 200, "-t", 2, *options, "-d", "30s", "-w", "50ms", server.url(),
                              is_there=lambda: server.stats()["connections"]["open"] == 200 and
                              server.stats()["publisher"]["ticks"] > before + 500) as process:
                server.signal(signal.SIGTERM)
                self.assertEqual(server.wait(30), 0, server.log())
                process.send_signal(signal.SIGINT)  # The rest of the window has nobody.
        return process.report

    def check(self, report, code):
        readers = report["readers"]
        self.assertEqual(report["exit_code"], CONNECTIONS_FAILED)
        self.assertEqual(readers["closes"], {code: 200}, "each has its Close, and none is cut off")
        self.assertEqual((readers["sessions"], report["malformed"], report["differing"]), (200, 0, 0))
        self.assertEqual((readers["holes"], readers["gaps"], readers["duplicates"]), (0, 0, 0))

    def test_each_client_has_all_frames_before_its_close(self):
        """S148: a drain under load: no frame is missing before the Close of a client, and each has one."""
        self.check(self.stopped("0.5"), "4201")

    @in_full
    def test_all_clients_are_closed_at_once_without_a_drain(self):
        """S148"""
        self.check(self.stopped("0"), "1001")


if __name__ == "__main__":
    unittest.main()
