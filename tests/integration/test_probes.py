"""The probes of the programs, held against their page: the notes that a tracer reads, and what lies where they point."""
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile
import unittest

from server import BIN_DIR, CHECKOUT, in_full, program

NOTES, BUILD_ID = ".note.stapsdt", ".note.gnu.build-id"
NOPS = {62: b"\x90", 183: b"\x1f\x20\x03\xd5"}  # by e_machine: x86-64, aarch64
PAGE = (CHECKOUT / "docs/probes.md").read_text(encoding="utf8")
AARCH64 = CHECKOUT / "zig-out/aarch64/bin/ringcast"
EVERY_MACRO = """
#include "codec/base/probes.h"
void fire(uint64_t a, uint32_t b, int c, const char *d);
void fire(uint64_t a, uint32_t b, int c, const char *d)
{
    PROBE1(one, a);
    PROBE2(two, a, b);
    PROBE3(three, a, b, c);
    PROBE4(four, a, b, c, (uintptr_t)d);
    PROBE5(five, a, b, c, (uintptr_t)d, 5);
    PROBE6(six, a, b, c, (uintptr_t)d, a + b, 6);
}
"""


class Elf:
    """Sections and notes of a program of 64 bits, little endian."""

    def __init__(self, path):
        self.data = pathlib.Path(path).read_bytes()
        if self.data[:6] != b"\x7fELF\2\1":
            raise ValueError(f"{path} is no such program")
        self.machine, = struct.unpack_from("<H", self.data, 18)
        at, = struct.unpack_from("<Q", self.data, 40)
        size, count, names = struct.unpack_from("<HHH", self.data, 58)
        # name, type, flags, address, offset, bytes
        heads = [struct.unpack_from("<IIQQQQ", self.data, at + i * size) for i in range(count)]
        self.sections = [(self.text(heads[names][4] + head[0]), *head[1:]) for head in heads]

    def text(self, at):
        return self.data[at:self.data.index(b"\0", at)].decode()

    def notes(self, section):
        """(name, descriptor) of each note."""
        for name, _, _, _, at, size in self.sections:
            end = at + size if name == section else at
            while at < end:
                name_bytes, bytes_, _ = struct.unpack_from("<III", self.data, at)
                begin = at + 12 + (name_bytes + 3) // 4 * 4
                yield self.data[at + 12:at + 12 + name_bytes], self.data[begin:begin + bytes_]
                at = begin + (bytes_ + 3) // 4 * 4

    def code_offset(self, address):
        """Where its bytes are in the file; None: it is not of code."""
        executable = 4
        return next((offset + address - begin for _, _, flags, begin, offset, size in self.sections
                     if flags & executable and begin <= address < begin + size), None)

    def probes(self):
        """(name, arguments, location, base, semaphore) of each."""
        for owner, note in self.notes(NOTES):
            provider, name, arguments, rest = note[24:].split(b"\0", 3)
            if (owner, provider, rest.strip(b"\0")) != (b"stapsdt\0", b"ringcast", b""):
                raise ValueError(f"{owner}: {note}")
            yield name.decode(), arguments.decode().split(), *struct.unpack_from("<QQQ", note)


def rows():
    """The probes of the page, and the number of arguments of each."""
    found = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", PAGE, re.M)
    return {name: len(re.sub(r"\([^)]*\)", "", words).split(",")) for name, words in found}


class Probes(unittest.TestCase):
    def assert_well_made(self, elf):
        """Returns the number of arguments of each probe."""
        counts = {}
        base_offset, = (offset for section, _, _, _, offset, _ in elf.sections if section == ".stapsdt.base")
        for name, arguments, location, base, semaphore in elf.probes():
            nop = NOPS[elf.machine]
            at = elf.code_offset(location)
            self.assertIsNotNone(at, f"{name}: no code is at {location:#x}")
            self.assertEqual((elf.data[at:at + len(nop)], semaphore), (nop, 0), name)
            self.assertEqual(location - base + base_offset, at, f"{name}: where perf looks")
            self.assertEqual([it for it in arguments if not re.match(r"8@[^@]+$", it)], [], name)
            self.assertEqual(counts.setdefault(name, len(arguments)), len(arguments), name)
        return counts

    def test_the_page_has_the_probes_of_the_program(self):
        self.assertGreater(len(rows()), 40)
        self.assertEqual(self.assert_well_made(Elf(program("ringcast"))), rows())

    def test_a_stripped_program_keeps_them(self):
        if shutil.which("strip") is None:
            self.skipTest("SKIPPED: there is no strip")
        with tempfile.TemporaryDirectory() as folder:
            stripped = pathlib.Path(folder, "ringcast")
            subprocess.run(["strip", "--strip-all", "-o", stripped, program("ringcast")], check=True)
            elf = Elf(stripped)
            self.assertNotIn(".symtab", [name for name, *_ in elf.sections])
            self.assertEqual(self.assert_well_made(elf), rows())

    @in_full
    def test_the_program_for_aarch64_has_the_same(self):
        if not AARCH64.exists():
            self.skipTest("SKIPPED: zig build check makes it, with the packages that scripts/setup.sh test fetches")
        self.assertEqual(self.assert_well_made(Elf(AARCH64)), rows())

    def test_a_compiler_writes_them_with_any_optimisation(self):
        if shutil.which("gcc") is None:
            self.skipTest("SKIPPED: there is no gcc")
        with tempfile.TemporaryDirectory() as folder:
            for level in ("-O0", "-O1", "-O3"):
                made = f"{folder}/probes{level}.so"
                subprocess.run(["gcc", "-x", "c", "-", "-std=gnu11", "-Wall", "-Wextra", "-Werror", level, "-g", f"-I{CHECKOUT}", "-fPIC",
                                "-shared", "-nostdlib", "-o", made], input=EVERY_MACRO.encode(), check=True)
                self.assertEqual(self.assert_well_made(Elf(made)),
                                 dict(zip("one two three four five six".split(), range(1, 7))), level)

    def test_each_program_has_a_build_id(self):
        """perf keeps the probes of a program by it."""
        programs = [path for path in BIN_DIR.iterdir() if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"]
        self.assertIn("ringcast", [path.name for path in programs])
        for path in programs:
            self.assertEqual([len(it) for name, it in Elf(path).notes(BUILD_ID) if name == b"GNU\0"], [20], path.name)

    def test_the_page_has_the_states_of_a_connection(self):
        header = (CHECKOUT / "ring/link/link.h").read_text(encoding="utf8")
        stages = re.search(r"enum link_stage \{(.*?)LINK_STAGE_COUNT", header, re.S)[1]
        self.assertEqual(re.findall(r"^\| (\d) \| (\w+) \|", PAGE, re.M),
                         [(str(at), name.lower()) for at, name in enumerate(re.findall(r"LINK_(\w+),", stages))])


if __name__ == "__main__":
    unittest.main()
