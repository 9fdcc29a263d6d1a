"""The manual pages and the page of the tools name every option that --help does, and no other."""
import pathlib
import re
import shutil
import tempfile
import unittest

from server import CHECKOUT, program, run

TOOLS = ("ringcast-bench", "ringcast-tap", "ringcast-echo", "ringcast-stat", "ringcast-ctl", "ringcast-doctor")
COMMANDS = {"ringcast-stat": ["ringcast", "stat"], "ringcast-ctl": ["ringcast", "ctl", "stats"],
            "ringcast-doctor": ["ringcast", "doctor"]}


def read(name):
    return (CHECKOUT / "docs" / name).read_text(encoding="utf8")


class Manuals(unittest.TestCase):
    def helped(self, name):
        words = COMMANDS.get(name, [name])
        result = run([program(words[0]), *words[1:], "--help"])
        self.assertEqual(result.returncode, 0, result.stderr)
        found = re.findall(r"^  +(?:-(\w), )? *--([a-z-]+)", result.stdout, re.M)
        self.assertGreaterEqual(len(found), 5, result.stdout)
        return found

    def test_each_manual_has_the_options_of_its_program(self):
        for name in TOOLS:
            manual = re.findall(r"^\.It Fl \\-([a-z-]+)(?: Ar \S+)?(?: , Fl (\w)\b)?",
                                read(name + ".1"), re.M)
            self.assertEqual([(letter, option) for option, letter in manual],
                             self.helped(name), name)

    def test_the_manual_of_bench_has_the_defaults_of_its_help(self):
        helped = dict(re.findall(r"--([a-z-]+) .*\((.*)\)$", run([program("ringcast-bench"), "--help"]).stdout, re.M))
        told = dict(re.findall(r"^\.It Fl \\-([a-z-]+)(?:(?!^\.It)[\s\S])*?^Default:\n\.Cm (\S+)",
                               read("ringcast-bench.1"), re.M))
        self.assertGreater(len(told), 15)
        for option in set(helped) & set(told):
            default = told[option].replace("\\(dq", '"')
            self.assertTrue(helped[option].startswith("all" if option == "subscriptions" else default), option)

    def test_every_option_has_its_help(self):
        lines = run([program("ringcast-bench"), "--help"]).stdout.splitlines()
        for line in (line for line in lines if re.match(r"  +(-\w, )? *--", line)):
            self.assertRegex(line, r"--[a-z-]+( \S+)? +\w+.* \w+", line)

    def test_the_page_of_the_tools_names_what_needs_explaining(self):
        page = read("bench.md")
        for letter, option in self.helped("ringcast-bench"):
            self.assertTrue(f"--{option}" in page or (letter and f"`-{letter} " in page), option)

    def test_the_manual_of_the_library_has_the_functions_of_its_header(self):
        header = (CHECKOUT / "libringcast/ringcast_publish.h").read_text(encoding="utf8")
        functions = re.findall(r"^(?:int|void|uint64_t) (ringcast_publish_\w+)\(", header, re.M)
        self.assertGreater(len(functions), 10)
        synopsis = read("ringcast_publish.3").split(".Sh DESCRIPTION")[0]
        self.assertEqual(re.findall(r"^\.F[no] (\w+)", synopsis, re.M), functions)

    def test_the_page_of_stat_names_all_of_its_options(self):
        page = read("stat.md")
        for _, option in self.helped("ringcast-stat"):
            self.assertIn(f"--{option}", page)

    def test_the_page_and_the_manual_of_ctl_name_all_commands_and_options(self):
        page, manual = read("ctl.md"), read("ringcast-ctl.1")
        commands = re.findall(r"^  (\w+) +\w", run([program("ringcast"), "ctl", "--help"]).stdout, re.M)
        self.assertGreater(len(commands), 10)
        for command in commands:
            self.assertRegex(page, rf"(?m)^\| `{command}\b", command)
            self.assertRegex(manual, rf"(?m)^\.It Cm {command}\b", command)
            text = run([program("ringcast"), "ctl", command, "--help"]).stdout
            for option in re.findall(r"^  +(?:-\w, )? *--([a-z-]+)", text, re.M):
                self.assertIn(f"--{option}", page)
                self.assertIn(f"Fl \\-{option}" if option != "socket" else "\\-socket", manual, option)


class Server(unittest.TestCase):
    """`ringcast help`, its page and its manual."""

    def help(self, *words):
        result = run([program("ringcast"), *words])
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def topics(self):
        found = re.search(r"^Topics of .*:\n((?:  .+\n)+)", self.help("--help"), re.M)
        return re.findall(r"^  (\S+) +\w", found.group(1), re.M)

    def test_the_topics_have_each_option_once_as_the_page_and_the_manual_have(self):
        page, manual, all_options = read("options.md"), read("ringcast.1"), []
        for topic in self.topics():
            options = re.findall(r"^  --(\S+)", self.help("help", topic), re.M)
            if topic == "all":
                self.assertEqual(options, all_options)
            elif options:
                title = topic.upper() if topic == "tls" else topic.capitalize()
                part = re.search(rf"^### {title}\n((?:(?!^##)[^\n]*\n)*)", page, re.M).group(1)
                self.assertEqual(re.findall(r"^\| `--([a-z-]+)", part, re.M), options)
                part = re.search(rf"^\.Ss {title}\n((?:(?!^\.S[sh])[^\n]*\n)*)", manual, re.M).group(1)
                self.assertEqual(re.findall(r"^\.It Fl \\-([a-z-]+)", part, re.M), options)
            all_options += options
        self.assertGreater(len(set(all_options)), 45)

    def test_help_has_several_forms(self):
        self.assertEqual(self.help("help"), self.help("--help"))
        self.assertEqual(self.help("-h"), self.help("--help"))
        self.assertEqual(self.help("--help", "access"), self.help("help", "access"))
        for command in ("stat", "ctl", "health", "doctor"):
            self.assertEqual(self.help("help", command), self.help(command, "--help"))
        self.assertEqual(self.help("help", "port"), self.help("help", "--port"))

    def test_an_unknown_topic_is_refused_with_the_nearest_and_the_list(self):
        for words, why in ((("help", "acess"), "did you mean access? "), (("--help", "acess"), "did you mean access? "),
                           (("help", "--prot"), "did you mean port? "), (("help", "qqqqqqqq"), "one of: serving, "),
                           (("help", "a", "b"), "one topic"), (("halp",), "did you mean help?")):
            result = run([program("ringcast"), *words])
            self.assertEqual((result.returncode, result.stdout), (2, ""))
            self.assertTrue(result.stderr.startswith("ringcast: "), result.stderr)
            self.assertIn(why, result.stderr)

    def test_run_helps_without_a_build(self):
        with tempfile.TemporaryDirectory() as folder:
            binary = pathlib.Path(folder, "zig-out/bin/ringcast")
            binary.parent.mkdir(parents=True)
            binary.symlink_to(pathlib.Path(program("ringcast")).resolve())
            shutil.copy(CHECKOUT / "run", folder)  # without scripts/setup.sh, and without zig
            self.assertEqual(run([f"{folder}/run", "--help"]).stdout, self.help("--help"))
            self.assertNotEqual(run([f"{folder}/run"]).returncode, 0)


if __name__ == "__main__":
    unittest.main()
