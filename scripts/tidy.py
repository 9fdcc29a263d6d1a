#!/usr/bin/env python3
"""tidy: the measures of the style that a machine can take. --format formats C files in place."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEES = {  # which folder may include which
    "codec": {"codec"},
    "ring": {"codec", "ring"},
    "feeds": {"codec", "feeds"},
    "src": {"codec", "ring", "feeds", "src"},
    "tools": {"codec", "ring", "tools"},
    "bench": {"codec", "ring", "feeds", "src", "tools", "bench"},
    "tests": {"codec", "ring", "feeds", "src", "tools", "bench", "tests"},
}
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = {".c": 1000, ".h": 300}
LINE_COLUMNS_MAX = 100
UNFINISHED = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X:"]))


def tracked(*patterns):
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *patterns], cwd=ROOT,
                           text=True, capture_output=True, check=True).stdout.split()
    return [ROOT / name for name in names if (ROOT / name).exists()]


def check_lines(path, lines):
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_COLUMNS_MAX:
            yield f"{path}:{number}: {len(line)} columns"
        if line != line.rstrip():
            yield f"{path}:{number}: blanks at the end"
        if UNFINISHED.search(line):
            yield f"{path}:{number}: says that it is unfinished"
    limit = FILE_LINES_MAX[path.suffix]
    if len(lines) > limit:
        yield f"{path}: {len(lines)} lines, over {limit}"


def check_functions(path, lines):
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            if number - start - 1 > FUNCTION_LINES_MAX:
                yield f"{path}:{start}: a function of {number - start - 1} lines"
            start = None


def check_includes(path, lines):
    folder = path.relative_to(ROOT).parts[0]
    for number, line in enumerate(lines, 1):
        found = re.match(r'#include "([a-z]+)/', line)
        if found and found[1] in SEES and found[1] not in SEES[folder]:
            yield f"{path}:{number}: {folder} may not include {found[1]}"


def check_names(paths):
    seen = {}
    for path in paths:
        other = seen.setdefault((path.stem, path.suffix), path)
        if other != path:
            yield f"{path}: the base name is taken by {other}"


def check_readmes(paths):
    for folder in {path.relative_to(ROOT).parts[0] for path in paths}:
        if not (ROOT / folder / "README.md").exists():
            yield f"{folder}/: no README.md"


def main():
    paths = [p for p in tracked("*.c", "*.h") if p.relative_to(ROOT).parts[0] in SEES]
    names = [str(path) for path in paths]
    if sys.argv[1:] == ["--format"]:
        return subprocess.run(["clang-format", "-i", *names], check=False).returncode
    faults = [*check_names(paths), *check_readmes(paths)]
    for path in paths:
        lines = path.read_text().splitlines()
        faults += [*check_lines(path, lines), *check_functions(path, lines),
                   *check_includes(path, lines)]
    for fault in faults:
        print(fault)
    formatted = subprocess.run(["clang-format", "--dry-run", "-Werror", *names], check=False,
                               cwd=ROOT, text=True, stderr=subprocess.PIPE)
    sys.stdout.write(formatted.stderr[:4000])
    if formatted.returncode != 0:
        print("format: run `zig build fmt`")
    return 1 if faults or formatted.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
