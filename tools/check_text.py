"""Checks of the book's text: structure, alt text, length, wording, links.

What the build cannot see is checked here; each problem is one line, ``file:line: what and why``.

    python tools/check_text.py
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mystbook
from mystbook import Book, BookError, Directive, Heading, Page, Text

CELL_LINES = 25
CELL_COLUMNS = 88
PARAGRAPH_WORDS = 150
EXERCISES = 5
LEVELS = ("check", "code", "explore")  # a few minutes on paper; a function; an experiment
README_LINES = 100
CLOSING = ("Exercises", "Summary", "Further reading")
OBJECTIVES = "Objectives and prerequisites"
# Words that promise or scold instead of telling.
FILLER = (
    "in this chapter we will", "in this section we will", "it is easy to see", "it is well known",
    "needless to say", "as we all know", "of course", "note that", "simply", "obviously", "clearly",
    "trivially", "powerful", "state-of-the-art", "cutting-edge", "groundbreaking", "seamless",
    "delve", "deep dive", "leverage", "unleash", "game-changer", "in conclusion",
    "it's worth noting", "it is worth noting", "let's dive",
)  # fmt: skip
# Folders of a machine that would leak from an author's shell.
HOST_PATH = re.compile(r"(?<![\w.])/(?:work|root|home/\w+|Users/\w+|tmp|opt|mnt|srv)/")
LINK = re.compile(r"(?<!!)\[[^\]\[]+\]\((?P<target>[^)\s]+)\)")
ITEM = re.compile(r"\s*(?:[-*+]|\d+\.) ")
RAW_HEADING = re.compile(r"<h[1-6]\b", re.I)
REPO = re.compile(r"\{repo\}`([^`]+)`")
TEXT_FILES = ("", ".md", ".py", ".yml", ".toml", ".txt", ".js", ".css", ".cff", ".ipynb", ".bib")
TIME = re.compile(r"\*\*Time:\*\*(?=.*\bread\b)(?=.*\bCPU\b)(?=.*\bT4\b)", re.S)


def check_book(book: Book) -> Iterator[str]:
    """Every problem of every page."""
    for page in book.pages.values():
        for line, problem in check_page(book, page):
            yield f"{page.path.relative_to(book.root)}:{line}: {problem}"


def check_page(book: Book, page: Page) -> Iterator[tuple[int, str]]:
    """Line and problem, for one page."""
    if page.chapter is not None:
        yield from check_skeleton(page)
        yield from check_exercises(book, page)
    elif page.is_notebook and not any(
        TIME.search(b.source) for b in page.blocks if isinstance(b, Text)
    ):
        yield 1, "a page that runs says **Time:** minutes to read, to run on a CPU and on a T4"
    yield from check_headings(page)
    for block in page.walk():
        if isinstance(block, Directive) and block.name == "code-cell":
            yield from check_cell(block)
        elif isinstance(block, Directive) and block.name in ("figure", "image"):
            if not str(block.options.get("alt", "")).strip():
                yield block.line, "a picture needs :alt:"
            if not block.body.strip():
                yield block.line, "a picture needs a caption: text in the body of {figure}"
        elif isinstance(block, Text):
            yield from check_prose(book, page, block)


def check_skeleton(page: Page) -> Iterator[tuple[int, str]]:
    """A chapter opens with its objectives and closes with exercises, summary, further reading."""
    headings = [b for b in page.blocks if isinstance(b, Heading)]
    if not headings or headings[0].level != 1:
        yield 1, "a chapter starts with `# Title`"
        return
    if not any(label.startswith("ch-") for label in headings[0].labels):
        yield headings[0].line, "the title needs a label (ch-...)= on the line before"
    boxes = [b for b in page.blocks if isinstance(b, Directive) and b.argument == OBJECTIVES]
    if len(boxes) != 1 or boxes[0].name != "admonition" or boxes[0].options.get("class") != "tip":
        yield headings[0].line, f"one admonition {OBJECTIVES!r} (class tip) is needed"
    else:
        box = boxes[0]
        if not re.search(r"^[-*] ", box.body, re.M):
            yield box.line, "the objectives are a list"
        if "**Prerequisites:**" not in box.body or "{doc}" not in box.body:
            yield box.line, "say **Prerequisites:** with {doc} links"
        if not TIME.search(box.body):
            yield box.line, "say **Time:** minutes to read, to run on a CPU and on a T4"
        first = next((h.line for h in headings if h.level == 2), box.line + 1)
        if box.line > first:
            yield box.line, "the objectives come before the first section"
    sections = tuple(h.title for h in headings if h.level == 2)
    if sections[-3:] != CLOSING:
        yield (
            headings[-1].line,
            f"the last sections are {', '.join(CLOSING)}; found {sections[-3:]}",
        )


def check_exercises(book: Book, page: Page) -> Iterator[tuple[int, str]]:
    """Five exercises at least, of all three levels, each with one folded solution."""
    blocks = [b for b in page.walk() if isinstance(b, Directive)]
    exercises = [b for b in blocks if b.name in ("exercise", "exercise-start")]
    solutions = [b for b in blocks if b.name in ("solution", "solution-start")]
    if len(exercises) < EXERCISES:
        yield 1, f"a chapter has at least {EXERCISES} exercises; found {len(exercises)}"
    levels = [block.argument.partition(" · ")[0] for block in exercises]
    for level in LEVELS:
        if level not in levels:
            yield 1, f"no exercise of the level {level!r}"
    for kind in ("exercise", "solution"):
        starts = [b for b in blocks if b.name == f"{kind}-start"]
        ends = [b for b in blocks if b.name == f"{kind}-end"]
        if len(starts) != len(ends):
            yield 1, f"{len(starts)} {kind}-start, but {len(ends)} {kind}-end"
    for exercise in exercises:
        label = exercise.options.get("label")
        if not label:
            yield exercise.line, "an exercise needs a :label:"
            continue
        level = exercise.argument.partition(" · ")[0]
        if level not in LEVELS:
            yield exercise.line, f"the title begins with a level, such as '{LEVELS[0]} · '"
        number = book.labels[label].number
        check = f"check.ex_{number.replace('.', '_')}("
        if level == "code" and page.path.read_text(encoding="utf-8").count(check) < 2:
            yield exercise.line, f"exercise and solution call {check}...)"
        answers = [s for s in solutions if s.argument == label]
        if len(answers) != 1:
            yield exercise.line, f"the exercise {label} has {len(answers)} solutions, not 1"
    for solution in solutions:
        if "dropdown" not in str(solution.options.get("class", "")):
            yield solution.line, "a solution is folded: add `:class: dropdown`"


def check_headings(page: Page) -> Iterator[tuple[int, str]]:
    """One title; headings go down one level at a time."""
    level = 0
    for block in page.blocks:
        if isinstance(block, Heading):
            if block.level == 1 and level:
                yield block.line, "a page has one `#` title"
            if block.level > level + 1:
                yield block.line, f"heading level {block.level} follows level {level}"
            level = block.level


def check_cell(cell: Directive) -> Iterator[tuple[int, str]]:
    """Length of a cell; name, caption and alt text of the figure it makes."""
    lines = cell.body.split("\n")
    if len(lines) > CELL_LINES:
        yield cell.line, f"the cell has {len(lines)} lines; at most {CELL_LINES}"
    for offset, line in enumerate(lines):
        if len(line) > CELL_COLUMNS:
            yield (
                cell.body_line + offset,
                f"the line has {len(line)} columns; at most {CELL_COLUMNS}",
            )
    if {"remove-cell", "remove-output", "skip-execution"} & set(cell.tags):
        return
    for block in ("figure", "image"):
        if not isinstance((cell.options.get("mystnb") or {}).get(block) or {}, dict):
            yield cell.line, f"mystnb: {block} holds a text where `key: value` lines are needed"
    kind = figure_kind(cell.body)
    if cell.figure or kind:
        if not cell.figure.get("name"):
            yield cell.line, "a figure needs mystnb: figure: name"
        if not str(cell.figure.get("caption", "")).strip():
            yield cell.line, "a figure needs mystnb: figure: caption"
    words = len(str(cell.figure.get("caption", "")).split())
    if words > PARAGRAPH_WORDS:
        yield cell.line, f"the caption has {words} words; at most {PARAGRAPH_WORDS}"
    if kind == "matplotlib" and not str(cell.image.get("alt", "")).strip():
        yield cell.line, "a matplotlib figure needs mystnb: image: alt"


def figure_kind(code: str) -> str:
    """``matplotlib``, ``plotly``, or "" where the code makes no figure that can be told from here.

    The code tells: ``plt.subplots``, ``plt.figure`` or ``figures.`` (the library's still figures)
    make pictures; a last expression ``fig`` shows a figure. What is missed, the build finds: a
    picture without alt text, or a plotly figure without ``layout.meta.alt``, is an error there.
    """
    if re.search(r"\bplt\.(subplots|figure|imshow|subplot_mosaic)\(", code):
        return "matplotlib"
    if re.search(r"\bgo\.Figure\(", code):
        try:
            tree = ast.parse(code)
        except SyntaxError:
            return ""
        last = tree.body[-1] if tree.body else None
        if isinstance(last, ast.Expr):
            return "plotly"
    return ""


def check_prose(book: Book, page: Page, block: Text) -> Iterator[tuple[int, str]]:
    """Length and wording of paragraphs, balanced dollars, links."""
    offset = 0
    for paragraph in re.split(r"(\n\s*\n)", block.source):
        line = block.line + offset
        offset += paragraph.count("\n")
        if not paragraph.strip():
            continue
        table = paragraph.lstrip().startswith("|")
        for part in re.split(rf"\n(?={ITEM.pattern})", paragraph):
            kind, words = "paragraph", len(part.split())
            if ITEM.match(part):
                kind, words = "item of a list", words - 1  # its mark is no word
            if words > PARAGRAPH_WORDS and not table:
                yield line, f"the {kind} has {words} words; at most {PARAGRAPH_WORDS}"
        plain = re.sub(r"`[^`]*`", "", paragraph)
        if RAW_HEADING.search(plain):
            yield line, "a heading in HTML: write it with #"
        for phrase in FILLER:
            if re.search(rf"(?<![\w-]){re.escape(phrase)}(?![\w-])", plain, re.I):
                yield line, f"filler: {phrase!r}"
        if len(re.findall(r"(?<!\\)\$", plain)) % 2:
            yield line, "an odd number of $: write \\$ for a dollar"
        for match in LINK.finditer(plain):
            yield from check_link(book, page, match["target"], line)
        for match in REPO.finditer(paragraph):
            try:
                mystbook.repository_place(book.root, match[1])
            except BookError as error:
                yield line, str(error)


def check_link(book: Book, page: Page, target: str, line: int) -> Iterator[tuple[int, str]]:
    """A link inside the repository must lead somewhere."""
    if re.match(r"[a-z]+:", target):
        return
    path, _, anchor = target.partition("#")
    if not path:
        if anchor not in book.labels:
            yield line, f"no label {anchor!r}"
    elif not (page.path.parent / path).exists():
        yield line, f"no file {path!r}"


def check_readme(root: Path) -> Iterator[str]:
    """README: short, and its links lead somewhere."""
    text = (root / "README.md").read_text(encoding="utf-8")
    lines = len(text.splitlines())
    if lines > README_LINES:
        yield f"README.md:1: {lines} lines; at most {README_LINES}"
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        if not (root / name).exists():
            yield f"{name}:1: missing"
            continue
        for number, line in enumerate((root / name).read_text(encoding="utf-8").split("\n"), 1):
            for match in LINK.finditer(line):
                path = match["target"].partition("#")[0]
                if path and not re.match(r"[a-z]+:", path) and not (root / path).exists():
                    yield f"{name}:{number}: no file {path!r}"


def check_host_paths(root: Path) -> Iterator[str]:
    """No file of the repository names a folder of the machine where it was written."""
    for path in repository_files(root):
        if path.suffix not in TEXT_FILES:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            if match := HOST_PATH.search(line):
                yield f"{path.relative_to(root)}:{number}: a machine's own path: {match[0]}"


def repository_files(root: Path) -> list[Path]:
    """What git tracks or would track; without git, the folders that hold text."""
    command = [
        "git",
        "-C",
        str(root),
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    try:
        names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split(
            "\0"
        )
        return [root / name for name in names if name and (root / name).is_file()]
    except (OSError, subprocess.CalledProcessError):
        folders = (
            "book",
            "mcmcot_lite",
            "tests",
            "tools",
            "_ext",
            "_static",
            "notebooks",
            ".github",
        )
        return [p for folder in folders for p in (root / folder).rglob("*") if p.is_file()]


def check_all(root: Path = mystbook.ROOT) -> list[str]:
    """Every problem of the book and of the files around it."""
    try:
        book = mystbook.load(root)
    except BookError as error:
        return [str(error)]
    return [*check_book(book), *check_readme(root), *check_host_paths(root)]


def main() -> int:
    """Prints the problems; the exit code is 1 if there are any."""
    problems = check_all()
    print("\n".join(problems) if problems else "the book's text: no problem found")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
