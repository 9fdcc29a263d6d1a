"""What docs/operate.md offers: lines of scripts, and a handshake by hand."""
import pathlib
import re
import unittest

from server import CHECKOUT, Server, program, run

PAGE = (CHECKOUT / "docs/operate.md").read_text(encoding="utf8")
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


if __name__ == "__main__":
    unittest.main()
