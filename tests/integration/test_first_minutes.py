"""What a new user types first: a server without options, and each way that the pages show to get a tick."""
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

from server import CHECKOUT, ServerTestCase, clean_environment, program, reap, spawn_until
from test_examples import Running

SECONDS = 60
TICK = r'^(\{"type":"quote",|quote \{"seq":|\d\d:\d\d:\d\d\.\d+ )'
COMPLAINT = re.compile(r"ERROR|refused|\bnot \S+ (quote|trade|bar|depth)|Traceback|\"failed\":\[\{")


def read(name):
    return (CHECKOUT / name).read_text(encoding="utf8")


class FirstMinutes(ServerTestCase):
    options = ()
    server_settings = {"has_default_feed": True}

    def here(self, text):
        """A command or program for the server of this test."""
        for port, ours in ((8765, self.server.port), (8080, self.server.admin_port)):
            text = text.replace(f"localhost:{port}", f"127.0.0.1:{ours}")
        return text.replace("zig-out/bin/ringcast-tap", program("ringcast-tap"))

    def sees_a_tick(self, arguments):
        began = time.monotonic()
        running = Running(arguments)
        try:
            running.wait_for(TICK, seconds=SECONDS)
        finally:
            running.close()
        self.assertLess(time.monotonic() - began, SECONDS)
        self.assertEqual([line for line in running.lines if COMPLAINT.search(line)], [], arguments)

    def test_the_program_of_the_readme_prints_a_tick(self):
        program_text = re.search(r"```python\n(.*?)```", read("README.md"), re.S)[1]
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            path = pathlib.Path(folder) / "client.py"
            path.write_text(self.here(program_text), encoding="utf8")
            self.sees_a_tick([sys.executable, str(path)])

    def test_the_command_of_the_readme_prints_a_tick(self):
        command = re.search(r"^ {4}(zig-out/bin/ringcast-tap .*)$", read("README.md"), re.M)[1]
        self.sees_a_tick(shlex.split(self.here(command)))

    def test_each_command_of_the_examples_prints_a_tick_and_no_complaint(self):
        commands = re.findall(r"\| `((?:node )?examples/\w+\.(?:py|js) [^`]*)` \|", read("examples/README.md"))
        self.assertGreater(len(commands), 3)
        for command in commands:
            words = shlex.split(self.here(command).replace("examples/", f"{CHECKOUT}/examples/"))
            if words[0] == "node" and shutil.which("node") is None:
                continue
            with self.subTest(command):
                self.sees_a_tick([sys.executable, *words] if words[0].endswith(".py") else words)

    def test_the_pages_that_the_greeting_names_answer(self):
        with tempfile.TemporaryFile("w+") as greeting:
            def lines(_process):
                greeting.seek(0)
                text = greeting.read()
                return text if "Ctrl-C" in text else None
            process, text = spawn_until(
                lines, [program("ringcast"), "--host", "127.0.0.1", "--port", "0", "--admin-port", "0"],
                stdout=greeting, stderr=subprocess.DEVNULL, env=clean_environment({"NEWCOMER_TO_RINGCAST": "1"}))
            self.addCleanup(reap, process)
        urls = re.findall(r"http://\S+", text or "")
        self.assertEqual([re.sub(r":\d+/", ":N/", url) for url in urls],
                         [f"http://127.0.0.1:N/{path}" for path in ("play", "admin/ui", "")])
        for url in urls:
            with urllib.request.urlopen(url, timeout=SECONDS) as answer:
                self.assertEqual(answer.status, 200)

    def test_every_type_that_a_page_names_is_served(self):
        for kind in ("quote", "trade", "bar", "depth"):
            with self.subTest(kind):
                self.sees_a_tick([program("ringcast-tap"), self.server.url(), "--symbols", "000001.SZ,AAPL.US",
                                  "--types", kind])


if __name__ == "__main__":
    unittest.main()
