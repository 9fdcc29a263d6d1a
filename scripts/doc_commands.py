"""The commands that the docs show, and the marks above them that say whether a test runs them.

A mark is a comment above a block of code, or above a paragraph or table with commands between
backticks; in a manual page it is a line above the .Dl line, and begins with .\\" :

  <!-- run -->                      tests/integration/test_docs.py runs it exactly as printed
  <!-- run beside: COMMAND -->      the same, beside this server
  <!-- run beside the same -->      the same, beside the server of the block before, which goes on
  <!-- run full -->                 the same, in ./test full only; also with beside:
  <!-- deploy -->                   tests/deploy/test_pages.py runs it as root, in one shell for each block
  <!-- output -->                   the output of the block before
  <!-- file: NAME -->               saved under this name for the commands of the page
  <!-- not run: REASON -->          no test runs it

A fenced block of Python that is marked is run, too; one of YAML is checked as a configuration.
"""
import dataclasses
import re

OURS = r"(?:zig-out/bin/)?ringcast(?:-(?:tap|bench|echo))?|\./run|\./test|zig"
OTHERS = (r"[\w./]*(?:bench|scripts|examples)/[\w./-]+\.(?:py|sh|js)|(?:/usr/bin/)?python3?|pip|npm|node|"
          r"openssl|curl|websocat|jq|apt|apt-get|sudo|docker|podman|kubectl|systemctl|taskset|numactl|"
          r"bpftrace|perf|gdb|git|cd|cp|export|mkdir|cat|install|until|chown|chmod|zcat|zstdcat|find|printf|echo|tail|grep|pgrep|kill|sysctl|man|"
          r"ulimit|prlimit|mkfifo|setsid|nginx|(?:fuzz|sim)_\w+|my-ticks|cc|\./publish")
COMMAND = re.compile(rf"(?:\$ )?(?:\w+=\S+ )*(?:{OURS}|{OTHERS})(?=\s|$)")
INLINE = re.compile(rf"`((?:taskset -c \d+ )?(?:{OURS}|[\w./]*examples/[^\s`]+|node) [^`]+)`")
MARK = re.compile(r'^(?:<!-- |\.\\" )(run\b.*?|deploy|output|file: .*?|not run: .*?)(?: -->)?$')
RUN = re.compile(r"run(?P<full> full)?(?: beside: (?P<beside>.+)| beside (?P<same>the same))?$")
SHELL = ("sh", "bash", "console")


@dataclasses.dataclass
class Block:
    """A block of code; or, is_prose, a paragraph or table that has commands between backticks."""
    page: str
    line: int
    info: str = ""
    lines: list = dataclasses.field(default_factory=list)
    mark: str = ""
    is_prose: bool = False

    @property
    def run(self):
        return RUN.match(self.mark)

    def commands_and_output(self):
        """Its commands, whole though they have several lines, and the lines that they print."""
        if self.is_prose:
            return INLINE.findall("\n".join(self.lines)), []
        commands, output, goes_on = [], [], False
        for line in self.lines:
            if goes_on:
                commands[-1] += "\n" + line
            elif COMMAND.match(line) and not line.endswith(":"):
                commands.append(line.removeprefix("$ "))
            else:
                output.append(line)
                continue
            goes_on = line.endswith("\\")
        return commands, [line for line in output if line.strip()]

    @property
    def has_commands(self):
        return self.info in SHELL or not self.info and bool(self.commands_and_output()[0])


def blocks_of_manual(page, text):
    mark = ""
    for number, line in enumerate(text.split("\n"), 1):
        found = MARK.match(line)
        if found:
            mark = found[1]
        elif line.startswith(".Dl "):
            command = line[4:].replace("\\(dq", '"').replace("\\-", "-")
            yield Block(page, number, lines=[command], mark=mark)
            mark = ""


def blocks_of_markdown(page, text):
    """Blocks of code are fenced, or indented by four."""
    block, mark, fence = None, "", None
    for number, line in enumerate(text.split("\n"), 1):
        if fence is not None and line.strip() != "```":
            block.lines.append(line[fence:])
            continue
        is_fence, is_code = line.strip().startswith("```"), line.startswith("    ")
        is_mark = MARK.match(line)
        if block is not None and (is_fence or is_mark or (
                not line.strip() if block.is_prose else line.strip() and not is_code)):
            yield block
            block = None
        if is_fence:
            fence = len(line) - len(line.lstrip()) if fence is None else None
        if is_mark:
            mark = is_mark[1]
        elif fence is not None or block is None and line.strip() and not is_fence:
            block = Block(page, number, line.strip(" `") if is_fence else "", mark=mark,
                          is_prose=not is_fence and not is_code)
            mark = ""
        if block is not None and not is_fence:
            block.lines.append(line if block.is_prose else line[4:])
    if block is not None:
        yield block


def blocks_of(page, text):
    made = blocks_of_manual if page.endswith(".1") else blocks_of_markdown
    return list(made(page, text))


def faults_of(page, text):
    """The faults of a page that tidy reports."""
    for block in blocks_of(page, text):
        where = f"{page}:{block.line}: "
        if block.mark.startswith("run") and not block.run:
            yield f"{where}`{block.mark}` is not a known mark: scripts/doc_commands.py lists them"
        if block.has_commands and not block.is_prose and not block.mark:
            yield (f"{where}commands without a mark: put `<!-- run -->` above them, or "
                   "`<!-- not run: REASON -->`; scripts/doc_commands.py lists all marks")
