#!/usr/bin/env python3
"""tidy: the measures of the style that a machine can take. --format formats C files in place."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = {"codec", "ring", "feeds", "src", "tools", "bench", "tests"}
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = {".c": 1000, ".h": 300}
LINE_COLUMNS_MAX = 100
PRODUCT = {"codec", "ring", "feeds", "src", "tools"}
PRODUCT_LINES_MAX = {".c": 600, ".h": 300}
ROOM_LINES_MAX = 6000
CIRCLE_MODULES_MAX = 2  # within a room; rooms have none
ASSERTING = {"ring", "src"}
ASSERTIONS_PER_1000 = 15
ASSERTION = re.compile(r"\b(?:assert_always|assert_debug|static_assert)\(")
RING_WORD = re.compile(r"\bio_uring_(?!sqe\b|cqe\b)\w+")
RING_WORD_ROOMS = {"ring/io", "tools/bench"}  # the engine; a load generator with rings of its own
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


def room_of(name):
    """The room a file belongs to: its folder."""
    return str(pathlib.PurePath(name).parent)


def includes_of(paths):
    """For each module (x.c with x.h) the modules that it includes, as names without extension."""
    found = {}
    names = {str(path.relative_to(ROOT)) for path in paths}
    for path in paths:
        module = str(path.relative_to(ROOT).with_suffix(""))
        wanted = set(re.findall(r'^#include "([^"]+)"', path.read_text(), re.MULTILINE)) & names
        found.setdefault(module, set()).update(
            name.rsplit(".", 1)[0] for name in wanted if name.rsplit(".", 1)[0] != module)
    return found


def circles(arrows):
    """The strongly connected parts of a graph that have more than one node (Tarjan)."""
    index, low, stack, result = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(arrows.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                result.append(sorted(stack[at:]))
            del stack[at:]

    for node in sorted(arrows):
        if node not in index:
            visit(node)
    return result


def check_circles(paths):
    product = [p for p in paths if p.relative_to(ROOT).parts[0] in PRODUCT]
    modules = includes_of(product)
    rooms = {}
    for module, others in modules.items():
        rooms.setdefault(room_of(module), set()).update(
            room_of(other) for other in others if room_of(other) != room_of(module))
    for circle in circles(rooms):
        arrows = [f"{one} -> {other}" for one in circle for other in sorted(rooms[one] & set(circle))]
        yield f"rooms include each other: {', '.join(arrows)}"
    for room in sorted(rooms):
        inside = {m: {o for o in others if room_of(o) == room}
                  for m, others in modules.items() if room_of(m) == room}
        for circle in circles(inside):
            if len(circle) > CIRCLE_MODULES_MAX:
                yield f"{room}: modules include each other: {' '.join(circle)}"


def check_rooms(paths):
    """Sizes of product files and rooms, and how many assertions there are."""
    sizes, assertions = {}, {}
    for path in paths:
        name = path.relative_to(ROOT)
        if name.parts[0] not in PRODUCT:
            continue
        text = path.read_text()
        lines = text.count("\n")
        sizes[room_of(name)] = sizes.get(room_of(name), 0) + lines
        if lines > PRODUCT_LINES_MAX[path.suffix]:
            yield f"{name}: {lines} lines, over {PRODUCT_LINES_MAX[path.suffix]}"
        if name.parts[0] in ASSERTING:
            count, total = assertions.get(room_of(name), (0, 0))
            assertions[room_of(name)] = count + len(ASSERTION.findall(text)), total + lines
    for room, lines in sorted(sizes.items()):
        if lines > ROOM_LINES_MAX:
            yield f"{room}: {lines} lines, over {ROOM_LINES_MAX}"
    for room, (count, lines) in sorted(assertions.items()):
        if count * 1000 < ASSERTIONS_PER_1000 * lines:
            yield f"{room}: {count} assertions in {lines} lines, under {ASSERTIONS_PER_1000} per 1000"


def check_engine(path, lines):
    """Product code asks the engine; it does not call liburing."""
    name = path.relative_to(ROOT)
    if name.parts[0] not in PRODUCT or room_of(name) in RING_WORD_ROOMS:
        return
    for number, line in enumerate(lines, 1):
        for word in RING_WORD.findall(line):
            yield f"{path}:{number}: {word}: liburing is called in ring/io only"


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
    paths = [p for p in tracked("*.c", "*.h") if p.relative_to(ROOT).parts[0] in FOLDERS]
    names = [str(path) for path in paths]
    if sys.argv[1:] == ["--format"]:
        return subprocess.run(["clang-format", "-i", *names], check=False).returncode
    faults = [*check_names(paths), *check_readmes(paths)]
    for path in paths:
        lines = path.read_text().splitlines()
        faults += [*check_lines(path, lines), *check_functions(path, lines),
                   *check_engine(path, lines)]
    if sys.argv[1:] == ["--house"]:
        faults += [*check_circles(paths), *check_rooms(paths)]
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
