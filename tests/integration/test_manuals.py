"""The manual pages and the page of the tools name every option that --help does, and no other."""
import re
import unittest

from server import CHECKOUT, program, run

TOOLS = ("ringcast-bench", "ringcast-tap", "ringcast-stat")


def read(name):
    return (CHECKOUT / "docs" / name).read_text(encoding="utf8")


class Manuals(unittest.TestCase):
    def helped(self, name):
        words = ["ringcast", "stat"] if name == "ringcast-stat" else [name]
        result = run([program(words[0]), *words[1:], "--help"])
        self.assertEqual(result.returncode, 0, result.stderr)
        found = re.findall(r"^  +(?:-(\w), )? *--([a-z-]+)", result.stdout, re.M)
        self.assertGreaterEqual(len(found), 7, result.stdout)
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

    def test_the_page_of_stat_names_all_of_its_options(self):
        page = read("stat.md")
        for _, option in self.helped("ringcast-stat"):
            self.assertIn(f"--{option}", page)


if __name__ == "__main__":
    unittest.main()
