#!/usr/bin/env python3
"""ui_screenshot: makes docs/ui.png, the picture of /admin/ui that docs/ui.md shows.

It starts a server with two feeds, connects clients, one of which does not read, opens the page in
headless Chromium, and waits until its lines are a few samples long. Run it after a change of
src/admin/pages/ui.html that shows.
"""
import pathlib
import sys

from play_screenshot import save, set_size

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/integration"))

from browser import Browser  # noqa: E402
from clients import RawClient  # noqa: E402
from server import Server, wait_until  # noqa: E402

OPTIONS = ("--feed", "sim:symbols=200,rate=2000,types=quote+trade", "--feed", "ingest:tcp=127.0.0.1:0")
CLIENTS = 20
SAMPLES = 15
SECONDS = 120


def main():
    browser = Browser()
    try:
        with Server(*OPTIONS) as server:
            clients = [RawClient(server.port) for _ in range(CLIENTS)]
            for client in clients:
                client.subscribe(["*"], ["quote", "trade"])
            set_size(browser, 1490)
            browser.open(f"http://127.0.0.1:{server.admin_port}/admin/ui")

            def is_complete():
                for client in clients[1:]:
                    client.socket.recv(1 << 20)
                return browser.evaluate("document.readyState === 'complete' && "
                                        f"location.pathname === '/admin/ui' && rates.length >= {SAMPLES}")
            if not wait_until(is_complete, SECONDS):
                return f"ui_screenshot: the page did not show all parts within {SECONDS} s"
            save(browser, "ui.png")
            for client in clients:
                client.close()
    finally:
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
