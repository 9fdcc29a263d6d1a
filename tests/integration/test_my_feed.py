"""docs/feeds/write-your-own.md: its example becomes a feed of a server by the steps of the page."""
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

from server import CHECKOUT, IS_FULL, Server, run, wait_until
from test_examples import Running

PAGE = (CHECKOUT / "docs/feeds/write-your-own.md").read_text(encoding="utf8")
SECONDS = 30
COMPILE_SECONDS = 600


def copy_of_checkout(folder):
    """The sources as they are, and the toolchain."""
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=CHECKOUT, text=True,
                           capture_output=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (CHECKOUT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, folder / name)
    (folder / ".toolchain").symlink_to(CHECKOUT / ".toolchain")


def insert(path, before, text):
    """text in front of the only line that begins with this."""
    source = path.read_text(encoding="utf8")
    found = re.findall(rf"^{re.escape(before)}.*$", source, re.M)
    assert len(found) == 1, (path, before, found)
    path.write_text(source.replace(found[0], f"{text}\n{found[0]}"), encoding="utf8")


def follow_the_page(folder):
    """Steps 1 to 3."""
    command = re.search(r"^    (cp -r .*)$", PAGE, re.M)[1]
    subprocess.run(command.split(), cwd=folder, check=True)
    declaration, row = re.findall(r"```c\n(.*?)\n```", PAGE)
    insert(folder / "feeds/feed.c", "extern const struct feed_ops feed_sim;", declaration)
    insert(folder / "feeds/feed.c", "    &feed_sim,", row)
    room, name = re.findall(r"```zig\n(.*?)\n```", PAGE)
    insert(folder / "build.zig", '    .{ .name = "feeds/sim"', room)
    build = folder / "build.zig"
    source = build.read_text(encoding="utf8")
    library = '.name = "feeds", .rooms = &.{ '
    assert source.count(library) == 1
    build.write_text(source.replace(library, f"{library}{name} "), encoding="utf8")


def check_quickly(folder):
    """The compiler's verdict on what the steps add."""
    sources = sorted((folder / "feeds").glob("udp/*.c")) + [folder / "feeds/feed.c"]
    assert len(sources) == 2, sources
    return run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-fsyntax-only",
                f"-I{folder}", *sources])


def compile_as_shown(folder):
    zig = next((CHECKOUT / ".toolchain").glob("zig-*/zig"))
    return run([zig, "build"], COMPILE_SECONDS, cwd=folder)


class Example(unittest.TestCase):
    def test_the_example_is_a_feed_of_the_server(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-") as name:
            folder = pathlib.Path(name)
            copy_of_checkout(folder)
            follow_the_page(folder)
            done = (compile_as_shown if IS_FULL else check_quickly)(folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            if IS_FULL:
                program = folder / "zig-out/bin/ringcast"
                self.assertIn("9200", run([program, "help", "feeds"]).stdout)
                self.receive(program)

    def receive(self, program):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            any_socket.bind(("127.0.0.1", 0))
            port = any_socket.getsockname()[1]
        server = Server("--feed", f"udp:port={port}", binary=str(program)).start()
        self.addCleanup(server.kill)
        taken = run([program, "--feed", f"udp:port={port}", "--port", "0", "--admin-port", "0"])
        self.assertNotEqual(taken.returncode, 0)
        self.assertIn(f"udp: port {port}: Address already in use: choose another one with port=", taken.stderr)
        tap = Running([CHECKOUT / "zig-out/bin/ringcast-tap", server.url(), "--symbols", "*", "--types", "trade"])
        self.addCleanup(tap.close)
        tap.wait_for("^-- SUBSCRIBED")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for text in (b"MINE 10.32 300", b"MINE 10.3x 300", b"MINE 10.32 -1", b"", b"MINE 10.330 7\n"):
                sender.sendto(text, ("127.0.0.1", port))
        tap.wait_for(r" MINE trade #1 price=10\.32 size=300$")
        tap.wait_for(r" MINE trade #2 price=10\.330 size=7$")
        self.assertTrue(wait_until(lambda: "a datagram was ignored" in server.log(), SECONDS))
        malformed = re.findall(r"^ringcast_feed_malformed_total.*", server.admin("/metrics")[2], re.M)
        self.assertEqual(malformed, ['ringcast_feed_malformed_total{feed="udp"} 3'])
        server.stop()


if __name__ == "__main__":
    unittest.main()
