"""The frame logs of all encodings within --memory-max: what clients get when there is no room."""
import asyncio
import errno
import os
import re
import unittest

import websockets

from clients import HealthyClient, RawClient, request, subscribe_message
from server import Server, clean_environment, program, run, wait_until
from test_lifecycle import forbidden

SECONDS = 30
FEED = ("--feed", "sim:symbols=5,rate=200,types=quote+trade", "--compression-threshold", "0")
SMALL = ("--frame-log-bytes", "1m")
JSON, SBE = "md.json.v1", "md.sbe.v1"
HEADER_BYTES = os.sysconf("SC_PAGE_SIZE")  # of a log that is not written
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
NEEDED = re.compile(r"--memory-max: .*--frame-log-bytes 1048576 it may take (\d+) bytes")


def protocols(*names):
    return f"Sec-WebSocket-Protocol: {', '.join(names)}\r\n"


def start_and_end(*options):
    """Exit status and log of a start that is refused."""
    done = run([program("ringcast"), "--host", "127.0.0.1", "--port", "0", "--admin-port", "0", *options])
    return done.returncode, done.stderr


def one_log_bytes(*options):
    return int(NEEDED.search(start_and_end(*SMALL, "--memory-max", "1m", *options)[1])[1])


def refusal(server, extra):
    """Status, Retry-After and body of a handshake that is refused."""
    with RawClient(server.port, upgrade=False) as client:
        client.send(request(extra=extra))
        status = client.read_head()
        return status, client.header("Retry-After"), client.read_body().strip()


def taken(server, extra):
    """What a handshake was answered with, as soon as one is: (subprotocol, extensions)."""
    def attempt():
        with RawClient(server.port, upgrade=False) as client:
            client.send(request(extra=extra))
            status = client.read_head()
            assert status in (101, 503), client.head
            return status == 101 and (client.header("Sec-WebSocket-Protocol"),
                                      client.header("Sec-WebSocket-Extensions"))
    return wait_until(attempt, SECONDS, 0.2)


def metric(server, name, encoding=None):
    text = server.admin("/metrics")[2]
    text = text if isinstance(text, str) else text.decode()
    labels = "" if encoding is None else f'{{encoding="{encoding}"}}'
    found = re.search(rf"^ringcast_{name}{re.escape(labels)} (\S+)$", text, re.M)
    return None if found is None else float(found[1])


def has_memory(server, encoding):
    return metric(server, "log_bytes", encoding) > HEADER_BYTES


class AtTheStart(unittest.TestCase):
    def test_too_little_for_json_is_refused_with_the_figure_that_is_needed(self):
        needed = one_log_bytes()
        self.assertGreater(needed, 2 << 20)
        for option in ("--check-config", "--busy-poll=no"):
            code, text = start_and_end(*SMALL, "--memory-max", str(needed - 1), option)
            self.assertEqual(code, 2, text)
            self.assertEqual(int(NEEDED.search(text)[1]), needed)
            self.assertEqual(len(text.splitlines()), 1, text)
        code, text = start_and_end(*SMALL, "--memory-max", str(needed), "--check-config")
        self.assertEqual(code, 0, text)

    def test_the_variable_is_named(self):
        done = run([program("ringcast"), "--check-config"], env=clean_environment({"RINGCAST_MEMORY_MAX": "2m"}))
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertRegex(done.stderr, r"RINGCAST_MEMORY_MAX: 2097152 bytes are too few .*--frame-log-bytes")


