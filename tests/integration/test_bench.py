"""ringcast-bench from end to end: against servers of any kind, it tells what was wrong with them and nothing else."""
import asyncio
import base64
import collections
import contextlib
import csv
import json
import math
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest
import xml.etree.ElementTree
import zlib

import websockets

from server import (START_SECONDS, Server, ServerTestCase, in_full, program, reap, run, spawn,
                    until_room, wait_until)

PLAIN = ("--protocol", "plain", "--time-pattern", '"t": ', "--time-unit", "s", "--seq-pattern", '"n": ',
         "--channel-pattern", "")
# A tick belongs to the window in which it was due: sim makes up for a stop, so that no window is empty.
BY_DUE_TIME = ("--time-pattern", '"ts_event":')
FAULT_TICKS = 200  # from the first tick that all clients get to the one that is tampered with
TRIES = 5  # of a run whose server, or the load itself, was stopped all through the window
VALID, CONNECTIONS_FAILED, NOT_DELIVERED = 0, 2, 3


class PythonServer:
    """A server of Python's websockets on a thread of its own; options are those of websockets.serve()."""
    options = {"compression": None}

    def __enter__(self):
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True)
        self.thread.start()
        assert self.ready.wait(10), "the Python server did not start"
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(10)

    async def serve(self):
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        async with websockets.serve(self.on_client, "127.0.0.1", 0, **self.options) as server:
            self.port = server.sockets[0].getsockname()[1]
            self.ready.set()
            await self.until_stopped()

    async def until_stopped(self):
        await self.stop.wait()

    def url(self, path="/"):
        return f"ws://127.0.0.1:{self.port}{path}"


class PlainServer(PythonServer):
    """Sends {"t": seconds, "n": 1, 2, ...} to every client, 250 times a second.

    tamper(text) gives what the client that came last is sent instead, once: a list of texts, or None to
    close it. It is done when `clients` clients have been there for FAULT_TICKS ticks.
    While is_mute nothing is published; while is_stalled it is, and sent afterwards.
    first(number, count) says which of the clients receives a tick first; the others follow after a while.
    greetings are what each client receives at once, and between what all do behind every tenth tick.
    """

    def __init__(self, clients=0, tamper=None, compression=None, first=None, exponent=False, greetings=(),
                 between=None, subprotocols=None):
        self.clients, self.tamper = clients, tamper
        self.options = {"compression": compression, "subprotocols": subprotocols}
        self.first, self.exponent = first, exponent
        self.greetings, self.between = greetings, between
        self.headers = []
        self.peers, self.paths, self.received = [], [], []
        self.open = []
        self.is_mute = self.is_stalled = False
        self.ticks_after_fault = 0
        self.fault_time = None
        self.number = 0

    async def on_client(self, client):
        self.peers.append(client.remote_address[0])
        self.paths.append(client.path)
        self.headers.append(client.request_headers)
        try:
            for greeting in self.greetings:
                await client.send(greeting)
            self.open.append(client)
            async for message in client:
                self.received.append(message)
        except websockets.ConnectionClosed:
            pass
        finally:
            if client in self.open:
                self.open.remove(client)

    def forget(self):
        for each in (self.peers, self.paths, self.received):
            each.clear()

    def wait_for_ticks(self, count):
        goal = self.number + count
        assert wait_until(lambda: self.number >= goal, 60), "the Python server hardly publishes"

    async def until_stopped(self):
        ticks_to_fault = FAULT_TICKS
        due = []
        while not self.stop.is_set():
            await asyncio.sleep(0.004)
            if self.is_mute:
                continue
            self.number += 1
            now = round(time.time(), 6)
            text = json.dumps({"t": now, "n": self.number, "last": 12.34})
            if self.exponent:
                text = text.replace(str(now), f"{now:.15e}")
            due.append(text)
            if self.between and self.number % 10 == 0:
                due.append(self.between)
            if self.is_stalled:
                continue
            texts = {client: due for client in self.open}
            due = []
            if self.clients and len(texts) == self.clients:
                ticks_to_fault -= 1
                if ticks_to_fault == 0:
                    texts[self.open[-1]] = self.tamper(text)
                    self.fault_time = now
            self.ticks_after_fault += ticks_to_fault <= 0
            start = self.first(self.number, max(1, len(texts))) if self.first else 0
            for client, its_texts in (*list(texts.items())[start:], *list(texts.items())[:start]):
                if self.first:
                    await asyncio.sleep(0.002)
                try:
                    for its_text in its_texts or ():
                        await client.send(its_text)
                    if its_texts is None:
                        await client.close(4000, "enough")
                except websockets.ConnectionClosed:
                    pass


def bench(*arguments, seconds=40):
    return run([program("ringcast-bench"), *map(str, arguments)], seconds=seconds)


def started(*arguments, is_there):
    """A ringcast-bench under way, whose clients have come. As run(), it waits for memory for its ring."""
    def attempt():
        process = spawn([program("ringcast-bench"), *map(str, arguments)], stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE, text=True)
        wait_until(lambda: is_there() or process.poll() is not None, START_SECONDS)
        if process.poll() is None and is_there():
            return (process, ""), ""
        reap(process)
        out, err = process.communicate()
        return (None, f"{out}\n{err}"), err
    process, text = until_room(attempt)
    if process is None:
        raise AssertionError(f"no clients came: {arguments}\n{text}")
    return process


