"""The scripts of tools/trace have one form, and their pages have them all. tests/deploy runs them."""
import re
import unittest

from server import CHECKOUT

FOLDER = CHECKOUT / "tools/trace"
SCRIPTS = {path.stem: path.read_text(encoding="utf8") for path in sorted(FOLDER.glob("*.bt"))}
PAGE = (CHECKOUT / "docs/tracing.md").read_text(encoding="utf8")
PROBES = (CHECKOUT / "docs/probes.md").read_text(encoding="utf8")
HEAD = re.compile(r"""/\*
 \* (?P<name>\w+): (?P<question>.+)\.
 \*
 \* Usage      P=\$\(pidof ringcast\); bpftrace (?:-p \$P )?(?P=name)\.bt \$P(?P<more>.*)
 \* Arguments  \$1  the server's process ID
(?P<arguments>(?: \*            .*\n)*) \* Prints     .+
(?: \*            .*\n)* \*/
""")


class Scripts(unittest.TestCase):
    def test_there_are_enough(self):
        """S137: a set of scripts for bpftrace."""
        self.assertGreaterEqual(len(SCRIPTS), 14)

    def test_each_begins_with_what_it_is_for_and_how_it_is_run(self):
        for name, text in SCRIPTS.items():
            with self.subTest(name):
                head = HEAD.match(text)
                self.assertIsNotNone(head)
                self.assertEqual(head["name"], name)
                self.assertEqual("bpftrace -p $P " in head[0], "usdt:" in text)  # Newer ones filter the kernel's by it.
                named = set(re.findall(r"^ \*            (\$\d)  ", head["arguments"], re.M)) | {"$1"}
                self.assertEqual(len(head["more"].split()), len(named) - 1)
                self.assertLessEqual(set(re.findall(r"\$\d", text[head.end():])), named)
                self.assertLessEqual(max(map(len, text.splitlines())), 110)

    def test_each_says_when_its_probes_are_attached_and_names_no_thread(self):
        for name, text in SCRIPTS.items():
            with self.subTest(name):
                self.assertRegex(text, r"(?s)\nBEGIN\n\{\n[^}]*printf\(")
                self.assertNotRegex(text, r"\bcomm\b\s*[!=]=")

    def test_its_probes_exist(self):
        for name, text in SCRIPTS.items():
            with self.subTest(name):
                for probe in re.findall(r"^usdt:(\S+)", text, re.M):
                    self.assertRegex(probe, r"^\*:ringcast:\w+$")
                    self.assertIn(f"`{probe.rpartition(':')[2]}`", PROBES)

    def test_the_types_of_messages_are_those_of_the_sources(self):
        enum = re.search(r"enum request_type \{(.*?)\};", (CHECKOUT / "src/request/request.h").read_text(), re.S)[1]
        types = re.findall(r"^ +REQUEST_(\w+),", enum, re.M)[1:-1]  # without NONE and the count
        named = re.findall(r'@type\[(\d+)\] = "(\w+)"', SCRIPTS["messages"])
        self.assertEqual(named, [(str(number), name) for number, name in enumerate(types, 1)])

    def test_the_reasons_of_a_gap_are_those_of_the_sources(self):
        enum = re.search(r"enum gap_reason \{(.*?)\};", (CHECKOUT / "ring/plan.h").read_text(), re.S)[1]
        named = re.findall(r'@reason\[(\d+)\] = "(\w+)"', SCRIPTS["laps"])
        self.assertEqual(named, [(str(number), name.lower()) for number, name in enumerate(re.findall(r"GAP_(\w+),", enum))])

    def test_the_readme_has_its_first_line_and_the_page_a_section_with_a_sample(self):
        readme = (FOLDER / "README.md").read_text(encoding="utf8")
        sections = dict(re.findall(r"^### (\w+)\n\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S))
        for name, text in SCRIPTS.items():
            with self.subTest(name):
                self.assertIn(f"| `{name}` | {HEAD.match(text)['question']} |", readme)
                self.assertIn(f"[{name}](#{name})", PAGE)
                self.assertRegex(sections[name], rf"(?m)^    \$ bpftrace (?:-p \$P )?{name}\.bt \$P.*\n    .")
                reading = re.search(r"^Read it so: .*?(?=\n\n|\Z)", sections[name], re.M | re.S)
                self.assertLessEqual(reading[0].count("\n") + 1, 4)


if __name__ == "__main__":
    unittest.main()
