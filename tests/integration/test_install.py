"""What an installation below a prefix has: files, completions, settings, and the list of components."""
import contextlib
import json
import os
import pathlib
import pty
import re
import shutil
import subprocess
import tempfile
import unittest

from server import CHECKOUT, in_full, program, run

ZIG = CHECKOUT / ".toolchain/zig-0.16.0/zig"
PAGE = (CHECKOUT / "docs/install.md").read_text(encoding="utf8")
COMPLETIONS = CHECKOUT / "packaging/completions"
PROGRAMS = ("ringcast", "ringcast-tap", "ringcast-echo", "ringcast-bench")
BUILD_SECONDS = 900
SHELL_SECONDS = 60
# How a word is asked for, and what a shell then offers.
VALUES = (
    (("ringcast", "--log-level", ""), {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}),
    (("ringcast", "--tls-min-version", ""), {"1.2", "1.3"}),
    (("ringcast", "--port", "8765", "--publisher", ""), {"auto", "inline", "thread"}),
    (("ringcast-tap", "--snapshot", ""), {"yes", "no"}),
    (("ringcast-tap", "--bar", "1"), {"1s", "1m"}),
    (("ringcast", "ctl", "kick", "--na"), {"--name"}),
)
BASH = r"""
. "$1"
compopt() { :; } # It works within a completion only.
while read -r -a COMP_WORDS; do
    [[ ${COMP_WORDS[-1]} != '""' ]] || COMP_WORDS[-1]=
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
    _ringcast
    echo "${COMPREPLY[*]}"
done
"""
ZSH = r"""
fpath=(%s $fpath)
autoload -U compinit; compinit -u -D
compadd () {
    local -a hits
    [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\ * ]] || { builtin compadd "$@"; return }
    builtin compadd -A hits "$@"
    print -rl -- "" "HIT "$^hits
    builtin compadd "$@"
}
is_complete () { print -r -- ""; print -r -- "E""ND" }
comppostfuncs=(is_complete)
zstyle ':completion:*' insert-tab false
print -r -- "REA""DY"
"""


def options_of(*command):
    """All options of a program, from the help that test_manuals holds against its pages."""
    if command == ("ringcast",):
        return set(re.findall(r"^  (--[a-z-]+)", run([program("ringcast"), "help", "all"]).stdout, re.M))
    done = run([program(command[0]), *command[1:], "--help"])
    return set(re.findall(r"^  (?:-\w, |    )?(--[a-z-]+)", done.stdout, re.M))


def commands_of(*command):
    text = run([program(command[0]), *command[1:], "--help"]).stdout
    return set(re.findall(r"^  ([a-z]+) ", text.split("Commands:\n")[1].split("\n\n")[0], re.M))


def path_with_programs():
    return f"{pathlib.Path(program('ringcast')).resolve().parent}:{os.environ['PATH']}"


def offered_by_bash(*lines):
    text = "".join(" ".join(word or '""' for word in words) + "\n" for words in lines)
    done = subprocess.run(["bash", "-c", BASH, "bash", COMPLETIONS / "ringcast.bash"], input=text, text=True,
                          capture_output=True, check=True, timeout=SHELL_SECONDS,
                          env={**os.environ, "PATH": path_with_programs()})
    return [set(line.split()) for line in done.stdout.splitlines()]


def read_until(terminal, mark):
    text = b""
    while mark not in text:
        text += os.read(terminal, 65536)
    return text.decode(errors="replace")


def offered_by_zsh(*lines):
    """A zsh of its own for each line, on a terminal: zsh completes on no other thing."""
    return [offered_on_terminal(" ".join(words)) for words in lines]


def offered_on_terminal(line):
    with tempfile.TemporaryDirectory(prefix="ringcast-") as home:
        pathlib.Path(home, "setup").write_text(ZSH % COMPLETIONS, encoding="utf8")
        child, terminal = pty.fork()
        if child == 0:
            os.environ.update(TERM="dumb", PATH=path_with_programs(), HOME=home)
            os.execvp("timeout", ["timeout", "--foreground", str(SHELL_SECONDS), "zsh", "-f", "-i"])
        try:
            os.write(terminal, f". {home}/setup\n".encode())
            read_until(terminal, b"READY\r\n")
            os.write(terminal, f"{line}\t".encode())
            return set(re.findall(r"^HIT (.*)\r$", read_until(terminal, b"END\r\n"), re.M))
        finally:
            os.close(terminal)
            os.waitpid(child, 0)


