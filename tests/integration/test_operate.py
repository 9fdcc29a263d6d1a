"""What docs/operate.md offers: lines of scripts, a handshake by hand, the unit of systemd."""
import os
import pathlib
import re
import shlex
import shutil
import tempfile
import unittest

from server import CHECKOUT, Server, program, run

PAGE = (CHECKOUT / "docs/operate.md").read_text(encoding="utf8")
UNIT = CHECKOUT / "docs/ringcast.service"
LINES = {
    "S59": "curl -s localhost:8080/config | jq .heartbeat",
    "S60": "curl -s localhost:8080/stats | jq .connections.active_connections",
    "S58": "curl -X POST localhost:8080/admin/reload-config",
    "S62": "curl -X POST localhost:8080/admin/gc",
    "S65": "kill -USR1 $(cat ringcast.pid)",
    "S66": "kill -HUP $(cat ringcast.pid)",
    "S70": "grep 'Client.*connected' logs/websocket-server.log",
    "S74": "pgrep -f 'ringcast --config server.yaml'",
}
PROBE = """curl -s -i -N -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
-H 'Sec-WebSocket-Key: test' http://localhost:{port}{path}"""


class Lines(unittest.TestCase):
    def test_the_page_has_the_lines_of_scripts(self):
        """S58, S59, S60, S62, S65, S66, S70, S74: test_docs runs them as they stand, on the real ports."""
        for promise, line in LINES.items():
            self.assertIn(f"\n    {line}\n", PAGE, promise)

    def test_a_handshake_with_a_short_key_receives_the_reason(self):
        """S68: curl -i -N with Sec-WebSocket-Key: test receives 400 and one line."""
        with Server() as server:
            for path in ("/", "/ws"):
                done = run(["bash", "-c", PROBE.format(port=server.port, path=path)])
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertRegex(done.stdout, r"\AHTTP/1.1 400 Bad Request\s")
                self.assertEqual(re.split(r"\r?\n\r?\n", done.stdout, maxsplit=1)[1].splitlines(),
                                 ["send one Sec-WebSocket-Key: 16 random bytes in base64"])


class Unit(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.lines = UNIT.read_text(encoding="utf8").splitlines()

    def values(self, key):
        return [line.split("=", 1)[1] for line in self.lines if line.startswith(f"{key}=")]

    def test_its_command_and_variables_are_good(self):
        """S75: what the unit starts, checked with a file in place of that in /etc."""
        (command,) = self.values("ExecStart")
        words = shlex.split(command)
        self.assertEqual(pathlib.Path(words[0]).name, "ringcast")
        config = words.index("/etc/ringcast/ringcast.yaml")
        words[0], words[config] = program("ringcast"), str(CHECKOUT / "docs/ringcast.yaml")
        variables = dict(value.split("=", 1) for value in self.values("Environment"))
        variables["RINGCAST_DUMP_DIR"] = str(self.folder)
        done = run([*words, "--check-config"], env={**os.environ, **variables}, cwd=self.folder)
        self.assertEqual((done.returncode, done.stdout), (0, "configuration is good\n"), done.stderr)
        self.assertIn("-HUP $MAINPID", self.values("ExecReload")[0])

    @unittest.skipUnless(shutil.which("systemctl"), "SKIPPED: systemd is not installed")
    def test_systemctl_knows_it_by_both_names(self):
        """S75: systemctl status websocket-server"""
        units = self.folder / "etc/systemd/system"
        units.mkdir(parents=True)
        shutil.copy(UNIT, units)
        done = run(["systemctl", f"--root={self.folder}", "enable", "ringcast.service"])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(pathlib.Path(os.readlink(units / "websocket-server.service")).name, "ringcast.service")

    @unittest.skipUnless(shutil.which("systemd-analyze"), "SKIPPED: systemd is not installed")
    def test_systemd_finds_no_fault_in_it(self):
        """S75"""
        unit = self.folder / UNIT.name
        unit.write_text("\n".join(self.lines).replace("/usr/local/bin/ringcast", program("ringcast")) + "\n")
        done = run(["systemd-analyze", "verify", "--man=no", str(unit)])
        faults = [line for line in done.stderr.splitlines() if UNIT.name in line]
        self.assertEqual(faults, [], done.stderr)


if __name__ == "__main__":
    unittest.main()
