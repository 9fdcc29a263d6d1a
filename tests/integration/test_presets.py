"""ringcast-bench --preset against the real servers: nats-server, nginx with nchan, mosquitto, Python's websockets; and
against stand-ins for Binance and Coinbase."""
import contextlib
import pathlib
import re
import shlex
import subprocess
import sys
import unittest

from server import CHECKOUT, ServerTestCase, in_full, reap, spawn, wait_until
from test_bench import CONNECTIONS_FAILED, NOT_DELIVERED, TRIES, VALID, BenchTestCase, PlainServer, bench

sys.path.insert(0, str(CHECKOUT / "bench" / "peers"))
import peers  # noqa: E402
import ticks  # noqa: E402

KEEP_ALIVE_SECONDS = 30  # of MQTT: a broker closes a client that is silent for half as long again
peers.use_own_python()


class PresetTestCase(BenchTestCase):
    @contextlib.contextmanager
    def running(self, name, spec="symbols=6,rate=300,burst=3", roles=("server", "publisher"), **attributes):
        """A peer whose processes run until the end of the block."""
        peer = peers.PEERS[name](str(CHECKOUT), peers.free_port(), ticks.parse(spec), str(self.folder()))
        for key, value in attributes.items():
            setattr(peer, key, value)
        is_available, reason = peer.available()
        if not is_available:
            self.skipTest(f"SKIPPED: {reason}")
        with contextlib.ExitStack() as stack:
            processes = []
            for role, command, environment in peer.commands():
                if role not in roles:
                    continue
                process = spawn(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                stack.callback(process.stderr.close)
                stack.callback(reap, process)
                processes.append(process)
            running = peers.Running(peer)
            answers = wait_until(lambda: running.answers() or any(it.poll() is not None for it in processes), 30)
            if not answers or any(it.poll() is not None for it in processes):
                for process in processes:
                    reap(process)
                self.fail("\n".join(it.stderr.read().decode() for it in processes))
            yield peer

    def valid_text(self, *arguments):
        """What a valid run prints. A machine that stops for the whole window has another try."""
        for _ in range(TRIES):
            result = bench(*arguments)
            if "nothing was due" not in result.stdout:
                break
        self.assertEqual(result.returncode, VALID, result.stdout + result.stderr)
        return result.stdout

    def valid(self, *arguments):
        report = self.report("-d", "500ms", "-w", "200ms", *arguments)
        self.assertEqual(report["received"], report["due"])
        return report


@in_full
class Presets(PresetTestCase):
    def by_its_preset_alone(self, name, preset, path="/"):
        with self.running(name) as peer:
            said = self.valid_text("--preset", preset, "-d", "1", f"ws://127.0.0.1:{peer.port}{path}")
            self.assertRegex(said, r"\n  delivered +[1-9][\d ]* of [\d ]+ \(100\.0000 %\)\n")
            self.assertRegex(said, r"\n  VALID(, with warning)?\n$")
            self.assertNotIn("malformed", said)

    def test_nats(self):
        self.by_its_preset_alone("nats", "nats")

    def test_mqtt(self):
        self.by_its_preset_alone("mosquitto", "mqtt")

    def test_nchan(self):
        self.by_its_preset_alone("nchan", "nchan", "/sub/AAPL.US,MSFT.US")

    def test_websockets(self):
        self.by_its_preset_alone("websockets", "websockets")

    def test_binance(self):
        self.by_its_preset_alone("binance", "binance", "/stream")

    def test_coinbase(self):
        self.by_its_preset_alone("coinbase", "coinbase")


class Ringcast(ServerTestCase, BenchTestCase):
    options = ("--feed", "sim:symbols=6,rate=300")

    def test_ringcast(self):
        report = self.report("--preset", "ringcast", "-d", "1", f"ws://127.0.0.1:{self.server.port}/")
        self.assertEqual(report["received"], report["due"])


class Draws(PresetTestCase):
    """Each connection subscribes to symbols of its own, and each of their ticks is due."""

    def drawn(self, name, preset, symbols, path="/"):
        with self.running(name, "symbols=6,rate=600,burst=6") as peer:
            report = self.valid("--preset", preset, "-c", "9", "-t", "2", "-s", symbols, "--subscriptions", "2",
                                f"ws://127.0.0.1:{peer.port}{path}")
            # 9 connections with two of six symbols each: a tick has three readers, or a little more where nobody
            # drew a symbol.
            self.assertAlmostEqual(report["due"] / report["published"], 3.3, delta=1)
            self.assertEqual(report["malformed"], 0)

    def test_nats(self):
        self.drawn("nats", "nats", ",".join(ticks.FIRST))

    def test_mqtt(self):
        self.drawn("mosquitto", "mqtt", ",".join(ticks.FIRST))

    def test_nchan(self):
        self.drawn("nchan", "nchan", ",".join(ticks.FIRST), "/sub/{symbols}")

    def test_websockets(self):
        self.drawn("websockets", "websockets", ",".join(ticks.FIRST))

    def test_binance(self):
        self.drawn("binance", "binance", "btcusdt@trade,ethusdt@trade,solusdt@trade,sim{00003..00005}usdt@trade",
                   "/stream")

    def test_coinbase(self):
        self.drawn("coinbase", "coinbase", "BTC-USD,ETH-USD,SOL-USD,SIM{00003..00005}-USD")


@in_full
class Transcript(PresetTestCase):
    """A foreign server is measured with what the page of ringcast-bench says, and nothing else."""

    def test_the_commands_of_the_page_end_valid(self):
        page = (CHECKOUT / "docs" / "bench.md").read_text(encoding="utf8")
        pairs = re.findall(r"^    (bench/peers/peers\.py (\w+) --port (\d+).*) &\n    (ringcast-bench .*)$", page, re.M)
        presets = bench("--preset", "list").stdout
        of_ringcast = {"ringcast", "low", "medium", "high"}
        self.assertEqual({re.search(r"--preset (\w+)", command)[1] for *_, command in pairs} | of_ringcast,
                         set(re.findall(r"^  (\w+)", presets, re.M)))
        for start, name, port, command in pairs:
            self.assertIn(f":{port}/", command)
            with self.subTest(command):
                self.measured(name, start, command, port)

    def measured(self, name, start, command, port):
        free = str(peers.free_port())
        peer = peers.PEERS[name](str(CHECKOUT), 1, dict(ticks.DEFAULTS), "")
        is_available, reason = peer.available()
        if not is_available:
            self.skipTest(f"SKIPPED: {reason}")
        process = spawn([sys.executable, "-B", *shlex.split(start.replace(port, free))], cwd=CHECKOUT, text=True,
                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            self.assertIn("ws://", process.stdout.readline())
            self.valid_text(*shlex.split(command.replace(port, free))[1:])
            process.terminate()
            self.assertEqual(process.wait(20), 0)
        finally:
            process.stdout.close()
            reap(process)


class Fields(PresetTestCase):
    """What a preset says may be changed by other options, and what does not fit is shown."""

    def test_another_pattern_than_the_presets(self):
        with self.running("coinbase") as peer:
            url = f"ws://127.0.0.1:{peer.port}/"
            # sequence counts more than trades: each is a hole.
            report = self.report("--preset", "coinbase", "--seq-pattern", '"sequence":', "-d", "1", url,
                                 code=NOT_DELIVERED)
            self.assertGreater(report["readers"]["holes"], 0)

    def test_a_field_that_is_missing_is_named(self):
        with self.running("binance") as peer:
            result = bench("--preset", "binance", "--symbol-pattern", '"pid":"', "--time-unit", "iso",
                           "-d", "500ms", "-w", "0", f"ws://127.0.0.1:{peer.port}/stream")
            self.assertEqual(result.returncode, NOT_DELIVERED, result.stdout)
            self.assertIn('\n  expected    --symbol-pattern "pid":", but it is not in the message\n', result.stdout)
            self.assertEqual(result.stdout.count("expected"), 1, result.stdout)

    def test_topics_of_ones_own(self):
        for name, options in (("mosquitto", ("--topic", "{symbol}", "-s", "md/+")),
                              ("mosquitto", ("--topic", "{symbol}", "-s", "#")),
                              ("nats", ("--topic", "{symbol}", "-s", "md.AAPL_US,md.MSFT_US"))):
            with self.running(name) as peer:
                self.valid(*peer.load_options(), *options, f"ws://127.0.0.1:{peer.port}/")


class Mosquitto(PresetTestCase):
    def log_of(self, peer):
        return pathlib.Path(peer.work_dir, "mosquitto.log").read_text(encoding="utf8")

    def test_each_client_says_that_it_leaves(self):
        with self.running("mosquitto") as peer:
            self.valid("--preset", "mqtt", f"ws://127.0.0.1:{peer.port}/")

            def left():
                return re.findall(r"Client auto-\S+ (.*)\.", self.log_of(peer))
            wait_until(lambda: len(left()) >= 10)
            self.assertEqual(set(left()), {"disconnected"})

    def test_refusals_are_shown_in_words(self):
        rights = self.folder() / "rights.json"
        rights.write_text('{"defaultACLAccess":{"subscribe":false},"clients":[],"groups":[],"roles":[]}',
                          encoding="utf8")
        plugin = next(pathlib.Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"), "missing")
        for more, words in (
                ("allow_anonymous false\n", "CONNACK 5: the server wants a login, or forbids this client"),
                (f"plugin {plugin}\nplugin_opt_config_file {rights}\n",
                 "SUBACK 0x80: the server forbids a topic of the subscription")):
            with self.running("mosquitto", roles=("server",), more=more) as peer:
                result = bench("--preset", "mqtt", "-d", "1", "--timeout", "5", f"ws://127.0.0.1:{peer.port}/")
                self.assertEqual(result.returncode, CONNECTIONS_FAILED, result.stdout + result.stderr)
                self.assertIn(words, result.stdout)

    def test_a_server_that_is_no_broker_is_named(self):
        with PlainServer() as server:
            result = bench("--preset", "mqtt", "-d", "1", "--timeout", "3", server.url())
            self.assertEqual(result.returncode, CONNECTIONS_FAILED, result.stdout + result.stderr)
            self.assertIn("no MQTT at this path", result.stdout)

    @in_full
    def test_a_long_run_is_not_closed_for_its_silence(self):
        with self.running("mosquitto") as peer:
            result = bench("--preset", "mqtt", "-d", 2 * KEEP_ALIVE_SECONDS, f"ws://127.0.0.1:{peer.port}/",
                           seconds=4 * KEEP_ALIVE_SECONDS)
            self.assertEqual(result.returncode, VALID, result.stdout + result.stderr)
            self.assertGreaterEqual(self.log_of(peer).count("Received PINGREQ from auto-"), 30)


if __name__ == "__main__":
    unittest.main()
