"""docs/requirements.md: each of the requirements S1 to S162 has an answer, and the tests that it names exist.

test_reference checks that its links lead somewhere."""
import ast
import re
import sys
import unittest

from server import CHECKOUT

sys.path.insert(0, str(CHECKOUT / "scripts"))
import doc_commands  # noqa: E402

PAGE = CHECKOUT / "docs/requirements.md"
COUNT = 162
COLUMNS = ("id", "requirement", "met", "answer", "tests")
MET = ("yes", "in part", "no")
REASON_LETTERS = 40


def rows_of(text):
    """[{"id": "S1", ...}] of all tables of the page."""
    lines = [line for line in text.splitlines() if re.match(r"\| S\d", line)]
    return [dict(zip(COLUMNS, map(str.strip, line.strip("|").split(" | ")), strict=True)) for line in lines]


def tests_of(row):
    return re.findall(r"`([^`]+)`", row["tests"])


def python_tests(path):
    """{"Class": {its tests, and those of its bases in the file or in another one beside it}}"""
    tests = {}
    for node in ast.parse(path.read_text(encoding="utf8")).body:
        if isinstance(node, ast.ClassDef):
            tests[node.name] = {it.name for it in node.body if isinstance(it, ast.FunctionDef)
                                and it.name.startswith("test_")}
            for base in map(ast.unparse, node.bases):
                module, _, name = base.rpartition(".")
                if module.startswith("test_"):
                    tests[node.name] |= python_tests(path.with_name(f"{module}.py")).get(name, set())
                tests[node.name] |= tests.get(base, set())
    return {name: found for name, found in tests.items() if found}


def c_tests(path):
    """Functions of a test in C that its table names, too."""
    text = path.read_text(encoding="utf8")
    return {name for name in re.findall(r"^static void (\w+)\(void \*\*state\)", text, re.M)
            if len(re.findall(rf"\b{name}\b", text)) > 1}


def all_tests():
    """Every name that a row may give."""
    names = set()
    for folder in ("integration", "deploy"):
        for path in (CHECKOUT / "tests" / folder).glob("test_*.py"):
            for class_name, tests in python_tests(path).items():
                names |= {f"{path.stem}.{class_name}", *(f"{path.stem}.{class_name}.{test}" for test in tests)}
    for path in (CHECKOUT / "tests").glob("test_*.c"):
        names |= {f"{path.stem}.{test}" for test in c_tests(path)}
    for path in (CHECKOUT / "docs").rglob("*.md"):
        name = str(path.relative_to(CHECKOUT))
        if any(block.run for block in doc_commands.blocks_of(name, path.read_text(encoding="utf8"))):
            names.add("test_docs." + re.sub(r"\W", "_", name))
    return names | {str(path.relative_to(CHECKOUT)) for folder in ("bench", "scripts")
                    for path in (CHECKOUT / folder).glob("*.py")}


def ids_in_tests():
    """{id: the modules whose texts name it}"""
    found = {}
    for path in (CHECKOUT / "tests").rglob("test_*"):
        if path.suffix not in (".c", ".py") or path.name == "test_promises.py":
            continue
        text = path.read_text(encoding="utf8")
        if path.suffix == ".c":
            text = " ".join(re.findall(r"/\*.*?\*/", text, re.S))
        else:
            tree = ast.parse(text)
            text = " ".join(ast.get_docstring(node) or "" for node in ast.walk(tree)
                            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)))
        for first, last in re.findall(r"\bS([1-9]\d{0,2})\b(?: to S([1-9]\d{0,2})\b)?", text):
            for number in range(int(first), int(last or first) + 1):
                found.setdefault(f"S{number}", set()).add(path.stem)
    return found


def faults_of(text, tests):
    rows = rows_of(text)
    ids = [row["id"] for row in rows]
    for number in range(1, COUNT + 1):
        if ids.count(f"S{number}") != 1:
            yield f"S{number} has {ids.count(f'S{number}')} rows"
    for row in rows:
        named, answer = tests_of(row), row["answer"]
        reason = re.sub(r"\[[^\]]*\]\([^)]*\)", "", answer)
        if row["met"] not in MET:
            yield f"{row['id']}: met is one of {', '.join(MET)}"
        if "](" not in answer:
            yield f"{row['id']}: the answer links to nothing"
        if row["met"] != "no" and not named:
            yield f"{row['id']}: it names no test"
        if row["met"] == "in part" and not re.search(r"Missing: [^.]{10,}", answer):
            yield f"{row['id']}: it does not say what is missing"
        if row["met"] == "no" and len(reason) < REASON_LETTERS:
            yield f"{row['id']}: the no has no reason"
        for name in named:
            if name not in tests:
                yield f"{row['id']}: there is no test {name}"


class Table(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.page, cls.tests = PAGE.read_text(encoding="utf8"), all_tests()

    def test_each_requirement_has_an_answer_and_tests_that_exist(self):
        self.assertEqual(list(faults_of(self.page, self.tests)), [])

    def test_a_test_that_names_a_requirement_is_in_its_row(self):
        """Of the modules whose texts name S46, the row of S46 names one."""
        rows = {row["id"]: {name.split(".")[0] for name in tests_of(row)} for row in rows_of(self.page)}
        self.assertEqual([f"{name}: {sorted(modules)}" for name, modules in ids_in_tests().items()
                          if not modules & rows.get(name, set())], [])

    def test_what_is_wrong_is_found(self):
        (s46,) = re.findall(r"^\| S46 \|.*$", self.page, re.M)
        for changed, fault in (
                ("", "S46 has 0 rows"), (f"{s46}\n{s46}", "S46 has 2 rows"),
                ("| S46 | reload | yes | [Reload](reload.md) |  |", "S46: it names no test"),
                ("| S46 | reload | yes | by a signal | `test_reload.Answers` |", "S46: the answer links to nothing"),
                ("| S46 | reload | perhaps | [Reload](reload.md) | `test_reload.Answers` |", "S46: met is one of yes, in part, no"),
                ("| S46 | reload | no | not: [reload](reload.md) |  |", "S46: the no has no reason"),
                ("| S46 | reload | in part | [Reload](reload.md) | `test_reload.Answers` |", "S46: it does not say what is missing"),
                ("| S46 | reload | yes | [Reload](reload.md) | `test_reload.Questions` |", "S46: there is no test test_reload.Questions"),
                ("| S46 | reload | yes | [Reload](reload.md) | `test_reload.Answers.test_none` |",
                 "S46: there is no test test_reload.Answers.test_none"),
                ("| S46 | reload | yes | [Reload](reload.md) | `test_feed.no_such` |", "S46: there is no test test_feed.no_such")):
            with self.subTest(fault):
                self.assertEqual(list(faults_of(self.page.replace(s46, changed), self.tests)), [fault])


if __name__ == "__main__":
    unittest.main()
