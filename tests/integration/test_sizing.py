"""docs/sizing.md: its examples are computed again, and the sizes of frames and recordings are measured (S107)."""
import pathlib
import re
import tempfile
import unittest

from clients import RawClient
from server import CHECKOUT, Server, in_full, wait_until

PAGE = (CHECKOUT / "docs/sizing.md").read_text(encoding="utf8")
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GB": 1e9, "bit": 1, "Mbit": 1e6,
         "cores": 1, "per second": 1}
UNIT = "|".join(sorted(UNITS, key=len, reverse=True))
TYPES = ("quote", "trade", "bar", "depth")
FRAMES = 200
WITHIN = 0.1


def value_of(expression):
    """Of "2 x 168 MiB"; spaces, brackets, + x / and units."""
    terms = re.sub(rf"([\d.]+) ({UNIT})\b", lambda found: f"({found[1]}*{UNITS[found[2]]})", expression).replace("x", "*")
    if not re.fullmatch(r"[\d.e\-+*/() ]+", terms):
        raise ValueError(expression)
    return eval(terms)  # pylint: disable=eval-used


def rows_of(section):
    """The rows of the first table below a heading, without its head."""
    lines = PAGE[PAGE.index(f"\n## {section}\n"):].split("\n| --- ", 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


class Examples(unittest.TestCase):
    def test_each_result_is_that_of_its_computation(self):
        """S107"""
        sections = re.findall(r"^## (Example: .*)$", PAGE, re.M)
        self.assertEqual(len(sections), 3)
        for section in sections:
            rows = rows_of(section)
            self.assertGreater(len(rows), 5)
            for part, computation, result in rows:
                with self.subTest(section, part=part):
                    self.assertAlmostEqual(value_of(computation) / value_of(result), 1, delta=WITHIN / 2)


class Measured(unittest.TestCase):
    def frame_bytes(self, server, kind, protocol):
        """The mean of frames of this type, with their headers."""
        sizes = []
        with RawClient(server.port, extra=f"Sec-WebSocket-Protocol: {protocol}\r\n", timeout=60) as client:
            client.subscribe(["*"], [kind], snapshot=False)
            while len(sizes) < FRAMES:
                _, payload = client.next_frame(30)
                if not payload.startswith(b"{") or payload.startswith(b'{"type":"%s"' % kind.encode()):
                    sizes.append(len(payload) + (4 if len(payload) > 125 else 2))
        return sum(sizes) / len(sizes)

    def test_frames_have_the_sizes_of_the_page(self):
        """S107: within 10 %"""
        told = {row[0]: [float(size) for size in row[1:]] for row in rows_of("Network")}
        self.assertEqual(tuple(told), TYPES)
        with Server("--feed", f"sim:symbols=100,rate=8000,types={'+'.join(TYPES)}") as server:
            for kind in TYPES:
                for size, protocol in zip(told[kind], ("md.json.v1", "md.sbe.v1"), strict=True):
                    with self.subTest(kind, protocol=protocol):
                        self.assertAlmostEqual(self.frame_bytes(server, kind, protocol) / size, 1, delta=WITHIN)

    @in_full
    def test_a_tick_of_a_recording_has_the_size_of_the_page(self):
        """S107: within 10 %; the ticks of its file are counted by playing it."""
        (told,) = re.findall(r"^\| recording of the simulated market \| (\d+) for each tick \|$", PAGE, re.M)
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            with Server("--record", folder, "--feed", f"sim:symbols=100,rate=20000,types={'+'.join(TYPES)}") as server:
                self.assertTrue(wait_until(lambda: server.stats()["process"]["record_ticks"] > 50000, 60))
            size = sum(path.stat().st_size for path in pathlib.Path(folder).glob("*.sbe.zst"))
            with Server("--feed", f"replay:path={folder},speed=0") as server:
                self.assertTrue(wait_until(lambda: server.stats()["publisher"]["feeds"][0]["state"] == "down", 60))
                ticks = server.stats()["publisher"]["feeds"][0]["ticks"]
        self.assertAlmostEqual(size / ticks / float(told), 1, delta=WITHIN)



if __name__ == "__main__":
    unittest.main()