class BenchTestCase(unittest.TestCase):
    def with_due(self, attempt, least=1):
        """What attempt() reports, the first time that so many frames were due in the window."""
        for _ in range(TRIES):
            report = attempt()
            came = report["received"] if report["due"] is None else report["due"]  # None: it is not known
            if came >= least or report["exit_code"] == CONNECTIONS_FAILED:
                break
        return report

    def report(self, *arguments, code=VALID, least=1):
        """The JSON of a run that ends with this exit code."""
        return self.checked(lambda: self.one_report(*arguments), code, least)

    def checked(self, attempt, code, least):
        report = self.with_due(attempt, least)
        self.assertEqual(report["exit_code"], code, report)
        self.assertEqual(report["valid"], code == VALID)
        return report

    def one_report(self, *arguments):
        result = bench("--json", *arguments)
        self.assertIn(result.returncode, (VALID, CONNECTIONS_FAILED, NOT_DELIVERED),
                      result.stdout + result.stderr)
        report = json.loads(result.stdout)
        self.assertEqual(report["exit_code"], result.returncode)
        report["said"] = result.stderr
        return report

    @contextlib.contextmanager
    def running(self, *arguments, is_there):
        """A bench under way; its end is awaited at the end of the block: .report"""
        process = started("--json", *arguments, is_there=is_there)
        try:
            yield process
            out, err = process.communicate(timeout=40)
        finally:
            reap(process)
        self.assertTrue(out, err)
        process.report = json.loads(out)

    def folder(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        return pathlib.Path(folder.name)


class OtherServers(BenchTestCase):
    """A server of Python's websockets that knows nothing of ringcast."""

    def until_tampered(self, tamper, *arguments, compression=None):
        """(exit code, output) of a bench that is interrupted some ticks after a fault in its window."""
        log = self.folder() / "latency.hlog"
        for _ in range(TRIES):
            with PlainServer(4, tamper, compression) as server:
                process = started(*PLAIN, "-c", 4, "-d", 60, "-w", 0.2, "--hdr-log", log, *arguments,
                                  server.url(), is_there=lambda: server.ticks_after_fault > 50)
                try:
                    process.send_signal(signal.SIGINT)
                    out, err = process.communicate(timeout=40)
                finally:
                    reap(process)
            begin = float(re.search(r"StartTime: ([\d.]+)", log.read_text(encoding="ascii"))[1])
            if server.fault_time > begin + 0.001:  # else the load was stopped before its window
                break
        return process.returncode, out + err

    def plain(self, server, *arguments, code=VALID, path="/", duration=2, least=1):
        def attempt():
            server.forget()
            return self.one_report(*PLAIN, "-c", 4, "-d", duration, "-w", 0.2, *arguments, server.url(path))
        return self.checked(attempt, code, least)

    def interrupted(self, act):
        """The report of a bench in whose window, of 60 s, act(server, process) interrupts it."""
        def attempt():
            with PlainServer() as server, self.running(
                    *PLAIN, "-c", 4, "-d", 60, "-w", 0.2, server.url(),
                    is_there=lambda: len(server.open) == 4) as process:
                server.wait_for_ticks(300)
                act(server, process)
            return process.report
        return self.with_due(attempt, least=101)

    def test_a_server_that_sends_all_to_all_is_valid(self):
        with PlainServer() as server:
            report = self.plain(server, "-t", 2, least=4 * 21)
        self.assertEqual(report["received"], report["due"])
        self.assertEqual(report["received"], 4 * report["published"])
        self.assertGreater(report["published"], 20)
        self.assertAlmostEqual(report["ticks_per_second"], report["published"] / 2)
        self.assertEqual(report["unfinished"], 0)
        self.assertEqual(report["channels"], 1)
        self.assertEqual(report["latency_ns"]["count"], report["received"])
        self.assertLess(report["latency_ns"]["p50"], 10e9)
        self.assertGreater(report["latency_ns"]["p50"], 1e3)
        self.assertEqual(report["spread_ns"]["count"], report["published"])
        for phase in ("tcp", "upgrade", "first_tick"):
            self.assertEqual(report["phases_ns"][phase]["count"], 4, phase)
        self.assertEqual(report["phases_ns"]["subscribe"]["count"], 0)  # nothing answers a subscription
        self.assertIsNone(report["phases_ns"]["subscribe"]["p50"])

    @in_full
    def test_a_server_that_compresses_is_measured_by_what_it_sends(self):
        with PlainServer(compression="deflate") as server:
            plain = self.plain(server, "-t", 2)
            report = self.plain(server, "-t", 2, "--encoding", "deflate")
        self.assertEqual(report["encoding"], "deflate")
        self.assertEqual((report["received"], report["malformed"], report["differing"]), (report["due"], 0, 0))
        self.assertEqual(report["spread_ns"]["count"], report["published"])
        self.assertLess(abs(plain["bytes_per_frame"] - 60), 15)
        self.assertNotEqual(report["bytes_per_frame"], plain["bytes_per_frame"])

    def test_a_compressed_digit_for_one_client_is_a_difference(self):
        report = self.tampered(lambda text: [text.replace("12.34", "12.35")], "--encoding", "deflate",
                               compression="deflate")
        self.assertIn(report["differing"], (1, 2, 3))
        self.assertEqual((report["malformed"], report["received"]), (0, report["due"]))

    def test_a_server_without_numbers_is_measured_without_reach(self):
        with PlainServer() as server:
            report = self.plain(server, "--seq-pattern", "", least=4 * 21)
        for unknown in ("due", "published", "ticks_per_second", "channels", "differing"):
            self.assertIsNone(report[unknown], unknown)
        self.assertGreater(report["latency_ns"]["count"], 4 * 20)

    def tampered(self, tamper, *arguments, code=NOT_DELIVERED, compression=None):
        status, out = self.until_tampered(tamper, "--json", *arguments, compression=compression)
        self.assertEqual(status, code, out)
        report = json.loads(out)
        self.assertEqual(report["exit_code"], code)
        self.assertEqual(report["valid"], code == VALID)
        self.assertEqual(report["due"], 4 * report["published"])
        return report

    def test_a_lost_message_is_a_hole(self):
        report = self.tampered(lambda text: [])
        self.assertEqual((report["readers"]["holes"], report["readers"]["hole_frames"]), (1, 1))
        self.assertEqual(report["received"], report["due"] - 1)
        self.assertEqual((report["malformed"], report["differing"], report["readers"]["duplicates"]), (0, 0, 0))

    @in_full
    def test_a_message_that_comes_twice_is_a_duplicate(self):
        report = self.tampered(lambda text: [text, text])
        self.assertEqual(report["readers"]["duplicates"], 1)
        self.assertEqual(report["received"], report["due"])
        self.assertEqual((report["malformed"], report["differing"], report["readers"]["holes"]), (0, 0, 0))

    @in_full
    def test_another_digit_for_one_client_is_a_difference(self):
        report = self.tampered(lambda text: [text.replace("12.34", "12.35")])
        # All that came after it in its thread differ, when it came first.
        self.assertIn(report["differing"], (1, 2, 3))
        self.assertEqual(report["received"], report["due"])
        self.assertEqual((report["malformed"], report["readers"]["holes"], report["readers"]["duplicates"]),
                         (0, 0, 0))

    @in_full
    def test_a_message_without_its_number_is_malformed(self):
        report = self.tampered(lambda text: [text.replace('"n": ', '"N": ')])
        self.assertEqual(report["malformed"], 1)
        self.assertEqual((report["readers"]["holes"], report["readers"]["hole_frames"]), (1, 1))
        self.assertEqual(report["received"], report["due"] - 1)

    @in_full
    def test_a_message_without_its_time_is_malformed_or_differs(self):
        # Once a tick has been seen its time is known: only its bytes can still tell.
        report = self.tampered(lambda text: [text.replace('"t": ', '"T": ')])
        self.assertEqual(report["malformed"] + report["differing"], 1)
        self.assertEqual(report["received"], report["due"] - report["malformed"])

    def test_a_client_that_is_closed_is_told_with_its_code(self):
        report = self.tampered(lambda text: None, code=CONNECTIONS_FAILED)
        self.assertEqual(report["readers"]["closes"], {"4000": 1})
        self.assertEqual(report["readers"]["holes"], 0)
        self.assertLess(report["received"], report["due"])

    @in_full
    def test_losses_may_be_allowed(self):
        report = self.tampered(lambda text: [], "--allow-gaps", code=VALID)
        self.assertEqual(report["readers"]["holes"], 1)
        report = self.tampered(lambda text: None, "--allow-gaps", code=VALID)
        self.assertEqual(report["readers"]["closes"], {"4000": 1})

    @in_full
    def test_the_unit_that_would_fit_is_told(self):
        with PlainServer() as server:
            for unit, hint in (("ms", "--time-unit s would make the times in the ticks those of now"),
                               ("ns", "--time-unit s would make the times in the ticks those of now")):
                result = bench(*PLAIN, "--time-unit", unit, "-c", 2, "-d", 0.5, "-w", 0.1, server.url())
                self.assertEqual(result.returncode, NOT_DELIVERED, result.stdout)
                self.assertIn(f"  hint        {hint}\n", result.stdout)
                self.assertIn("  INVALID: the times in the ticks are far from now\n", result.stdout)
            result = bench(*PLAIN, "--time-pattern", '"n": ', "-c", 2, "-d", 0.5, "-w", 0.1, server.url())
            self.assertEqual(result.returncode, NOT_DELIVERED, result.stdout)
            self.assertRegex(result.stdout, r"  hint +the times in [\d ]+ ticks are hours from now")

    @in_full
    def test_times_may_have_an_exponent(self):
        with PlainServer(exponent=True) as server:
            report = self.plain(server, least=4 * 21)
        self.assertEqual((report["malformed"], report["received"]), (0, report["due"]))
        self.assertLess(report["latency_ns"]["p50"], 10e9)

    def test_a_message_that_is_no_tick_is_shown(self):
        with PlainServer() as server:
            result = bench(*PLAIN, "--seq-pattern", '"N": ', "-c", 2, "-d", 0.5, "-w", 0.1, server.url())
        self.assertEqual(result.returncode, NOT_DELIVERED, result.stdout)
        self.assertRegex(result.stdout, r'\n  no tick     \{"t": 1\d+\.')
        self.assertRegex(result.stdout, r"  INVALID: none of \d+ messages is a tick by the patterns\n")

    def test_another_server_than_ringcast_is_suspected(self):
        with PlainServer() as server:
            result = bench("-c", 2, "-d", 0.5, "--timeout", 600, server.url())
        self.assertEqual(result.returncode, CONNECTIONS_FAILED, result.stdout)
        self.assertIn("  hint        is it a ringcast? --protocol plain measures any server\n", result.stdout)
        self.assertRegex(result.stdout, r'\n  malformed   \{"t": ')

    @in_full
    def test_nothing_but_losses_may_be_allowed(self):
        for name, tamper in (("twice", lambda text: [text, text]),
                             ("differs", lambda text: [text.replace("12.34", "12.35")]),
                             ("malformed", lambda text: [text.replace('"n": ', '"N": ')])):
            with self.subTest(name):
                self.tampered(tamper, "--allow-gaps")

    @in_full
    def test_nothing_received_is_never_valid(self):
        with PlainServer() as server:
            server.is_mute = True
            report = self.plain(server, "--allow-gaps", code=NOT_DELIVERED, duration=0.5, least=0)
            result = bench("--json", *PLAIN, "--until", "p99=5s", "--allow-gaps", "-c", 2, "-d", 0.3, "-w", 0.1,
                           server.url())
        self.assertEqual(report["subscribed"], 4)
        steps = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual(result.returncode, NOT_DELIVERED, result.stdout + result.stderr)
        self.assertEqual([step["holds"] for step in steps[:-1]], [False, False])
        self.assertEqual(steps[-1]["connections_served"], 0)

    @in_full
    def test_a_stall_of_everybody_at_the_end_of_the_window_is_waited_for(self):
        def stall(server, process):
            server.is_stalled = True
            server.wait_for_ticks(10)
            process.send_signal(signal.SIGINT)  # ends the window; what it holds goes on being due
            time.sleep(1)
            server.is_stalled = False
        report = self.interrupted(stall)
        self.assertTrue(report["valid"], report)
        self.assertEqual((report["received"], report["unfinished"]), (report["due"], 0))
        self.assertGreater(report["latency_ns"]["max"], 0.9e9)

    @in_full
    def test_a_server_that_falls_silent_is_waited_for_but_not_for_ever(self):
        def fall_silent(server, process):
            server.is_mute = True
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            process.wait(40)
            took.append(time.monotonic() - began)
        took = []
        report = self.interrupted(fall_silent)
        self.assertTrue(report["valid"], report)
        self.assertEqual(report["unfinished"], 4)
        self.assertGreater(took[-1], 2.9)
        self.assertLess(took[-1], 9)

    def test_a_plain_server_is_sent_no_list_however_long_it_is(self):
        with PlainServer() as server:
            report = self.plain(server, "--symbols", "S{00000..09999}", duration=0.5)
            self.assertEqual(server.received, [])
            result = bench(*PLAIN, "-c", 4, "--symbols", "S{00000..09999}", server.url("/sub/{symbols}"))
            self.assertEqual(server.paths, ["/"] * 4)
        self.assertEqual(report["received"], report["due"])
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertIn("--symbols: with them the path of the URL has", result.stderr)
        self.assertIn("at most 1023", result.stderr)

    def test_the_text_tells_what_was_wrong(self):
        status, out = self.until_tampered(lambda text: [text, text])
        self.assertEqual(status, NOT_DELIVERED, out)
        self.assertIn("; 1 DUPLICATE\n", out)
        self.assertIn("INVALID: readers received 1 duplicate\n", out)

    def test_places_are_those_among_the_connections_of_all_threads(self):
        for name, order in (("always the same", lambda number, count: 0),
                            ("each in turn", lambda number, count: number % count)):
            with self.subTest(name), PlainServer(first=order) as server:
                for _ in range(TRIES):  # What comes while the load is stopped is read in the order of threads.
                    places = self.plain(server, "-t", 2, least=4 * 21)["fairness"]
                    is_fair = places["max"] - places["min"] < 0.5
                    if is_fair == (name == "each in turn"):
                        break
                self.assertEqual(places["connections"], 4)
                self.assertGreater(places["ticks"], 20)
                self.assertEqual(is_fair, name == "each in turn", places)

    def test_connections_come_from_the_addresses_that_are_named(self):
        with PlainServer() as server:
            self.plain(server, "-t", 2, "--source", "127.0.0.2,127.0.0.3", duration=0.5)
            self.assertEqual(collections.Counter(server.peers), {"127.0.0.2": 2, "127.0.0.3": 2})

    def test_an_address_that_is_not_ours_is_told_once(self):
        with PlainServer() as server:
            report = self.plain(server, "--source", "192.0.2.1", duration=0.5)
        self.assertEqual(report["said"].count("--source: Cannot assign requested address"), 1, report["said"])

    def test_the_path_names_the_symbols_of_each_connection(self):
        with PlainServer() as server:
            self.plain(server, "--symbols", "A,B,C", duration=0.5, path="/sub/{symbols}?x=1")
            self.assertEqual(server.paths, ["/sub/A,B,C?x=1"] * 4)
            self.plain(server, "-c", 30, "--seq-pattern", "", "--symbols", "S{000..199}", "--subscriptions", 3,
                       duration=0.5, path="/sub/{symbols}")
            drawn = [path.removeprefix("/sub/").split(",") for path in server.paths]
        self.assertEqual([len(set(symbols)) for symbols in drawn], [3] * 30)
        self.assertGreater(len({tuple(symbols) for symbols in drawn}), 25)
        self.assertTrue(all(name[0] == "S" and 0 <= int(name[1:]) < 200 for names in drawn for name in names))

    def test_a_message_may_be_sent_first(self):
        with PlainServer() as server:
            self.plain(server, "--send", '{"op":"subscribe"}', duration=0.5)
            wait_until(lambda: len(server.received) == 4)
            self.assertEqual(server.received, ['{"op":"subscribe"}'] * 4)

    def test_ctrl_c_ends_the_window_and_still_reports(self):
        report = self.interrupted(lambda server, process: process.send_signal(signal.SIGINT))
        self.assertTrue(report["valid"], report)
        self.assertTrue(report["interrupted"])
        self.assertLess(report["seconds"], 50)
        self.assertGreater(report["received"], 100)
        self.assertEqual(report["received"], report["due"])


class Nobody(BenchTestCase):
    def test_a_port_where_nobody_listens_is_told_at_once(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # not listening, and nobody else's
            url = f"ws://127.0.0.1:{taken.getsockname()[1]}/"
            result = bench("-c", 5, "-d", 1, "--timeout", 600, url)
            self.assertEqual(result.returncode, CONNECTIONS_FAILED, result.stdout)
            self.assertIn("0 of 5 connections subscribed, 5 failed", result.stderr)
            self.assertIn("5, the last: Connection refused", result.stdout)
            report = self.report("-c", 5, "-d", 1, url, code=CONNECTIONS_FAILED)
            self.assertEqual((report["subscribed"], report["connect_errors"]), (0, 5))
            for more in (("--allow-gaps",), ("--cpu", 0, "--pid", os.getpid())):
                result = bench("-c", 5, "-d", 1, *more, url)
                self.assertEqual(result.returncode, CONNECTIONS_FAILED, result.stdout)
                self.assertNotIn("nan", result.stdout.lower())
                self.assertNotIn("  core ", result.stdout)

    def test_nothing_that_was_not_measured_has_a_figure(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"ws://127.0.0.1:{taken.getsockname()[1]}/"
            options = ("-c", 2, "-d", 1, "--cpu", 0, "--pid", os.getpid(), url)
            text = bench(*options).stdout
            report = self.report(*options, code=CONNECTIONS_FAILED)
        starts = [line[2:].split()[0] for line in text.splitlines()[1:]]
        self.assertEqual(starts, ["errors", "delivered", "INVALID:"])
        self.assertIn("  INVALID: 2 of 2 connections could not be subscribed\n", text)
        for key in ("load_busy", "load_waited", "load_stolen", "load_throttled", "frames_per_second",
                    "bytes_per_second", "bytes_per_frame", "ticks_per_second", "seconds", "connect_seconds",
                    "published", "due", "channels", "differing"):
            self.assertIsNone(report[key], key)
        for name in ("latency_ns", "spread_ns", "loop_ns", "connect_ns"):
            self.assertEqual({key for key, value in report[name].items() if value is not None}, {"count"}, name)
        self.assertEqual({key for key, value in report["fairness"].items() if value is not None},
                         {"connections", "ticks"})
        server = report["server"]
        self.assertGreaterEqual(server.pop("core_connect_busy_ns"), 0)
        self.assertFalse(server.pop("ended"))
        self.assertEqual(set(server.values()), {None}, server)

    def test_a_server_that_does_not_answer_is_given_up(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            result = bench("-c", 5, "-d", 1, "--timeout", 0.5,
                           f"ws://127.0.0.1:{silent.getsockname()[1]}/")
        self.assertEqual(result.returncode, CONNECTIONS_FAILED, result.stdout)
        self.assertIn("0 of 5 connections subscribed", result.stderr)

    def answered(self, *pieces):
        """What is said of a server that answers each of three upgrades with these bytes."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            def answer():
                for _ in range(3):
                    client, _ = other.accept()
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    client.recv(4096)
                    for piece in pieces:
                        client.sendall(piece)
                        time.sleep(0.1)
                    client.close()
            threading.Thread(target=answer, daemon=True).start()
            result = bench("-c", 3, "-d", 1, f"ws://127.0.0.1:{other.getsockname()[1]}/")
        self.assertEqual(result.returncode, CONNECTIONS_FAILED, result.stdout)
        self.assertIn("3 failed", result.stderr)
        self.assertNotIn("errors ", result.stdout)
        return result.stdout

    def test_a_refused_upgrade_is_told_by_its_status(self):
        said = self.answered(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        self.assertIn("; 3 closed 404\n", said)
        self.assertIn("  hint        404: the server has no such path\n", said)
        self.assertIn("  INVALID: 3 of 3 connections could not be subscribed\n", said)
        said = self.answered(b"HTTP/1.0 5", b"03 No\r\n\r\n")
        self.assertIn("; 3 closed 503\n", said)
        self.assertIn("  hint        503: the server is full; ringcast's limit is its --max-connections\n", said)
        self.assertIn("; 3 cut off\n", self.answered(b"SSH-2.0-OpenSSH_9.2\r\n"))
        self.assertIn("; 3 cut off\n", self.answered(b"HTTP/1.1"))

    def test_no_more_are_being_made_at_one_time_than_in_flight_says(self):
        for in_flight, threads, expected in ((4, 3, 4), (1, 1, 1), (2, 3, 3)):
            with socket.create_server(("127.0.0.1", 0), backlog=64) as silent, contextlib.ExitStack() as clients:
                silent.settimeout(0)
                came = []

                def have_come():
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            came.append(clients.enter_context(silent.accept()[0]))
                    return len(came) >= expected
                process = started("-c", 20, "-t", threads, "--in-flight", in_flight, "-d", 1,
                                  f"ws://127.0.0.1:{silent.getsockname()[1]}/", is_there=have_come)
                try:
                    time.sleep(0.3)  # for one too many
                    have_come()
                    process.send_signal(signal.SIGINT)
                    out, err = process.communicate(timeout=40)
                finally:
                    reap(process)
                self.assertEqual(process.returncode, CONNECTIONS_FAILED, out + err)
            self.assertEqual(len(came), expected, (in_flight, threads))


@in_full
class Ringcast(ServerTestCase, BenchTestCase):
    options = ("--feed", "sim:symbols=200,rate=1000", "--max-connections", "500")

    @in_full
    def test_light_readers_get_what_readers_get(self):
        def attempt():
            before.append(self.server.stats()["publisher"]["ticks"])
            return self.one_report("-c", 20, "--light-readers", 15, "-d", 1, "-w", 0.2, *BY_DUE_TIME, self.server.url())
        before = []
        report = self.with_due(attempt)
        self.server.wait_for_ticks(1)  # All that were sent are counted now.
        ticks = self.server.stats()["publisher"]["ticks"] - before[-1]
        self.assertTrue(report["valid"], report)
        self.assertEqual(report["received"], report["due"])
        self.assertEqual(report["received"], 5 * report["published"])
        # Each gets the window's ticks, and some before and after it.
        self.assertGreaterEqual(report["light_readers"]["frames"], 15 * report["published"])
        self.assertLessEqual(report["light_readers"]["frames"], 15 * ticks)
        self.assertEqual(report["light_readers"]["sessions"], 15)

    def test_drawn_subscriptions_have_an_exact_reach(self):
        report = self.report("-c", 60, "-t", 2, "-d", 2, "-w", 0.3, "--symbols", "SIM{00010..00199}.SIM",
                             "--subscriptions", 10, "--zipf", 1, "--pid", self.server.pid, "--cpu", 0,
                             "--publish", "symbols=200,rate=1000", self.server.url(), least=4000)
        self.assertEqual(report["saturated"], report["load_busy"] > 0.9)
        self.assertEqual(report["received"], report["due"])
        self.assertLess(report["received"], 60 * report["published"])
        self.assertGreater(report["published"], 500)
        self.assertGreater(report["channels"], 100)
        self.assertEqual(report["refusals"], 0)
        self.assertEqual(report["fairness"]["connections"], 60)
        self.assertGreater(report["server"]["rss_bytes_end"], 1 << 20)
        times = [report["server"][f"core_{name}_ns"] for name in ("busy", "idle", "steal")]
        self.assertGreater(sum(times), 10**8, times)
        self.assertGreater(report["loop_ns"]["count"], 0)
        self.assertGreater(report["loop_ns"]["max"], 0)
        self.assertGreater(report["load_busy"], 0)
        self.assertIsInstance(report["slow_loop"], bool)

    def test_what_nobody_publishes_is_told(self):
        path = self.folder() / "ticks.csv"
        path.write_text("symbol,timestamp,type,price,size,side,id\n" + "".join(
            f"{name}.SZ,2024-11-20T07:00:00Z,T,12.340,1,B,{number}\n" for number, name in enumerate("ABA")))
        with Server("--feed", f"replay:path={path},speed=1") as server:
            self.assertIsNotNone(server.wait_for_line("after pass 1", 60))
            for options, words in (
                    (("-y", "trade"), "nothing was published on the 2 channels subscribed"),
                    (("-y", "trade", "-s", "A.SZ"), "nothing was published on the 1 channel subscribed"),
                    (("-y", "quote"), "no channel matches the symbols and types asked for"),
                    (("-y", "trade", "-s", "ZZZ*"), "no channel matches the symbols and types asked for")):
                result = bench("-c", 2, "-d", 0.3, "-w", 0.1, *options, server.url())
                self.assertEqual(result.returncode, NOT_DELIVERED, result.stdout)
                self.assertIn(f"  INVALID: {words}\n", result.stdout)
                self.assertIn("  delivered   nothing was due\n", result.stdout)
                self.assertRegex(result.stdout, r"\n  latency    ( +-){8}\n")
                self.assertRegex(result.stdout, r", - each\n  published   0 ticks on 0 channels, 0/s\n")

    def test_symbols_given_twice_are_both_subscribed(self):
        report = self.report("-c", 2, "-d", 1, "-w", 0.2, "-s", "AAPL.US", "-s", "MSFT.US", *BY_DUE_TIME,
                             self.server.url())
        self.assertEqual(report["channels"], 2)

    def test_a_load_that_others_keep_from_its_core_is_starved(self):
        core = str(min(os.sched_getaffinity(0)))
        others = [spawn(["taskset", "-c", core, "sh", "-c", "while :; do :; done"]) for _ in range(3)]
        path = self.folder() / "seconds.csv"
        try:
            for form in ("--json", f"--pid={os.getpid()}"):
                result = run(["taskset", "-c", core, program("ringcast-bench"), "-c", "50", "-d", "2", "-w", "0.2",
                              form, "--csv", path, *BY_DUE_TIME, self.server.url()], seconds=60)
                self.assertEqual(result.returncode, VALID, result.stdout + result.stderr)
                if form == "--json":
                    report = json.loads(result.stdout)
                    if report["load_waited"] is None:
                        self.skipTest("SKIPPED: this kernel has no schedstat")
                    self.assertTrue(report["starved"], report)
                    self.assertGreater(report["load_waited"], 0.02)
                    self.assertLess(report["load_waited"], 2)  # a wait that began before the window is in it
                else:
                    self.assertRegex(result.stdout, r"\n  generator .* waited for one \d+\.\d % of the window; ")
                    self.assertIn("\n  warning     STARVED: ", result.stdout)
                    self.assertRegex(result.stdout, r"\n  VALID, with warnings?\n$")
                with open(path, newline="", encoding="ascii") as file:
                    waited = [float(row["load_waited"]) for row in csv.DictReader(file)]
                self.assertGreater(max(waited), 0.02)
        finally:
            for other in others:
                reap(other)

    def test_a_symbol_that_is_not_there_is_told(self):
        result = bench("-c", 3, "-d", 1, "--symbols", "NO SUCH", self.server.url())
        self.assertEqual(result.returncode, CONNECTIONS_FAILED, result.stdout)
        self.assertIn("refused     3, the first: {", result.stdout)
        self.assertIn("NO SUCH", result.stdout)

    def test_the_text_has_its_lines(self):
        result = bench("-c", 5, "-d", 1, "-w", 0.2, "--pid", self.server.pid, "--cpu", 0, "--publish",
                       "rate=1000000", "--slow", 1, *BY_DUE_TIME, self.server.url())
        self.assertEqual(result.returncode, VALID, result.stdout + result.stderr)
        starts = [line[2:].split()[0] for line in result.stdout.splitlines()[1:]]
        self.assertEqual(starts, ["connect", "frames", "published", "time", "tcp", "upgrade", "subscribe", "first_tick",
                                  "latency", "spread", "loop", "delivered", "fairness", "slow", "server", "core", "generator",
                                  "publisher", *["warning"] * starts.count("warning"), starts[-1]])
        self.assertEqual(starts[-1].rstrip(","), "VALID")
        self.assertIn("BEHIND", result.stdout)

    def test_a_publisher_that_sends_less_is_behind(self):
        for rate, behind in ((990, False), (1100, True)):
            report = self.report("-c", 3, "-d", 1, "-w", 0.2, "--publish", f"rate={rate}", *BY_DUE_TIME,
                                 self.server.url())
            self.assertEqual(report["behind"], behind, report["ticks_per_second"])
            self.assertAlmostEqual(report["ticks_per_second"], report["published"])

    def active(self):
        return self.server.stats()["connections"]["active_connections"]

    def ended_in_the_window(self, form):
        """(the number of a process that ended in the window, exit code, output)"""
        self.assertTrue(wait_until(lambda: self.active() == 0))
        watched = spawn(["sleep", "600"])
        process = started(form, "-c", 3, "-d", 60, "-w", 0.1, "--pid", watched.pid, self.server.url(),
                          is_there=lambda: self.active() == 3)
        try:
            self.server.wait_for_ticks(500)
            watched.kill()  # and is not waited for yet
            os.waitid(os.P_PID, watched.pid, os.WEXITED | os.WNOWAIT)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=40)
        finally:
            reap(watched)
            reap(process)
        return watched.pid, process.returncode, out

    def test_a_process_that_ends_in_the_window_is_told(self):
        for form in ("--json", "--cpu=0"):
            for _ in range(TRIES):
                pid, status, out = self.ended_in_the_window(form)
                if status == VALID and "was not there" not in out:  # else the window began too late
                    break
            self.assertEqual(status, VALID, out)
            if form == "--json":
                server = json.loads(out)["server"]
                self.assertTrue(server.pop("ended"))
                self.assertEqual(set(server.values()), {None}, server)
            else:
                self.assertIn(f"  server      process {pid} ENDED in the window\n", out)

    def test_latency_may_be_counted_from_the_intended_time(self):
        report = self.report("-c", 5, "-d", 1, "-w", 0.2, *BY_DUE_TIME, self.server.url())
        self.assertEqual(report["received"], report["due"])
        self.assertLess(report["latency_ns"]["p50"], 10e9)

    def test_until_ends_with_an_answer(self):
        result = bench("--json", "--until", "p99=5s", "-c", 4, "--until-max", 9, "-d", 0.5, "-w", 0.1,
                       *BY_DUE_TIME, self.server.url())
        self.assertEqual(result.returncode, VALID, result.stdout + result.stderr)
        *steps, answer = map(json.loads, result.stdout.splitlines())
        self.assertEqual([(step["connections"], step["holds"]) for step in steps],
                         [(4, True), (8, True), (9, True)])
        self.assertTrue(all(0 < step["value_ns"] <= step["limit_ns"] == 5 * 10**9 for step in steps))
        self.assertEqual(answer, {"until": "p99=5s", "connections_served": 9, "connections_too_many": 0})

    def test_until_that_nobody_fulfils_ends_with_an_answer(self):
        result = bench("--until", "p50=1ns", "-c", 3, "-d", 0.4, "-w", 0.1, *BY_DUE_TIME, self.server.url())
        self.assertEqual(result.returncode, NOT_DELIVERED, result.stdout + result.stderr)
        lines = result.stdout.splitlines()
        self.assertTrue(all("over the limit" in line for line in lines[:-1]), result.stdout)
        self.assertEqual(lines[-1], "0 connections are served with p50=1ns; 1 is too many")
        self.assertEqual(result.stderr, "Finding how many connections are served with p50=1ns @ "
                                        f"{self.server.url()}, 0.4 s each\n")

    def test_until_does_not_begin_above_its_most(self):
        result = bench("--json", "--until", "p99=5s", "-c", 8, "--until-max", 3, "-d", 0.4, "-w", 0.1,
                       *BY_DUE_TIME, self.server.url())
        steps = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual(result.returncode, VALID, result.stdout + result.stderr)
        self.assertEqual([step.get("connections") for step in steps], [3, None])
        self.assertEqual(steps[-1]["connections_served"], 3)

    def test_a_step_of_until_that_is_cut_short_says_nothing(self):
        for form, answer in (("--json", '{"until":"p99=5s","connections_served":0,"connections_too_many":0}\n'),
                             ("--cpu=0", "0 connections are served with p99=5s, and the search was interrupted\n")):
            self.assertTrue(wait_until(lambda: self.active() == 0))
            process = started(form, "--until", "p99=5s", "-c", 3, "-d", 60, self.server.url(),
                              is_there=lambda: self.active() == 3)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=40)
            reap(process)
            self.assertEqual((process.returncode, out), (NOT_DELIVERED, answer))

    def test_a_scenario_file_is_a_run(self):
        path = self.folder() / "scenario"
        path.write_text("# a small one\nconnections 12\nthreads 2\nduration 0.5\nwarmup 0.1\n"
                        "symbols SIM{00010..00019}.SIM\nsubscriptions 5  # each\ntime-pattern \"ts_event\":\njson\n")
        result = bench("--scenario", path, "-c", 6, self.server.url())
        self.assertEqual(result.returncode, VALID, result.stdout + result.stderr)
        report = json.loads(result.stdout)
        self.assertEqual((report["connections"], report["threads"], report["subscribed"]), (6, 2, 6))

    def test_a_misspelt_key_is_named_with_its_line(self):
        path = self.folder() / "scenario"
        path.write_text("connections 12\n\nduraton 1\n")
        result = bench("--scenario", path, self.server.url())
        self.assertEqual(result.returncode, 1)
        self.assertIn("'duraton'", result.stderr)
        self.assertIn(f"{path}, line 3", result.stderr)


    def test_a_fair_server_is_fair_to_two_threads(self):
        core = str(min(os.sched_getaffinity(0)))
        for _ in range(TRIES):  # What comes late to a thread that was stopped is read late.
            result = run(["taskset", "-c", core, program("ringcast-bench"), "--json", "-t", "2", "-c", "100", "-d",
                          "2", "-w", "0.2", *BY_DUE_TIME, self.server.url()], seconds=40)
            places = json.loads(result.stdout)["fairness"]
            if places["max"] - places["min"] < 0.3:
                break
        self.assertEqual(places["connections"], 100)
        self.assertLess(places["max"] - places["min"], 0.3, places)


class Encodings(ServerTestCase, BenchTestCase):
    """What ringcast sends in each of its encodings."""
    options = ("--feed", "sim:symbols=40,rate=2000,types=quote+depth", "--max-connections", "500",
               "--compression-threshold", "256")

    def encoded(self, encoding, *arguments):
        return self.report("--encoding", encoding, "-c", 30, "-t", 2, "-d", 1.5, "-w", 0.3, "--symbols",
                           "SIM{00010..00039}.SIM", "--subscriptions", 6, "--types", "quote,depth", "--zipf", 1,
                           *BY_DUE_TIME, *arguments, self.server.url())

    @in_full
    def test_each_has_an_exact_reach_and_the_same_ticks(self):
        reports = {encoding: self.encoded(encoding) for encoding in ("json", "sbe", "deflate")}
        for encoding, report in reports.items():
            with self.subTest(encoding):
                self.assertEqual(report["encoding"], encoding)
                self.assertEqual(report["received"], report["due"])
                # A tick more or less of each symbol may lie in the window.
                self.assertLess(abs(report["due"] / reports["json"]["due"] - 1), 0.03)
                self.assertEqual(report["channels"], reports["json"]["channels"])
                self.assertLess(report["received"], 30 * report["published"])
                self.assertEqual((report["malformed"], report["differing"], report["refusals"]), (0, 0, 0))
                self.assertEqual(report["readers"]["holes"] + report["readers"]["duplicates"], 0)
                self.assertGreater(report["spread_ns"]["count"], 0)
                self.assertEqual(report["fairness"]["connections"], 30)
                self.assertLess(report["latency_ns"]["p50"], 10e9)
        self.assertLess(reports["sbe"]["bytes_per_frame"], 0.75 * reports["json"]["bytes_per_frame"])
        self.assertLess(reports["deflate"]["bytes_per_frame"], 0.9 * reports["json"]["bytes_per_frame"])

    def test_the_bytes_of_a_frame_are_those_of_the_schema(self):
        report = self.report("--encoding", "sbe", "-c", 3, "-d", 0.5, "-w", 0.1, *BY_DUE_TIME, "--symbols",
                             "AAPL.US", self.server.url())
        self.assertEqual(report["bytes_per_frame"], 274 + 4)  # a quote of 5 levels a side, see docs/sbe.md

    def test_books_cut_for_all_at_once_begin_with_a_whole_one(self):
        for encoding in ("json", "sbe"):
            with self.subTest(encoding):
                report = self.report("--encoding", encoding, "-c", 40, "-d", 0.5, "-w", 0.1, "--symbols", "AAPL.US",
                                     "--types", "depth", "--depth", 5, "--snapshot", "--at-once", "--in-flight", 7,
                                     "--stalled", 2, *BY_DUE_TIME, self.server.url())
                phases = report["phases_ns"]
                self.assertEqual(phases["snapshot"]["count"], 38)
                self.assertGreaterEqual(phases["snapshot"]["max"], phases["subscribe"]["p50"])
                self.assertLess(phases["snapshot"]["max"], 5e9)
                self.assertEqual(report["received"], report["due"])

    def test_the_url_subscribes_without_a_message(self):
        """Every role in every encoding; what is due to a drawn subscription is known as with a message."""
        for encoding in ("json", "sbe", "deflate"):
            with self.subTest(encoding):
                report = self.report("--encoding", encoding, "-c", 40, "-d", 0.5, "-w", 0.1, "--by-url", "--snapshot",
                                     "--symbols", "AAPL.US,000001.SZ,600519.SH", "--subscriptions", 2, "--stalled", 2,
                                     "--churn", 2, "--malformed-clients", 5, "--half-open", 3, "--resubscribers", 2,
                                     "--patience", 30, *BY_DUE_TIME, self.server.url())
                self.assertEqual(report["received"], report["due"])
                self.assertGreater(report["received"], 0)
                self.assertEqual(report["phases_ns"]["snapshot"]["count"], 26)

    @in_full
    def test_churn_beside_readers_does_no_harm(self):
        report = self.encoded("deflate", "--churn", 5, "--churn-life", 0.2, "--malformed-clients", 5)
        self.assertEqual((report["received"], report["malformed_clients"]["ignored"]), (report["due"], 0))


class NotGranted(ServerTestCase, BenchTestCase):
    options = ("--compression", "off")

    def test_a_server_that_does_not_compress_is_refused(self):
        result = bench("--encoding", "deflate", "-c", 3, "-d", 1, self.server.url())
        self.assertEqual(result.returncode, CONNECTIONS_FAILED, result.stdout)
        self.assertIn("refused     3, the first: the server does not speak this --encoding", result.stdout)
        self.assertIn("3 closed 101", result.stdout)


class Misbehaviour(BenchTestCase):
    def test_readers_beside_every_bad_role_lose_nothing(self):
        crowds = {"churn": 4, "storm": 4, "malformed-clients": 6, "half-open": 3, "resubscribers": 2, "slow": 2,
                  "stalled": 2}
        arguments = [word for name, count in crowds.items() for word in (f"--{name}", count)]
        with Server("--feed", "sim:symbols=20,rate=1000", "--max-connections", "100") as server:
            for seconds in (4, 12):  # the second one where a stop left too few seconds of the first
                report = self.report("-c", 10 + sum(crowds.values()), "-t", 2, "-d", seconds, "-w", 0.2,
                                     "--churn-life", 0.3, "--storm-every", 0.7, "--stalled-silent", 1,
                                     *BY_DUE_TIME, *arguments, server.url())
                if self.is_busy(report, crowds):
                    break
            self.assertEqual(server.wait_for_line("ERROR|CRITICAL", 0.1), None)
        self.assertEqual(report["received"], report["due"])
        self.assertEqual(report["received"], 10 * report["published"])
        self.assertEqual(report["readers"]["closes"], {})
        for name, count in crowds.items():
            role = report[name.replace("-", "_")]
            self.assertGreaterEqual(role["sessions"], count, name)
            self.assertEqual(role["refused"], 0, name)
            self.assertEqual((role["holes"], role["duplicates"], role["gaps_wrong"]), (0, 0, 0), name)
        for name in ("churn", "storm"):
            self.assertEqual(report[name]["closes"], {}, name)
        self.assertTrue(self.is_busy(report, crowds), report)
        # Every misdeed but those that are under way is answered.
        role = report["malformed_clients"]
        self.assertGreaterEqual(sum(role["closes"].values()), role["sessions"] - crowds["malformed-clients"])

    def is_busy(self, report, crowds):
        """Whether each role did much, and each kind of misdeed was answered in its way."""
        closes = report["malformed_clients"]["closes"]
        return (all(report[name]["sessions"] >= 3 * crowds[name] for name in ("churn", "storm")) and
                report["resubscribers"]["sessions"] > 100 and
                report["malformed_clients"]["sessions"] >= 5 * crowds["malformed-clients"] and
                all(closes.get(code, 0) > 0 for code in ("400", "1002", "1007")))


SUB_BUCKETS = 256  # of an HdrHistogram with 2 significant digits


def decode_hdr(text):
    """[(lowest, highest, count)] of a V2 compressed histogram, by the format's description."""
    packed = base64.b64decode(text)
    cookie, packed_bytes = struct.unpack_from(">II", packed)
    assert cookie & ~0xf0 == 0x1c849304, hex(cookie)
    assert packed_bytes == len(packed) - 8
    plain = zlib.decompress(packed[8:])
    cookie, count_bytes, offset, digits, lowest, highest, ratio = struct.unpack_from(">IIiiqqd", plain)
    assert cookie & ~0xf0 == 0x1c849303, hex(cookie)
    assert (offset, digits, lowest, ratio) == (0, 2, 1, 1.0), (offset, digits, lowest, ratio)
    counts = plain[40:]
    assert len(counts) == count_bytes
    found, index, at = [], 0, 0
    while at < len(counts):
        value = 0
        for i in range(9):
            byte = counts[at]
            at += 1
            value |= (byte if i == 8 else byte & 0x7f) << 7 * i
            if byte < 0x80:
                break
        value = (value >> 1) ^ -(value & 1)
        if value < 0:
            index += -value
            continue
        bucket, sub = index // (SUB_BUCKETS // 2) - 1, index % (SUB_BUCKETS // 2) + SUB_BUCKETS // 2
        if bucket < 0:
            bucket, sub = 0, sub - SUB_BUCKETS // 2
        found.append((sub << bucket, ((sub + 1) << bucket) - 1, value))
        assert found[-1][1] <= highest
        index += 1
    return found


class Files(ServerTestCase, BenchTestCase):
    options = ("--feed", "sim:symbols=20,rate=1000")

    def test_the_csv_has_a_row_a_second_that_add_up(self):
        path = self.folder() / "seconds.csv"
        report = self.report("-c", 10, "-t", 2, "-d", 3, "-w", 0.2, "--csv", path, "--pid", self.server.pid,
                             *BY_DUE_TIME, self.server.url())
        with open(path, newline="", encoding="ascii") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([float(row["second"]) for row in rows], [0.0, 1.0, 2.0])
        self.assertEqual(sum(int(row["frames"]) for row in rows), report["received"])
        self.assertEqual(max(int(row["max_ns"]) for row in rows), report["latency_ns"]["max"])
        for row in rows:
            values = [int(row[f"{name}_ns"]) for name in ("p50", "p90", "p99", "p99.9", "p99.99", "max")]
            self.assertEqual(values, sorted(values))
            self.assertGreater(int(row["payload_bytes"]), 100 * int(row["frames"]))
            self.assertGreater(int(row["server_rss_bytes"]), 1 << 20)

    def test_an_interrupted_run_has_the_rows_that_it_came_to(self):
        path = self.folder() / "seconds.csv"
        with self.running("-c", 4, "-d", 60, "-w", 0.2, "--csv", path, "--pid", self.server.pid, *BY_DUE_TIME,
                          self.server.url(), is_there=lambda: self.server.stats()["connections"][
                              "active_connections"] == 4) as process:
            self.server.wait_for_ticks(2500)
            process.send_signal(signal.SIGINT)
        report = process.report
        self.assertTrue(report["interrupted"], report)
        with open(path, newline="", encoding="ascii") as file:
            rows = list(csv.DictReader(file))
        seconds = report["published"] / report["ticks_per_second"]
        self.assertEqual(len(rows), math.ceil(round(seconds, 6)), report)
        self.assertEqual(sum(int(row["frames"]) for row in rows), report["received"])

    def test_a_part_of_a_second_has_its_row(self):
        path = self.folder() / "seconds.csv"
        report = self.report("-c", 4, "-d", 1.5, "-w", 0.2, "--csv", path, *BY_DUE_TIME,
                             self.server.url())
        with open(path, newline="", encoding="ascii") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), 2)
        self.assertEqual(sum(int(row["frames"]) for row in rows), report["received"])
        self.assertGreater(int(rows[1]["frames"]), 0)

    def test_the_hdr_log_holds_every_latency(self):
        path = self.folder() / "latency.hlog"
        report = self.report("-c", 10, "-t", 2, "-d", 2, "-w", 0.2, "--hdr-log", path, *BY_DUE_TIME,
                             self.server.url())
        lines = path.read_text(encoding="ascii").splitlines()
        comments = [line for line in lines if line.startswith("#[")]
        self.assertIn("#[Histogram log format version 1.2]", comments)
        self.assertTrue(any(line.startswith("#[StartTime: ") for line in comments), comments)
        self.assertEqual(lines[len(comments)], '"StartTimestamp","Interval_Length","Interval_Max",'
                                               '"Interval_Compressed_Histogram"')
        rows = [line.split(",") for line in lines[len(comments) + 1:]]
        self.assertEqual([row[:2] for row in rows], [["0.000", "1.000"], ["1.000", "1.000"]])
        total = collections.Counter()
        for row in rows:
            buckets = decode_hdr(row[3])
            total.update({(low, high): count for low, high, count in buckets if count})
            highest = max(high for low, high, count in buckets if count)
            lowest_of_highest = max(low for low, high, count in buckets if count)
            self.assertTrue(lowest_of_highest <= round(float(row[2]) * 1e6) <= highest)
        latency = report["latency_ns"]
        self.assertEqual(sum(total.values()), latency["count"])
        self.assertEqual(max(round(float(row[2]) * 1e6) for row in rows), latency["max"])
        for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)):
            left = share * latency["count"]
            for (low, high), count in sorted(total.items()):
                left -= count
                if left <= 1e-6:
                    self.assertEqual(latency[name], min(high, latency["max"]), name)
                    break

    def test_the_picture_is_well_formed(self):
        if shutil.which("gnuplot") is None:
            raise unittest.SkipTest("SKIPPED: gnuplot is not installed")
        path = self.folder() / "it's a picture.svg"
        self.report("-c", 5, "-d", 2, "-w", 0.2, "--plot", path, *BY_DUE_TIME, self.server.url())
        root = xml.etree.ElementTree.parse(path).getroot()
        self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
        text = "".join(root.itertext())
        for word in ("5 connections", "99.9%", "p99", "latency by percentile"):
            self.assertIn(word, text)

    def test_a_file_that_cannot_be_written_is_named(self):
        for option in ("--csv", "--hdr-log", "--plot"):
            if option == "--plot" and shutil.which("gnuplot") is None:
                continue
            result = bench("--json", "-c", 2, "-d", 1, "-w", 0.1, option, "/nonexistent/file.svg",
                           self.server.url())
            self.assertEqual(result.returncode, 1, result.stderr)
            self.assertIn("/nonexistent/file.svg", result.stderr)
            self.assertEqual(result.stdout, "")  # before the run

    def test_a_full_disk_is_told(self):
        if not pathlib.Path("/dev/full").exists():
            raise unittest.SkipTest("SKIPPED: there is no /dev/full")
        for option in ("--csv", "--hdr-log"):
            result = bench("--json", "-c", 2, "-d", 0.5, "-w", 0.1, option, "/dev/full", self.server.url())
            self.assertEqual(result.returncode, 1, result.stderr)
            report = json.loads(result.stdout)
            self.assertEqual((report["valid"], report["exit_code"]), (False, 1), report)
            self.assertIn("/dev/full", result.stderr)


if __name__ == "__main__":
    unittest.main()
