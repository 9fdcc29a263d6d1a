"""A reload reads files that others replace, and takes over what other parts of the server use; whatever else
happens meanwhile."""
import json
import os
import pathlib
import signal
import subprocess
import threading
import unittest

from server import IS_FULL, program, wait_until
from test_allocations import compiler
from test_reload import ReloadCase, SYMBOLS, bearer, entry, token_of


def tokens_of(*names):
    return json.dumps({"tokens": [entry(name) for name in names]})


class Files(ReloadCase):
    def may(self, server, name):
        return self.refused(server, bearer(name)) == 101

    def test_a_folder_that_kubernetes_swaps(self):
        """S46: ..data is a link to the folder of the moment, and the file a link through it"""
        for number, name in enumerate(("first", "second")):
            folder = self.folder / f"..{number}"
            folder.mkdir()
            (folder / "tokens.json").write_text(tokens_of(name))
        data = self.folder / "..data"
        data.symlink_to("..0")
        self.tokens.symlink_to("..data/tokens.json")
        self.secure()
        with self.server() as server:
            self.assertTrue(self.may(server, "first"))
            fresh = self.folder / "..tmp"
            fresh.symlink_to("..1")
            fresh.rename(data)
            changed, = self.reload(server)["applied"]
            self.assertEqual(changed["content"], "changed")
            self.assertEqual((self.may(server, "first"), self.may(server, "second")), (False, True))

    def test_what_is_no_file_of_tokens_changes_nothing(self):
        """S46: a folder, 5 MiB, a FIFO, links in a circle, half a file, nothing; and written in place"""
        self.tokens.write_text(tokens_of("desk"))
        self.secure()

        def circle():
            self.tokens.symlink_to(self.tokens)

        bad = [
            ("not a regular file", self.tokens.mkdir),
            ("not a regular file", lambda: os.mkfifo(self.tokens)),
            ("at most 4 MiB", lambda: self.tokens.write_bytes(b" " * (5 << 20))),
            ("symbolic links", circle),
            ("JSON", lambda: self.tokens.write_text(tokens_of("desk", "other")[:-9])),
            ("JSON", self.tokens.touch),
            ("No such file", lambda: None),
        ]
        with self.server() as server:
            for word, spoil in bad:
                with self.subTest(word):
                    self.tokens.rmdir() if self.tokens.is_dir() else self.tokens.unlink(missing_ok=True)
                    spoil()
                    answer = self.reload(server, 422)
                    self.assertIn(word, answer["error"])
                    self.assertIn(f"{self.config}:", answer["error"])
                    self.assertTrue(self.may(server, "desk"))
            self.tokens.write_text(tokens_of("other"))  # The same inode as that of the last one but two, or not.
            self.reload(server)
            with self.tokens.open("r+") as file:
                file.write(tokens_of("again"))
                file.truncate()
            self.reload(server)
            self.assertEqual((self.may(server, "other"), self.may(server, "again")), (False, True))

    def test_files_that_are_replaced_while_they_are_read(self):
        """S46: mv at any moment: one of the two files is taken, as a whole"""
        texts = [tokens_of("desk", *(f"{which}-{i}" for i in range(500))) for which in ("odd", "even")]
        self.tokens.write_text(texts[0])
        self.secure()
        is_over = threading.Event()

        def replace():
            fresh = self.folder / "fresh-tokens"
            while not is_over.is_set():
                for text in texts:
                    fresh.write_text(text)
                    fresh.rename(self.tokens)

        with self.server() as server:
            client = self.connect(server, "desk")
            thread = threading.Thread(target=replace)
            thread.start()
            try:
                for _ in range(40):
                    self.reload(server)
            finally:
                is_over.set()
                thread.join()
            self.until_pong(client)
            self.assertNotEqual(self.may(server, "odd-1"), self.may(server, "even-1"))

    def test_a_credential_is_read_again(self):
        """S46: $CREDENTIALS_DIRECTORY"""
        credential = self.folder / "tokens"
        credential.write_text(tokens_of("first"))
        self.configure(security={"enable_auth": "yes"})
        with self.server(env={"CREDENTIALS_DIRECTORY": str(self.folder)}) as server:
            client = self.connect(server, "first")
            self.replace(credential, tokens_of("second"))
            self.assertEqual([change["key"] for change in self.reload(server)["applied"]], ["security.tokens_file"])
            self.assertEqual(client.wait_for_close(), (4001, "auth;cause=revoked"))
            self.assertTrue(self.may(server, "second"))
            credential.unlink()
            self.assertIn("no token can be valid", self.reload(server, 422)["error"])
            self.assertTrue(self.may(server, "second"))

    def test_a_configuration_from_a_pipe_cannot_be_read_again(self):
        """S46: --config /dev/stdin"""
        self.configure()
        read, write = os.pipe()
        os.write(write, self.config.read_bytes())
        os.close(write)
        self.config = pathlib.Path("/dev/stdin")
        with self.server(stdin=read) as server:
            os.close(read)
            self.assertIn("not a regular file", self.reload(server, 422)["error"])


