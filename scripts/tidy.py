#!/usr/bin/env python3
"""tidy: checks the rules of the style that a machine can check.

  --format   formats C files in place
"""

import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True
import doc_commands  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = {"codec", "ring", "feeds", "libringcast", "src", "tools", "bench", "tests"}
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = {".c": 1000, ".h": 300}
LINE_COLUMNS_MAX = 100
PRODUCT = {"codec", "ring", "feeds", "libringcast", "src", "tools"}
PRODUCT_LINES_MAX = {".c": 600, ".h": 300}
ROOM_LINES_MAX = 6000
CIRCLE_MODULES_MAX = 2  # within a room; rooms have none
ASSERTING = {"ring", "src"}
ASSERTIONS_PER_1000 = 15
ASSERTION = re.compile(r"\b(?:assert_always|assert_debug|static_assert)\(")
RING_WORD = re.compile(r"\bio_uring_(?!sqe\b|cqe\b)\w+")
RING_WORD_ROOMS = {"ring/io", "tools/load"}  # the engine; a load generator with rings of its own
# A label of a header's contract that clang-format has moved into the line of another.
LABEL_INSIDE = re.compile(r"^ \* .*\S (?:Owner|Threads|Memory|Units|Errors|Source) {3,}")
UNFINISHED = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X:"]))


def tracked(*patterns):
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *patterns], cwd=ROOT,
                           text=True, capture_output=True, check=True).stdout.split()
    return [ROOT / name for name in names if (ROOT / name).exists()]


def check_lines(path, lines):
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_COLUMNS_MAX:
            yield f"{path}:{number}: {len(line)} columns, the limit is {LINE_COLUMNS_MAX}: break the line"
        if line != line.rstrip():
            yield f"{path}:{number}: blanks at the end: run `zig build fmt`"
        if LABEL_INSIDE.match(line):
            yield f"{path}:{number}: a label of the contract is within a line: put a blank line before it"
        if UNFINISHED.search(line):
            yield f"{path}:{number}: a mark of unfinished work: finish it or remove it"
    limit = FILE_LINES_MAX[path.suffix]
    if len(lines) > limit:
        yield f"{path}: {len(lines)} lines, the limit is {limit}: split the file"


def check_functions(path, lines):
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            if number - start - 1 > FUNCTION_LINES_MAX:
                yield (f"{path}:{start}: a function of {number - start - 1} lines, the limit is "
                       f"{FUNCTION_LINES_MAX}: split it")
            start = None


def room_of(name):
    """The room a file belongs to: its folder."""
    return str(pathlib.PurePath(name).parent)


def module_of(name):
    """The module a file belongs to: x.c and x.h are one."""
    return str(pathlib.PurePath(name).with_suffix(""))


def includes_of(paths):
    """(file, included file) for all includes of the files among each other."""
    names = {str(path.relative_to(ROOT)) for path in paths}
    return [(str(path.relative_to(ROOT)), name) for path in paths
            for name in re.findall(r'^#include "([^"]+)"', path.read_text(), re.MULTILINE)
            if name in names]


def arrows_of(includes, part_of):
    """{part: {other part: [the includes that make this arrow]}}; part_of(file) is its part."""
    found = {}
    for name, other in includes:
        found.setdefault(part_of(name), {})
        if part_of(name) != part_of(other):
            found[part_of(name)].setdefault(part_of(other), []).append((name, other))
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


def way(arrows, start, goals, members):
    """The shortest way from start to one of the goals, through members only, without start."""
    ways, seen = [[start]], {start}
    for path in ways:  # grows meanwhile
        for other in sorted(arrows.get(path[-1], {})):
            if other in goals:
                return [*path[1:], other]
            if other in members and other not in seen:
                seen.add(other)
                ways.append([*path, other])
    raise AssertionError(f"no way from {start}: {members} are not a circle")


def round_trip(arrows, circle):
    """From the first member through all others and back: a, b, c, a."""
    path, left = [circle[0]], set(circle[1:])
    while left:
        path += way(arrows, path[-1], left, set(circle))
        left -= set(path)
    return path + way(arrows, path[-1], {circle[0]}, set(circle))