class WithRoom(unittest.TestCase):
    def server(self, logs, *options, prefix=()):
        self.one = one_log_bytes(*options)
        return Server(*FEED, *SMALL, "--memory-max", str(logs * self.one), *options, prefix=prefix)

    def assert_sbe_is_refused(self, server):
        status, retry_after, body = refusal(server, protocols(SBE))
        self.assertEqual((status, retry_after), (503, "5"))
        self.assertEqual(body, f"the server has no memory left for this subprotocol: use {JSON}")

    def assert_json_without_compression(self, server):
        """Python's client, too, goes on when its offer is passed over."""
        async def read():
            async with websockets.connect(server.url(), compression="deflate", max_queue=None) as client:
                self.assertEqual(client.extensions if hasattr(client, "extensions")
                                 else client.protocol.extensions, [])
                await client.send(subscribe_message(("*",), ("quote",), delivery={"on_lag": "skip"}))
                while '"type":"quote"' not in await client.recv():
                    pass
        asyncio.run(asyncio.wait_for(read(), SECONDS))

    def test_for_json_only(self):
        with self.server(1) as server, HealthyClient(server.url(), types=("quote", "trade")) as healthy:
            self.assert_json_without_compression(server)
            self.assert_sbe_is_refused(server)
            self.assertEqual(taken(server, protocols(SBE, JSON)), (JSON, None))
            self.assertEqual(taken(server, protocols(JSON, SBE) + DEFLATE), (JSON, None))
            healthy.check(self)
            self.assertIsNotNone(server.wait_for_line(
                r"WARNING .*--memory-max: no room .*In use: json; each may take \d+ MiB"))
            self.assert_sbe_is_refused(server)
            for encoding in ("sbe", "json+deflate"):
                self.assertEqual(metric(server, "log_bytes", encoding), HEADER_BYTES)
                self.assertEqual(metric(server, "encoded_frames_total", encoding), 0)
            self.assertGreaterEqual(metric(server, "log_bytes", "json"), 1 << 20)
            self.assertEqual(metric(server, "log_bytes_max"), self.one)
            self.assertEqual(metric(server, "log_refusals_total"), 5)
            memory = server.stats()["memory"]
            self.assertEqual(memory["frame_log_bytes_max"], self.one)
            self.assertEqual(memory["frame_log_bytes"], sum(memory["frame_logs"].values()))
            # Five in a minute, and one line.
            self.assertEqual(len([line for line in server.log_lines() if "no room" in line]), 1)

    def check_one_more(self, *options, prefix=()):
        with self.server(2, *options, prefix=prefix) as server, \
                HealthyClient(server.url(), types=("quote", "trade")) as healthy:
            with RawClient(server.port, extra=protocols(JSON) + DEFLATE) as first:
                extensions = first.header("Sec-WebSocket-Extensions")
                self.assertIn("permessage-deflate", extensions)
                self.assert_sbe_is_refused(server)
                self.assertEqual(taken(server, protocols(SBE, JSON) + DEFLATE), (JSON, extensions))
                self.assertTrue(wait_until(lambda: has_memory(server, "json+deflate"), SECONDS))
                self.assertFalse(has_memory(server, "sbe"))
                self.assertIsNotNone(server.wait_for_line(r"In use: json, json\+deflate;"))
            # Nobody has it any more, and another is asked for: that one begins.
            self.assertEqual(taken(server, protocols(SBE)), (SBE, None))
            self.assertFalse(has_memory(server, "json+deflate"))
            self.assertTrue(wait_until(lambda: has_memory(server, "sbe"), SECONDS))
            self.assertEqual(metric(server, "log_bytes_max"), 2 * self.one)
            healthy.check(self)

    def test_for_one_more_who_comes_first_has_it(self):
        self.check_one_more()

    def test_likewise_with_cores_and_a_publisher_of_their_own(self):
        self.check_one_more("--cores", "2")

    def test_likewise_where_a_filter_forbids_fallocate(self):
        call = {"x86_64": 285, "aarch64": 47}[os.uname().machine]
        self.check_one_more(prefix=forbidden(call, errno.EPERM))

    def test_without_a_limit_all_are_written(self):
        with Server(*FEED, *SMALL) as server:
            with RawClient(server.port, extra=protocols(SBE)), \
                    RawClient(server.port, extra=DEFLATE) as small:
                self.assertIn("permessage-deflate", small.header("Sec-WebSocket-Extensions"))
                for encoding in ("json", "sbe", "json+deflate"):
                    self.assertTrue(wait_until(lambda: has_memory(server, encoding), SECONDS))
            self.assertIsNone(metric(server, "log_bytes_max"))
            self.assertEqual(metric(server, "log_refusals_total"), 0)
            self.assertNotIn("frame_log_bytes_max", server.stats()["memory"])


if __name__ == "__main__":
    unittest.main()