class Layers(ReloadCase):
    def test_the_command_line_and_the_environment_stay(self):
        """S46, S52: what wins over the file at the start wins over it later"""
        self.configure()
        with self.server("--max-connections", "50", env={"RINGCAST_MAX_LAG_MS": "7000"}) as server:
            self.configure(websocket={"max_connections": 20, "max_lag_ms": 9, "max_subscriptions_per_client": 33})
            self.assertEqual(self.applied(server), {"websocket.max_subscriptions_per_client": (100, 33)})
            shown = json.loads(server.admin("/config")[2])
            self.assertEqual((shown["websocket"]["max_connections"], shown["websocket"]["max_lag_ms"],
                              shown["websocket"]["max_subscriptions_per_client"]), (50, 7000, 33))
            self.assertRegex(shown["origins"]["websocket.max_subscriptions_per_client"], f"{self.config}:[0-9]+")
            self.configure()
            self.reload(server)
            self.assertNotIn(str(self.config) + ":", json.dumps(
                {key: origin for key, origin in json.loads(server.admin("/config")[2])["origins"].items()
                 if key != "feeds"}))

    def test_another_profile(self):
        """S46, S53: what is live of it holds; the rest, and its name, need a restart"""
        self.configure()
        with self.server() as server:
            self.configure(environment="test")
            answer = self.reload(server)
            applied = {change["key"]: change["to"] for change in answer["applied"]}
            self.assertEqual((applied["websocket.max_connections"], applied["websocket.drain_timeout"]), (200, 0))
            self.assertIn("environment", {change["key"] for change in answer["needs_restart"]})
            self.assertEqual(server.stats()["connections"]["max_connections"], 200)
            self.configure()
            self.assertEqual(self.reload(server)["needs_restart"], [])
            self.assertEqual(server.stats()["connections"]["max_connections"], 1000)


class Others(ReloadCase):
    """Values that other parts read: each changes what they do."""

    def active(self, server, rule):
        page = server.admin("/metrics")[2]
        return f'ringcast_protection_active{{rule="{rule}"}} 1' in page

    def purges(self, server):
        page = server.admin("/metrics")[2]
        name = 'ringcast_protection_actions_total{rule="memory_soft"} '
        return int(float(page.split(name)[1].split("\n")[0]))

    @unittest.skipUnless(IS_FULL, "SKIPPED: several seconds of waiting belong to full")
    def test_watermarks(self):
        """S46: memory_soft, memory_hard, max_memory_percent, gc_interval"""
        self.configure()
        with self.server() as server:
            for key, rule in (("memory_soft", "memory_soft"), ("memory_hard", "memory_hard")):
                self.configure(**{key: "1m", "gc_interval": 1})
                self.assertIn(key, self.applied(server))
                self.assertTrue(wait_until(lambda: self.active(server, rule)))
            self.assertEqual(self.refused(server), 503)
            self.configure(memory_soft="1m", gc_interval=1)
            self.reload(server)
            before = self.purges(server)
            self.assertTrue(wait_until(lambda: self.purges(server) >= before + 2))
            self.assertTrue(wait_until(lambda: self.refused(server) == 101))
            self.configure(max_memory_percent=1)
            self.assertEqual(set(self.applied(server)), {"memory_soft", "gc_interval", "max_memory_percent"})
            self.assertTrue(wait_until(lambda: not self.active(server, "memory_soft")))

    def test_idle_clients_are_closed(self):
        """S46: cleanup_interval, from when nine tenths of the places are taken"""
        self.configure(websocket={"max_connections": 2}, cleanup_interval=3600)
        with self.server() as server:
            client = self.connect(server)
            self.connect(server)
            self.assertTrue(wait_until(lambda: self.active(server, "connections")))
            self.configure(websocket={"max_connections": 2}, cleanup_interval=0.1)
            self.assertEqual(set(self.applied(server)), {"cleanup_interval"})
            self.assertEqual(client.wait_for_close()[0], 4114)

    def test_alerts(self):
        """S46: alerts.connections, alerts.cpu_percent, alerts.memory_percent, alerts.disk_percent"""
        off = {"cpu_percent": 0, "memory_percent": 0, "disk_percent": 0, "connections": 0}
        self.configure(alerts=off)

        def rules(server):
            return {alert["rule"] for alert in json.loads(server.admin("/admin/alerts")[2])["active"]}

        with self.server() as server:
            self.connect(server)
            self.assertEqual(rules(server), set())
            self.configure(alerts={"cpu_percent": 1, "memory_percent": 1, "disk_percent": 1, "connections": 1})
            self.assertEqual(set(self.applied(server)), {f"alerts.{key}" for key in off})
            self.assertTrue(wait_until(lambda: rules(server) >= {"memory", "disk"}), rules(server))
            self.configure(alerts=off)
            self.reload(server)
            self.assertTrue(wait_until(lambda: rules(server) == set()), rules(server))

    def test_lines_of_connections(self):
        """S46: logging.connections"""
        self.configure()
        with self.server() as server:
            self.connect(server)
            self.assertIsNotNone(server.wait_for_line("connected"))
            self.configure(logging={"connections": "debug"})
            self.reload(server)
            before = len(server.log_lines())
            self.connect(server).subscribe(SYMBOLS[:1], ["quote"])
            self.configure(websocket={"max_connections": 9}, logging={"connections": "debug"})
            self.reload(server)
            self.assertIsNotNone(server.wait_for_line("max_connections", after=before))
            self.assertFalse([line for line in server.log_lines()[before:] if "connected" in line])


