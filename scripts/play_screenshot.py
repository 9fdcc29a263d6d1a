#!/usr/bin/env python3
"""play_screenshot: makes docs/play.png, the picture of /play that docs/play.md shows.

It starts a server as `./run` does, opens the page in headless Chromium, and waits until each part
shows something. Run it after a change of src/admin/pages/play.html that shows.
"""
import base64
import pathlib
import struct
import sys
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/integration"))

from browser import Browser  # noqa: E402
from server import Server, wait_until  # noqa: E402

KEYS = ("AAPL.US@quote", "MSFT.US@quote", "600519.SH@quote", "000001.SZ@quote", "AAPL.US@depth", "AAPL.US@trade",
        "600519.SH@trade", "AAPL.US@bar", "600519.SH@bar")
IS_COMPLETE = "sampleCount > 1200 && /right/.test($('checksum').textContent) && $('trades').rows.length > 20"


def pixel_rows(png):
    """(width, height, colours) of an RGB picture with 8 bits a channel; a colour has 3 bytes."""
    at, packed = 8, b""
    while at < len(png):
        size, name = struct.unpack(">I4s", png[at:at + 8])
        packed += png[at + 8:at + 8 + size] if name == b"IDAT" else b""
        at += 12 + size
    width, height = struct.unpack(">II", png[16:24])
    data, rows, above = zlib.decompress(packed), [], bytes(3 * width + 3)
    for start in range(0, len(data), 3 * width + 1):
        row = bytearray(3) + data[start + 1:start + 3 * width + 1]  # With a pixel to its left, of zeros.
        for i in range(3, len(row) if data[start] else 0):
            left, up, corner = row[i - 3], above[i], above[i - 3]
            near = left + up - corner
            paeth = min((abs(near - left), 0, left), (abs(near - up), 1, up), (abs(near - corner), 2, corner))[2]
            row[i] = (row[i] + (0, left, up, (left + up) // 2, paeth)[data[start]]) & 255
        rows.append([bytes(row[i:i + 3]) for i in range(3, len(row), 3)])
        above = row
    return width, height, rows


def with_palette(png):
    """The picture with at most 256 colours, which needs a third of the bytes."""
    width, height, rows = pixel_rows(png)
    for bits in range(8):
        coarse = {colour: bytes(min(255, (c >> bits << bits) | (c >> 7) * ((1 << bits) - 1)) for c in colour)
                  for colour in set().union(*rows)}
        palette = sorted(set(coarse.values()))
        if len(palette) <= 256:
            break
    index = {colour: palette.index(coarse[colour]) for colour in coarse}
    data = b"".join(b"\0" + bytes(index[colour] for colour in row) for row in rows)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        for body in (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0), b"PLTE" + b"".join(palette),
                     b"IDAT" + zlib.compress(data, 9), b"IEND"))


def set_size(browser, height):
    browser.call("Emulation.setDeviceMetricsOverride", width=1280, height=height, deviceScaleFactor=1, mobile=False)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])


def save(browser, name):
    picture = base64.b64decode(browser.call("Page.captureScreenshot", format="png")["data"])
    (ROOT / "docs" / name).write_bytes(with_palette(picture))


def main():
    browser = Browser()
    try:
        with Server(has_default_feed=True, port=8765) as server:
            set_size(browser, 1240)
            wait_until(lambda: '"rate":null' not in server.admin("/symbols")[2], 60)
            browser.open(f"http://127.0.0.1:{server.admin_port}/play?" + "&".join(f"s={key}" for key in KEYS))
            wait_until(lambda: browser.evaluate("document.readyState === 'complete' && "
                                                "location.pathname === '/play'"), 60)
            if not wait_until(lambda: browser.evaluate(IS_COMPLETE), 60):
                return "play_screenshot: the page did not show all parts within a minute"
            save(browser, "play.png")
    finally:
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
