"""docs/troubleshooting.md has every error that ends the start, every refusal and every close code of the sources."""
import re
import unittest

from server import CHECKOUT

PAGE = (CHECKOUT / "docs/troubleshooting.md").read_text(encoding="utf8")
LITERAL = r'"(?:[^"\\\n]|\\.)*"'
LITERALS = rf"{LITERAL}(?:\s*(?:PRI\w+\s*)?{LITERAL})*"
# file: what is before a message that ends the start, or refuses a request
STARTS = {
    "src/main.c": r"server_fail\(-?\w+, |log_say\(STDERR_FILENO,\s*",
    "src/server.c": r"server_fail\(-?\w+, |sizeof what, |log_write\(LOG_LEVEL_ERROR,\s*|char text\[192\];\s*snprintf\(text, sizeof text, |"
                    r"\"core %u: ",
    "src/pid_file.c": r"snprintf\(error_out, error_bytes,\s*|pid_file_fail\(-?\w+, path, ",
    "src/check_config.c": r"snprintf\((?:error_out|words), \w+(?: words)?,\s*",
    "src/config/options_tls.c": r"text = |OPTIONS_ERROR_BYTES_MAX,\s*",
    "src/server_tls.c": r"log_write\(LOG_LEVEL_ERROR,\s*",
    "src/admin/admin.c": r"snprintf\(error_out, error_bytes,\s*",
    "ring/io/engine_uring.c": r"words = ",
    "ring/io/listener.c": r"advice = |snprintf\(error_out, error_bytes,\s*",
    "ring/io/listener_address.c": r"(?=\"it (?:has|is) )|snprintf\(error_out, error_bytes,\s*",
    "ring/io/listener_unix.c": r"advice = |snprintf\(error_out, error_bytes,\s*",
    **{f"src/tls/tls_{name}.c": r'tls_error_write\([^;"]*(?:"tls-[a-z-]*"[^;"]*)?(?!"%s")'
       for name in ("certificate", "clients", "context", "files", "ocsp", "tickets", "warnings")},
    "codec/base/cpu_check.c": r"(?=\"This program)",
}
REFUSALS = {
    "codec/handshake.c": r"\] =\s*\{\s*\"\d{3} [A-Za-z ]*\",\s*(?:\"[^\n]*\\r\\n\"|\"\"),\s*",
    "src/session/session.c": r"\.text = ",
    "src/access/access.c": r"\{ACCESS_FORBIDDEN, |answer\.text = |ACCESS_TOO_MANY, ",
    "ring/link/opening.c": r"text\[\] = |const char \*text = ",
}


def clauses(literals):
    """What stands between placeholders and punctuation of a format."""
    text = "".join("%x" if part.startswith("PRI") else part[1:-1]
                   for part in re.findall(rf"{LITERAL}|PRI\w+", literals))
    parts = re.split(r"%[-.*\d]*[a-z]{0,3}|\\n|[;:,()]", text.replace('\\"', '"'))
    return [part.strip(" .'") for part in parts]


def messages(places):
    """What a message begins with, its first clause that is long enough: (file, clause)."""
    for name, before in places.items():
        source = (CHECKOUT / name).read_text(encoding="utf8")
        found = [clauses(match.group(1)) for match in re.finditer(rf"(?:{before})({LITERALS})", source)]
        if not found:
            raise AssertionError(f"{name} has no messages: has it changed?")
        for parts in found:
            clause = next((part for part in parts if len(part) >= 14 and not part.startswith("--")), max(parts, key=len))
            if clause not in ("unexpected", ""):
                yield name, clause


class Troubleshooting(unittest.TestCase):
    def check(self, places, least):
        count = 0
        for name, clause in messages(places):
            with self.subTest(file=name):
                self.assertTrue(clause in PAGE, clause)
            count += 1
        self.assertGreaterEqual(count, least)

    def test_every_error_that_ends_the_start_is_there(self):
        self.check(STARTS, 35)

    def test_every_refused_handshake_is_there(self):
        self.check(REFUSALS, 18)

    def test_every_close_code_is_there(self):
        part = PAGE[PAGE.index("\n## A connection is closed"):PAGE.index("\n## A request")]
        told = re.findall(r"^\| (\d{4}) \|", part, re.M)
        closes = set()
        for folder in ("codec", "ring", "src"):
            for path in (CHECKOUT / folder).rglob("*.[ch]"):
                source = path.read_text(encoding="utf8")
                closes |= set(re.findall(r"(?:_close|_doom)\([^;]*?, (\d{4}),", source))
                closes |= set(re.findall(r"CLOSE_CODE (\d{4})|\[WS_\w+\] = (\d{4})|\{PROTOCOL_\w+, (\d{4}),", source))
        closes = {code for found in closes for code in ([found] if isinstance(found, str) else found) if code}
        self.assertGreater(len(closes), 10)
        self.assertEqual(told, sorted(closes | {"1000", "1006"}))


if __name__ == "__main__":
    unittest.main()
