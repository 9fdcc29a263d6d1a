"""What users and operators were promised has ids (S35); the test of each promise names its id."""
import re
import unittest

from server import CHECKOUT

CONTROL = [22, *range(35, 63), *range(64, 76), *range(84, 95), *range(97, 105), 114, 118, 119, 120]


def ids_of(text):
    return {int(number) for number in re.findall(r"\bS(\d{1,3})\b", text)}


class Ids(unittest.TestCase):
    def test_each_promise_about_control_has_a_test(self):
        named = set()
        for path in (CHECKOUT / "tests").rglob("test_*"):
            text = path.read_text(encoding="utf8")
            if path.suffix == ".c":
                named |= ids_of(" ".join(re.findall(r"/\*.*?\*/", text, re.S)))
            elif path.suffix == ".py" and path.name != "test_promises.py":
                named |= ids_of(text)
        self.assertEqual([f"S{number}" for number in CONTROL if number not in named], [])


if __name__ == "__main__":
    unittest.main()