class Completions(unittest.TestCase):
    def check_shell(self, offered_by):
        asked = [(name, "--") for name in PROGRAMS] + [("ringcast", ""), ("ringcast", "ctl", ""), ("ringcast", "stat", "--"),
                                                        ("ringcast", "doctor", "--")]
        wanted = [options_of(name) for name in PROGRAMS]
        wanted += [commands_of("ringcast"), commands_of("ringcast", "ctl"), options_of("ringcast", "stat"),
                   options_of("ringcast", "doctor")]
        self.assertGreater(len(wanted[0]), 80)
        for words, expected, found in zip(asked, wanted, offered_by(*asked), strict=True):
            self.assertEqual(found, expected, words)
        for (words, expected), found in zip(VALUES, offered_by(*(words for words, _ in VALUES)), strict=True):
            self.assertEqual(found, expected, words)

    def test_bash_offers_exactly_what_the_programs_have(self):
        self.check_shell(offered_by_bash)

    def test_bash_offers_files_for_options_that_need_one(self):
        (found,) = offered_by_bash(("ringcast", "--config", str(CHECKOUT / "docs/ringcast.y")))
        self.assertEqual(found, {str(CHECKOUT / "docs/ringcast.yaml")})

    @in_full
    def test_zsh_offers_exactly_what_the_programs_have(self):
        if shutil.which("zsh") is None:
            self.skipTest("SKIPPED: zsh is not installed")
        self.check_shell(offered_by_zsh)


class Settings(unittest.TestCase):
    def test_the_kernel_settings_are_those_of_the_page(self):
        """S106: nofile, somaxconn, tcp_max_syn_backlog, netdev_max_backlog."""
        text = (CHECKOUT / "packaging/60-ringcast.conf").read_text(encoding="utf8")
        found = dict(re.findall(r"^(net\S+) = (\d+)$", text, re.M))
        self.assertEqual(found, {"net.core.somaxconn": "65535", "net.ipv4.tcp_max_syn_backlog": "65535",
                                 "net.core.netdev_max_backlog": "5000"})
        self.assertEqual(found, dict(re.findall(r"^\| `(net\.\S+)` \| (\d+) \|", PAGE, re.M)))
        for name in found:
            if name.startswith("net.ipv4"):  # The others are not in every network namespace.
                self.assertTrue(pathlib.Path("/proc/sys", name.replace(".", "/")).exists(), name)
        limits = (CHECKOUT / "packaging/ringcast.limits").read_text(encoding="utf8")
        self.assertIn("\n@ringcast - nofile 65536\n", limits)
        for name, words in (("packaging/systemd/ringcast.service", "LimitNOFILE=65536"),
                            ("docker-compose.websocket.yml", "nofile: 65536"),
                            ("scripts/deploy-websocket.sh", "nofile=65536:65536"),
                            ("docs/containers.md", "nofile=65536:65536")):
            self.assertIn(words, (CHECKOUT / name).read_text(encoding="utf8"), name)


