#!/usr/bin/env python3
"""docs: builds the pages as a website in zig-out/docs, by MkDocs. `zig build docs` calls it.

The pages are written for readers of the repository. They are copied, with the files that they link
to, into zig-out/docs-pages. Two things change there for MkDocs: links to folders lead to their
README, and lists get a blank line before them. Exit code 1 for a link or an anchor that leads
nowhere, or a page that scripts/mkdocs.yml does not list.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import tidy

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = ROOT / "zig-out/docs-pages"
SITE_PACKAGES = ROOT / ".toolchain/mkdocs"
DECISIONS = "docs/decisions/README.md"
LINK = re.compile(r"(\]\()([^)#:\s]+)")
LIST = re.compile(r"^(?:[-*]|\d+\.) ")


def for_mkdocs(text, path):
    """The text of a page, and the other files that it links to."""
    files = set()

    def link(found):
        target = path.parent / found[2]
        if target.is_dir():
            return f"{found[1]}{found[2].rstrip('/')}/README.md"
        if target.suffix != ".md" and target.is_file():
            files.add(target.resolve().relative_to(ROOT))
        return found[0]

    lines, is_code = [], False
    for line in LINK.sub(link, text).split("\n"):
        is_code ^= line.lstrip().startswith("```")
        before = lines[-1] if lines else ""
        if LIST.match(line) and not is_code and before and not LIST.match(before) and before[0] != " ":
            lines.append("")
        lines.append(line)
    return "\n".join(lines), files


def list_of_decisions(paths):
    heads = {path.name: path.read_text(encoding="utf8").split("\n")[0].lstrip("# ") for path in paths}
    return "# Decisions\n\nWhy ringcast is built as it is, one page per decision.\n\n" + "".join(
        f"- [{name[:4]}]({name}) {head}\n" for name, head in sorted(heads.items()))


def main():
    shutil.rmtree(PAGES, ignore_errors=True)
    pages = {path.relative_to(ROOT): path for path in tidy.tracked("*.md")}
    files = set()
    texts = {DECISIONS: list_of_decisions([it for it in pages.values() if it.parent.name == "decisions"])}
    for name, path in pages.items():
        texts[name], linked = for_mkdocs(path.read_text(encoding="utf8"), path)
        files |= linked
    for name, text in texts.items():
        (PAGES / name).parent.mkdir(parents=True, exist_ok=True)
        (PAGES / name).write_text(text, encoding="utf8")
    for name in files:
        (PAGES / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, PAGES / name)
    return subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict",
                           "-f", "scripts/mkdocs.yml"], cwd=ROOT, check=False,
                          env=dict(os.environ, PYTHONPATH=str(SITE_PACKAGES), NO_MKDOCS_2_WARNING="1")).returncode


if __name__ == "__main__":
    sys.exit(main())