class Meanwhile(ReloadCase):
    def test_a_storm(self):
        """S46: SIGHUP, POST, kicks, lists, AUTHs and connects race; the last file holds in the end"""
        self.write_tokens(entry("desk"))
        self.secure()
        is_over = threading.Event()
        faults = []

        def repeat(step):
            try:
                while not is_over.is_set():
                    step()
            except Exception as fault:  # The test reports it.
                faults.append(repr(fault))

        with self.server("--cores", "2") as server:
            def visit():
                client = self.connect(server, "desk", path="/?symbols=AAPL.US,MSFT.US&types=quote")
                client.ask({"type": "AUTH", "data": {"token": token_of("desk")}}, ("AUTHENTICATED", "ERROR"))
                client.close()

            def write():
                for names in (("desk",), ("desk", "other")):
                    self.write_tokens(*map(entry, names))

            steps = [visit, visit, write, lambda: server.signal(signal.SIGHUP), lambda: self.reload(server),
                     lambda: server.admin("/admin/clients"), lambda: server.admin("/config"),
                     lambda: server.admin("/admin/kick", method="POST", data=b'{"name":"nobody"}')]
            threads = [threading.Thread(target=repeat, args=(step,)) for step in steps]
            for thread in threads:
                thread.start()
            wait_until(lambda: faults or sum("reloaded in" in line for line in server.log_lines()) >= 100, 30)
            is_over.set()
            for thread in threads:
                thread.join()
            self.assertEqual(faults, [])
            self.assertEqual([line for line in server.log_lines() if "refused, nothing" in line], [])
            self.write_tokens(entry("last"))
            self.reload(server)
            self.assertEqual((self.refused(server, bearer("last")), self.refused(server, bearer("desk"))), (101, 401))

    def test_the_end_comes_in_the_middle(self):
        """S46, S66: SIGTERM and drain while reloads are carried out: it ends well"""
        for ends_by_drain in (False, True):
            self.configure(websocket={"drain_timeout": 0.3})
            with self.server("--cores", "2") as server:
                self.connect(server)
                for number in range(20):
                    self.configure(websocket={"drain_timeout": 0.3, "max_lag_ms": number})
                    server.signal(signal.SIGHUP)
                if ends_by_drain:
                    self.assertEqual(server.admin("/admin/drain", method="POST")[0], 200)
                else:
                    server.signal(signal.SIGTERM)
                for _ in range(20):
                    if server.process.poll() is None:
                        server.signal(signal.SIGHUP)
                self.assertEqual(server.wait(), 0)


class NoMemory(ReloadCase):
    def test_an_allocation_of_a_reload_that_fails_changes_nothing(self):
        """S46: all or nothing, whichever allocation fails"""
        with open(program("ringcast"), "rb") as file:
            if b"__asan_init" in file.read():
                self.skipTest("SKIPPED: AddressSanitizer has allocators of its own")
        library = self.folder / "fail_nth.so"
        source = pathlib.Path(__file__).with_name("fail_nth.c")
        subprocess.run([*compiler(), "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC", "-o", library, source],
                       check=True)
        report, arm, number_of = self.folder / "report", self.folder / "arm", self.folder / "number"
        environment = {"LD_PRELOAD": str(library), "FAIL_KIND": "own", "FAIL_ARM": str(arm), "FAIL_REPORT": str(report)}
        names, limit = ("old", "new"), 70
        self.write_tokens(entry(names[0]))
        self.secure(max_connections_per_ip=limit)
        with self.server(env=environment) as server:
            number, refused = 0, 0
            while True:
                number += 1
                report.unlink(missing_ok=True)
                self.write_tokens(entry(names[1]))
                self.secure(max_connections_per_ip=limit + 1)
                number_of.write_text(str(number))
                number_of.rename(arm)
                before = len(server.log_lines())
                server.signal(signal.SIGHUP)
                line = server.wait_for_line("reloaded in|reload refused", after=before)
                self.assertIsNotNone(line, number)
                has_failed = report.exists()
                is_new = "reloaded in" in line
                shown = json.loads(server.admin("/config")[2])["security"]["max_connections_per_ip"]
                self.assertEqual(shown, limit + is_new, (number, line))
                self.assertEqual([self.refused(server, bearer(name)) for name in names],
                                 [401, 101] if is_new else [101, 401], (number, line))
                if is_new:
                    names, limit = names[::-1], limit + 1
                    if not has_failed:
                        break
                else:
                    self.assertTrue(has_failed, (number, line))
                    refused += 1
            self.assertGreater(refused, 10)


if __name__ == "__main__":
    unittest.main()