def describe_circle(what, arrows, circle):
    lines = [f"{what}: {' -> '.join(round_trip(arrows, circle))}"]
    for one in circle:
        for other in sorted(set(arrows[one]) & set(circle)):
            lines += [f"    {name} includes {included}" for name, included in arrows[one][other]]
    return "\n".join(lines)


def check_circles(paths):
    includes = includes_of([p for p in paths if p.relative_to(ROOT).parts[0] in PRODUCT])
    rooms = arrows_of(includes, room_of)
    for circle in circles(rooms):
        yield describe_circle("a circle of rooms", rooms, circle)
    for room in sorted(rooms):
        inside = [it for it in includes if room_of(it[0]) == room == room_of(it[1])]
        modules = arrows_of(inside, module_of)
        for circle in circles(modules):
            if len(circle) > CIRCLE_MODULES_MAX:
                yield describe_circle(f"a circle of {len(circle)} modules", modules, circle)


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
            yield f"{name}: {lines} lines, the limit is {PRODUCT_LINES_MAX[path.suffix]}: split the file"
        if name.parts[0] in ASSERTING:
            count, total = assertions.get(room_of(name), (0, 0))
            assertions[room_of(name)] = count + len(ASSERTION.findall(text)), total + lines
    for room, lines in sorted(sizes.items()):
        if lines > ROOM_LINES_MAX:
            yield f"{room}: {lines} lines, the limit is {ROOM_LINES_MAX}: split the room"
    for room, (count, lines) in sorted(assertions.items()):
        wanted = ASSERTIONS_PER_1000 * lines // 1000
        if count < wanted:
            yield f"{room}: {count} assertions in {lines} lines, at least {wanted} are required"


def check_engine(path, lines):
    """Product code calls the engine, and not liburing. Texts may name system calls and sysctls."""
    name = path.relative_to(ROOT)
    if name.parts[0] not in PRODUCT or room_of(name) in RING_WORD_ROOMS:
        return
    for number, line in enumerate(lines, 1):
        for word in RING_WORD.findall(re.sub(r'"[^"]*"', '""', line)):
            yield f"{path}:{number}: {word}: only ring/io may call liburing: call the engine"


def check_names(paths):
    seen = {}
    for path in paths:
        other = seen.setdefault((path.stem, path.suffix), path)
        if other != path:
            yield f"{path}: {other} has the same base name: rename one of them"


def check_readmes(paths):
    for folder in {path.relative_to(ROOT).parts[0] for path in paths}:
        if not (ROOT / folder / "README.md").exists():
            yield f"{folder}/: README.md is missing"


def doc_pages():
    """The pages for users; decisions and the changelog describe the past."""
    return [path for path in tracked("*.md", "docs/*.1")
            if path.name != "CHANGELOG.md" and path.parent.name != "decisions"]


def check_docs():
    for path in doc_pages():
        yield from doc_commands.faults_of(path.relative_to(ROOT).as_posix(),
                                          path.read_text(encoding="utf8"))


def main():
    paths = [p for p in tracked("*.c", "*.h") if p.relative_to(ROOT).parts[0] in FOLDERS]
    names = [str(path) for path in paths]
    if sys.argv[1:] == ["--format"]:
        return subprocess.run(["clang-format", "-i", *names], check=False).returncode
    faults = [*check_names(paths), *check_readmes(paths), *check_circles(paths),
              *check_rooms(paths), *check_docs()]
    for path in paths:
        lines = path.read_text().splitlines()
        faults += [*check_lines(path, lines), *check_functions(path, lines),
                   *check_engine(path, lines)]
    for fault in faults:
        print(fault)
    formatted = subprocess.run(["clang-format", "--dry-run", "-Werror", *names], check=False,
                               cwd=ROOT, text=True, stderr=subprocess.PIPE)
    sys.stdout.write(formatted.stderr[:4000])
    if formatted.returncode != 0:
        print("the format is not that of clang-format: run `zig build fmt`")
    return 1 if faults or formatted.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