@in_full
class Prefix(unittest.TestCase):
    """S130: zig build install --prefix. The programs are those that are built already."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def install(self, prefix, **variables):
        done = run([ZIG, "build", "install", "--prefix", prefix], BUILD_SECONDS, cwd=CHECKOUT,
                   env={**os.environ, **variables})
        self.assertEqual(done.returncode, 0, done.stderr)

    def files(self):
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}

    def test_it_has_what_the_page_says_and_goes_without_a_trace(self):
        self.install(self.folder)
        installed = self.files()
        self.assertEqual(installed, set((self.folder / "share/ringcast/files").read_text("utf8").split()))
        for name in PROGRAMS:
            self.assertEqual(run([self.folder / "bin" / name, "--version"]).returncode, 0)
            self.assertIn(f"share/man/man1/{name}.1", installed)
            self.assertIn(f"share/bash-completion/completions/{name}", installed)
        self.assertLessEqual({
            "include/ringcast_publish.h", "lib/libringcast_publish.a", "lib/sysctl.d/60-ringcast.conf", "lib/systemd/system/ringcast.socket",
            "share/zsh/site-functions/_ringcast", "share/man/man3/ringcast_publish.3", "share/ringcast/ringcast.limits",
            "share/ringcast/ringcast.logrotate", "share/ringcast/seccomp.json", "share/ringcast/trace/blocked.bt",
            "share/ringcast/prometheus/alert_rules.yml", "share/ringcast/grafana/dashboards/ringcast.json",
            "share/doc/ringcast/LICENSE", "share/doc/ringcast/docs/install.md",
            "share/doc/ringcast/docs/ringcast.yaml", "share/doc/ringcast/examples/publish.c"}, installed)
        unit = (self.folder / "lib/systemd/system/ringcast.service").read_text(encoding="utf8")
        self.assertIn(f"ExecStart={self.folder}/bin/ringcast ", unit)
        foreign = self.folder / "share/man/man1/of-another-program.1"
        foreign.touch()
        block = re.search(r"^    (cd /usr/local .*)\n    (find .*)\n", PAGE, re.M)
        commands = "\n".join(block.groups()).replace("/usr/local", str(self.folder))
        self.assertEqual(run(["bash", "-e", "-c", commands]).returncode, 0)
        self.assertEqual(self.files(), {str(foreign.relative_to(self.folder))})
        self.assertFalse((self.folder / "share/doc/ringcast").exists())

    def test_a_staged_one_names_the_prefix(self):
        self.install("/usr", DESTDIR=str(self.folder))
        self.assertTrue((self.folder / "usr/bin/ringcast").exists())
        unit = (self.folder / "usr/lib/systemd/system/ringcast.service").read_text(encoding="utf8")
        self.assertIn("ExecStart=/usr/bin/ringcast ", unit)
        self.assertNotIn(str(self.folder), unit)

    def test_a_relative_prefix_is_refused(self):
        done = run([ZIG, "build", "install", "--prefix", "here"], BUILD_SECONDS, cwd=CHECKOUT)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("--prefix here: give an absolute path", done.stderr)

    def test_the_programs_have_no_path_of_the_checkout_and_load_anywhere(self):
        for name in PROGRAMS:
            data = pathlib.Path(program(name)).read_bytes()
            self.assertNotIn(str(CHECKOUT).encode() + b"/src", data, name)
            dynamic = run(["readelf", "-d", "-h", program(name)]).stdout
            self.assertIn("Position-Independent", dynamic)
            self.assertNotRegex(dynamic, "RUNPATH|RPATH")


@in_full
class Components(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.NamedTemporaryFile(prefix="ringcast-", suffix=".json") as file:
            cls.done = run(["python3", CHECKOUT / "packaging/sbom.py", file.name, *map(program, PROGRAMS)])
            cls.bom = json.load(file) if cls.done.returncode == 0 else None

    def test_it_is_valid(self):
        self.assertEqual(self.done.returncode, 0, self.done.stderr)
        schemas = [CHECKOUT / ".toolchain" / name for name in ("cyclonedx-1.5.json", "spdx.json")]
        if not all(schema.exists() for schema in schemas):
            self.skipTest("SKIPPED: the schemas are not there; scripts/setup.sh test fetches them")
        import jsonschema  # of test_packages
        schema, spdx = (json.loads(path.read_text(encoding="utf8")) for path in schemas)
        resolver = jsonschema.RefResolver(schema["$id"], schema, {
            "http://cyclonedx.org/schema/spdx.SNAPSHOT.schema.json": spdx})
        validator = jsonschema.Draft7Validator(schema, resolver=resolver)
        self.assertEqual([error.message for error in validator.iter_errors(self.bom)], [])
        self.bom["metadata"]["component"]["licenses"][0]["license"]["id"] = "no licence"
        self.assertNotEqual(list(validator.iter_errors(self.bom)), [])

    def test_it_has_each_library_that_is_loaded_with_the_version_of_its_package(self):
        self.assertEqual(self.done.returncode, 0, self.done.stderr)
        versions = {it["name"]: it["version"] for it in self.bom["components"]}
        for name, version in versions.items():
            self.assertEqual(run(["dpkg-query", "-W", "-f", "${Version}", name]).stdout, version)
        has = set()  # the files of these packages
        for name in versions:
            has |= {os.path.realpath(path) for path in run(["dpkg-query", "-L", name]).stdout.splitlines()}
        for name in PROGRAMS:
            loaded = re.findall(r" => (/\S+)", run(["ldd", program(name)]).stdout)
            self.assertGreater(len(loaded), 4)
            self.assertEqual({os.path.realpath(path) for path in loaded} - has, set())

    def test_it_has_each_package_whose_headers_are_compiled_in(self):
        """A header of another project belongs to a component, or to the package of a library that is one."""
        self.assertEqual(self.done.returncode, 0, self.done.stderr)
        sources = {dict((it["name"], it["value"]) for it in one["properties"])["ringcast:source"].split()[0]
                   for one in self.bom["components"]}
        headers = set()
        for folder in ("codec", "ring", "feeds", "libringcast", "src", "tools"):
            for path in (CHECKOUT / folder).rglob("*.[ch]"):
                headers |= set(re.findall(r"^#include <(\S+)>", path.read_text(encoding="utf8"), re.M))
        self.assertGreater(len(headers), 50)
        for header in sorted(headers):
            places = [folder / header for folder in map(pathlib.Path, ("/usr/include", "/usr/include/x86_64-linux-gnu",
                                                                       "/usr/include/aarch64-linux-gnu"))]
            found = [place for place in places if place.exists()]
            if not found:  # one of the compiler's own
                self.assertTrue((ZIG.parent / "lib/include" / header).exists(), header)
                continue
            package = run(["dpkg-query", "-S", found[0]]).stdout.split(":")[0]
            source = run(["dpkg-query", "-W", "-f", "${source:Package}", package]).stdout
            self.assertIn(source, sources | {"linux"}, header)


class Licence(unittest.TestCase):
    def test_it_is_the_whole_text_of_the_apache_license(self):
        text = (CHECKOUT / "LICENSE").read_text(encoding="utf8")
        with contextlib.suppress(FileNotFoundError):
            self.assertEqual(text, pathlib.Path("/usr/share/common-licenses/Apache-2.0").read_text(encoding="utf8"))
        self.assertIn("Version 2.0, January 2004", text)
        self.assertIn("END OF TERMS AND CONDITIONS", text)


if __name__ == "__main__":
    unittest.main()
