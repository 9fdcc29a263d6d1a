"""The commands that the docs show: run as they stand, page by page, or known to be right in their words."""
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import unittest

from server import BIN_DIR, CHECKOUT, program, run

sys.path.insert(0, str(CHECKOUT / "scripts"))
import doc_commands  # noqa: E402
import tidy  # noqa: E402

RUNNER = CHECKOUT / "tests/integration/doc_page.py"
NAMESPACES = ("unshare", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
HAS_NAMESPACES = subprocess.run([*NAMESPACES, "mount", "-t", "tmpfs", "shm", "/dev/shm"],
                                stderr=subprocess.DEVNULL, check=False).returncode == 0
SIZE = "quick" if os.environ.get("RINGCAST_TEST_SIZE", "quick") == "quick" else "full"
SECONDS = {"quick": 300, "full": 900}
PAGES = {str(path.relative_to(CHECKOUT)): path.read_text(encoding="utf8") for path in tidy.doc_pages()}


def is_taken(port):
    with socket.socket() as any_socket:
        any_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            any_socket.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def run_page(page):
    program("ringcast")
    if not HAS_NAMESPACES and (is_taken(8765) or is_taken(8080) or list(pathlib.Path("/dev/shm").glob("ringcast-*"))):
        raise unittest.SkipTest("SKIPPED: unshare(1) may make no namespaces here, and another server is running")
    environment = dict(os.environ, RINGCAST_BIN_DIR=str(BIN_DIR.resolve()))
    prefix = ()
    if HAS_NAMESPACES:
        prefix, environment["RINGCAST_DOC_NAMESPACES"] = NAMESPACES, "1"
    return run([*prefix, sys.executable, "-B", str(RUNNER), page, SIZE], SECONDS[SIZE], env=environment)


class Page:
    """One page; a class each, so that pages are run side by side."""
    # Without namespaces the ports of the docs are to be free.
    runs_alone = "" if HAS_NAMESPACES else "it serves on the ports of the docs"

    def test_its_commands_do_what_it_says(self):
        done = run_page(self.page)
        self.assertEqual(done.returncode, 0, f"\n{done.stdout}\n{done.stderr}")


for name, text in PAGES.items():
    if any(block.run and (SIZE == "full" or not block.run["full"]) for block in doc_commands.blocks_of(name, text)):
        title = re.sub(r"\W", "_", name)
        globals()[title] = type(title, (Page, unittest.TestCase), {"page": name, "__qualname__": title})


class Planted(unittest.TestCase):
    """Pages with faults: the tests of the docs and tidy find them."""
    runs_alone = Page.runs_alone

    def faults_of_running(self, text):
        with tempfile.NamedTemporaryFile("w", prefix="ringcast-", suffix=".md") as page:
            page.write(text)
            page.flush()
            done = run_page(page.name)
        lines = re.findall(r"^(ok|FAULT) \S+:(\d+)", done.stdout, re.M)
        self.assertEqual(done.returncode, 1 if "FAULT" in dict(lines) else 0, done.stdout + done.stderr)
        return [int(line) for word, line in lines if word == "FAULT"], len(lines)

    def test_a_command_or_an_output_that_is_wrong_is_a_fault(self):
        self.assertEqual(self.faults_of_running("""\
<!-- run -->

    printf 'one 12\\ntwo %s\\n' -

    one 7
    ... 8

<!-- output -->

    two 9

<!-- output -->

    two 9
    one 7

<!-- run -->
A flag that is not known, `ringcast --prot 1`, ends it.

<!-- run beside: ringcast -->

    ringcast-tap ws://localhost:8765 --symbols 'NO*' --verify --duration 0.3

<!-- run beside: ringcast --feed sim:symbols=2 -->

    ringcast-tap ws://localhost:8765 --count 2
    ringcast-tap ws://localhost:8765

<!-- not run: it would be a fault -->

    ringcast --prot 1

<!-- run -->

    ringcast

<!-- run beside the same -->

    curl -s http://localhost:8080/health

<!-- run -->

    curl -s http://localhost:8080/health
"""), ([14, 18, 22, 43], 9))

    def test_tidy_names_commands_without_a_mark(self):
        for text, lines in (("A block:\n\n    ringcast --port 0\n", [3]),
                            ("<!-- run -->\n\n    ringcast --port 0\n\n    ./run\n", []),
                            ("<!-- run -->\n\n    ringcast --port 0\n\nThen\n\n    ./run\n", [7]),
                            ("<!-- rum -->\n\n    ringcast --port 0\n", [3]),
                            ("<!-- run quickly -->\n\n    ringcast --port 0\n", [3]),
                            ("```sh\nmake\n```\n\n```json\n{}\n```\n```\n$ curl x\n```\n", [1, 8]),
                            ("- item\n\n  ```sh\n  make\n  ```\n\n    {\"type\":\"LIST\"}\n", [3]),
                            ("`ringcast --port 0` in words\n", [])):
            faults = list(doc_commands.faults_of("page.md", text))
            self.assertEqual([int(fault.split(":")[1]) for fault in faults], lines, text)
        self.assertEqual(len(list(doc_commands.faults_of("x.1", ".Dl ringcast\n.\\\" run\n.Dl ringcast\n"))), 1)


def help_of(words):
    """What a program's help says of all of its options."""
    return run([program(words[0]), *words[1:], *([] if "help" in words else ["--help"])]).stdout


PROGRAMS = (("ringcast stat", ["ringcast", "stat"]), ("ringcast ctl", ["ringcast", "ctl"]),
            ("ringcast health", ["ringcast", "health"]), ("ringcast doctor", ["ringcast", "doctor"]),
            ("ringcast restore", ["ringcast", "restore"]),
            ("ringcast-tap", ["ringcast-tap"]), ("ringcast-bench", ["ringcast-bench"]),
            ("ringcast-echo", ["ringcast-echo"]), ("ringcast", ["ringcast", "help", "all"]))


def options_of(words):
    """Of ctl, those of all its commands; doctor has the server's, too."""
    text = help_of(words)
    if words[-1] == "doctor":
        text += help_of(["ringcast", "help", "all"])
    if words[-1] == "ctl":
        text += "".join(help_of([*words, command]) for command in re.findall(r"^  ([a-z]+)  ", text, re.M))
    return set(re.findall(r"(?<![\w-])-{1,2}[a-z][a-z-]*", text)) | {"--help"}


# Of `docker run`, which docs/containers.md explains.
OPTIONS_OF_DOCKER = {"--cpus", "--cpuset-cpus", "--format", "--init", "--ipc", "--memory", "--network", "--read-only",
                     "--restart", "--shm-size", "--stop-timeout", "--tmpfs", "--ulimit"}


class Words(unittest.TestCase):
    """Of all commands, also those that nobody runs: options and steps that exist."""

    @classmethod
    def setUpClass(cls):
        cls.commands = [(f"{name}:{block.line}", command) for name, text in PAGES.items()
                        for block in doc_commands.blocks_of(name, text)
                        if not block.info and not block.mark.startswith(("output", "file: "))
                        for command in block.commands_and_output()[0]]

    def test_options_of_our_programs_exist(self):
        count = 0
        for name, words in PROGRAMS:
            known = options_of(words)
            mine = re.compile(rf"(?:^| |bin/){name}(?! (?:stat|ctl|health|restore|doctor)\b)(?= )([^|&#]*)" if name == "ringcast" else
                              rf"(?:^| |bin/){name}(?= )([^|&#]*)")
            for where, command in self.commands:
                command = command.replace("./run ", "ringcast ")
                for arguments in mine.findall(command):
                    for option in re.findall(r"(?<=\s)\[?(-{1,2}[a-z][a-z-]*)", re.sub(r"'[^']*'", "''", arguments)):
                        self.assertIn(option, known, f"{where}: {command}")
                        count += 1
        self.assertGreater(count, 40)

    def test_options_between_backticks_are_some_program_s(self):
        helped = "".join(run([*words, "--help"], cwd=CHECKOUT).stdout for words in (
            (sys.executable, "-B", "examples/producer.py"), (sys.executable, "-B", "examples/qmt_bridge.py"),
            ("scripts/deploy-websocket.sh",), ("scripts/health-check.sh",), ("scripts/diagnose.sh",)))
        known = OPTIONS_OF_DOCKER.union(re.findall(r"--[a-z][a-z-]*", helped),
                                        *(options_of(words) for _, words in PROGRAMS))
        for name, text in PAGES.items():
            if name.startswith(("docs/", "README", "examples/")):
                codes = " ".join(re.findall(r"`([^`\n]+)`", text))
                self.assertEqual(set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", codes)) - known, set(), name)

    def test_steps_of_the_build_and_sizes_of_the_tests_exist(self):
        build = (CHECKOUT / "build.zig").read_text(encoding="utf8")
        steps = set(re.findall(r'\.name = "(\w+)", \.about = ', build)) | {"install"}  # Every build has this one.
        sizes = set(re.findall(r"1:(\w+)", (CHECKOUT / "test").read_text(encoding="utf8")))
        self.assertGreater(len(steps), 6)
        for where, command in self.commands:
            for step in re.findall(r"\bzig build ([a-z]+)\b", command):
                self.assertIn(step, steps, where)
            for size in re.findall(r"^\./test (\w+)", command):
                self.assertIn(size, sizes, where)

    def test_programs_exist(self):
        for where, command in self.commands:
            for path in re.findall(r"(?:^|[ /])((?:bench|scripts|examples)/[\w./-]+\.(?:py|sh|js))\b", command):
                self.assertTrue((CHECKOUT / path).exists(), f"{where}: {path}")


if __name__ == "__main__":
    unittest.main()
