"""A page in headless Chromium, seen through its DevTools protocol."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest
import urllib.request

from clients import CLOSE, RawClient
from server import Server, reap, spawn, wait_until

START_SECONDS = 60
PAGE_SECONDS = 60
WATCH = """
addEventListener('securitypolicyviolation',
  (event) => (window.faults ??= []).push(`policy: ${event.violatedDirective}`));
addEventListener('error', (event) => (window.faults ??= []).push(event.message));
addEventListener('unhandledrejection', (event) => (window.faults ??= []).push(`${event.reason}`));
"""


class Browser:
    """One Chromium with one tab; options: more of its own. Skips the test where there is none."""

    def __init__(self, *options):
        chromium = shutil.which("chromium")
        if chromium is None:
            raise unittest.SkipTest("SKIPPED: chromium is not installed")
        self.folder = tempfile.TemporaryDirectory(prefix="ringcast-", ignore_cleanup_errors=True)
        self.process = spawn([chromium, "--headless", "--no-sandbox", "--disable-gpu",
                              "--disable-dev-shm-usage", "--no-first-run",
                              "--disable-background-networking", "--remote-debugging-port=0",
                              f"--user-data-dir={self.folder.name}", *options, "about:blank"],
                             env=dict(os.environ, HOME=self.folder.name),
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.number = 0
        try:
            self.socket = self._open()
        except BaseException:
            self.close()
            raise

    def _open(self):
        told = pathlib.Path(self.folder.name, "DevToolsActivePort")
        assert wait_until(lambda: told.exists() and told.read_text().count("\n") > 0,
                          START_SECONDS), "chromium did not start"
        port = int(told.read_text().split("\n")[0])

        def tabs():
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
                return [tab for tab in json.load(answer) if tab["type"] == "page"]
        page = wait_until(tabs, START_SECONDS)[0]["webSocketDebuggerUrl"]
        return RawClient(port, path=page.partition(f":{port}")[2], timeout=START_SECONDS)

    def close(self):
        if hasattr(self, "socket"):
            self.socket.close()
        reap(self.process)
        wait_until(self._remove_folder)

    def _remove_folder(self):
        """False: a process of its own is not dead yet, and writes into it."""
        self.folder.cleanup()
        return not os.path.exists(self.folder.name)

    def call(self, method, **parameters):
        self.number += 1
        self.socket.send_text(json.dumps({"id": self.number, "method": method,
                                          "params": parameters}))
        while True:
            opcode, payload = self.socket.next_frame()
            assert opcode != CLOSE, payload
            answer = json.loads(payload)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, url):
        self.call("Page.navigate", url=url)

    def evaluate(self, expression):
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")


class PageTestCase(unittest.TestCase):
    """One Chromium for the tests of a page of the admin server. A fault of the page fails the test."""

    @classmethod
    def setUpClass(cls):
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)
        cls.browser.call("Page.enable")
        cls.browser.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)

    def server(self, *options, **settings):
        server = Server(*options, **settings).start()
        self.addCleanup(server.kill)
        return server

    def open_page(self, server, path, host="127.0.0.1"):
        site = f"http://{host}:{server.admin_port}"
        self.browser.open(site + path)
        self.wait_for(f"document.readyState === 'complete' && location.origin === '{site}' && "
                      f"location.pathname === '{path.partition('?')[0]}'")
        self.addCleanup(lambda: self.assertEqual(self.js("window.faults ?? []"), []))

    def js(self, expression):
        return self.browser.evaluate(expression)

    def text(self, name):
        return self.js(f"document.getElementById('{name}')?.textContent ?? ''")

    def rows(self, name):
        return self.js(f"[...document.querySelectorAll('#{name} tr')].map("
                       "row => [...row.cells].map(cell => cell.textContent))")

    def wait_for(self, condition):
        """condition: of Python, or an expression of the page."""
        holds = condition if callable(condition) else lambda: self.js(condition)
        if not wait_until(holds, PAGE_SECONDS, step=0.1):
            self.fail((condition, self.js("document.body.innerText")[:5000]))

    def wait_for_text(self, name, pattern):
        self.wait_for(lambda: re.search(pattern, self.text(name)))

    def click(self, selector):
        self.wait_for(f"document.querySelector(`{selector}`) !== null")
        self.js(f"document.querySelector(`{selector}`).click()")

    def set_width(self, width):
        self.addCleanup(self.browser.call, "Emulation.clearDeviceMetricsOverride")
        self.browser.call("Emulation.setDeviceMetricsOverride", width=width, height=800,
                          deviceScaleFactor=1, mobile=False)
        self.wait_for(f"innerWidth === {width}")

    def assert_follows_colour_schemes(self):
        self.addCleanup(self.browser.call, "Emulation.setEmulatedMedia", features=[])
        for scheme, colour in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(13, 17, 23)")):
            self.browser.call("Emulation.setEmulatedMedia", features=[
                {"name": "prefers-color-scheme", "value": scheme}])
            self.wait_for(f"getComputedStyle(document.body).backgroundColor === '{colour}'")
