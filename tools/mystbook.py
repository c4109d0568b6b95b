"""The book's sources as data: pages, blocks, labels, and the numbers that Sphinx gives them.

Three programs read the sources through this module: ``make_notebooks.py``, ``check_text.py`` and
the Sphinx extension, which compares the numbers found here with its own and so keeps "(3.1)" in a
notebook equal to "(3.1)" on the page.

The grammar is the part of MyST Markdown that the book uses: fenced directives (with backticks or
colons, nested with longer fences), ``(label)=`` targets, headings, and paragraphs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|:{3,}|~{3,})(?P<info>.*)$")
DIRECTIVE = re.compile(r"^\{(?P<name>[\w:+-]+)\}\s*(?P<argument>.*)$")
HEADING = re.compile(r"^(?P<marks>#{1,6})\s+(?P<title>.+?)\s*#*$")
TARGET = re.compile(r"^\((?P<label>[\w:.-]+)\)=\s*$")
OPTION = re.compile(r"^:(?P<key>[\w-]+):(?P<value>.*)$")
COUNTED_PROOFS = ("algorithm", "definition", "theorem", "lemma", "proposition", "remark", "example")


class BookError(ValueError):
    """A source that the book's tools cannot read; the message names the file and the line."""


@dataclass(frozen=True)
class Heading:
    """``## Title``, with the labels in front of it."""

    level: int
    title: str
    labels: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Text:
    """Running Markdown: paragraphs, lists, tables, display formulas."""

    source: str
    line: int


@dataclass(frozen=True)
class Verbatim:
    """A plain fenced code block: nothing in it is Markdown."""

    source: str
    line: int
    indent: str = ""


@dataclass(frozen=True)
class Directive:
    """A fenced directive; ``body`` is without its options."""

    name: str
    argument: str
    options: dict[str, Any]
    body: str
    line: int
    body_line: int
    indent: str = ""

    @cached_property
    def blocks(self) -> list[Block]:
        """The body, parsed."""
        return parse(self.body, self.body_line)

    @property
    def tags(self) -> list[str]:
        """A code cell's tags."""
        return list(self.options.get("tags") or [])

    @property
    def figure(self) -> dict[str, Any]:
        """A code cell's ``mystnb: figure`` block."""
        return self._mystnb("figure")

    @property
    def image(self) -> dict[str, Any]:
        """A code cell's ``mystnb: image`` block."""
        return self._mystnb("image")

    def _mystnb(self, key: str) -> dict[str, Any]:
        """Empty where the block is missing, or is no mapping (a line of it was lost)."""
        block = (self.options.get("mystnb") or {}).get(key)
        return block if isinstance(block, dict) else {}


Block = Heading | Text | Verbatim | Directive


@dataclass(frozen=True)
class Label:
    """What a reference points at; ``number`` is "3.1", or "" where there is none."""

    name: str
    kind: str  # section, equation, figure, table, exercise, solution, or a proof kind
    page: str
    number: str
    title: str


@dataclass
class Page:
    """One source file."""

    name: str
    path: Path
    meta: dict[str, Any]
    blocks: list[Block]
    chapter: int | None = None
    labels: dict[str, Label] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The text of the first heading."""
        return next((b.title for b in self.blocks if isinstance(b, Heading)), self.name)

    @property
    def is_notebook(self) -> bool:
        """Whether the page has a kernel."""
        return "kernelspec" in self.meta

    def walk(self) -> Iterator[Block]:
        """Every block, parents before children."""
        return walk(self.blocks)


@dataclass
class Book:
    """All pages in the order of the table of contents."""

    root: Path
    config: dict[str, Any]
    pages: dict[str, Page]
    labels: dict[str, Label]
    terms: set[str]

    @property
    def repository(self) -> str:
        """The repository's URL."""
        return str(self.config["repository"]["url"]).rstrip("/")

    @property
    def branch(self) -> str:
        """The branch that badges and links point at."""
        return str(self.config["repository"]["branch"])


def walk(blocks: list[Block]) -> Iterator[Block]:
    """Every block and everything nested in it, in reading order."""
    for block in blocks:
        yield block
        if isinstance(block, Directive) and block.name not in ("code-cell", "math", "code-block"):
            yield from walk(block.blocks)


def split_front_matter(source: str) -> tuple[dict[str, Any], str, int]:
    """The YAML block at the head, the rest, and the rest's first line number."""
    if not source.startswith("---\n"):
        return {}, source, 1
    head, rest = source[4:].split("\n---\n", 1)
    return yaml.safe_load(head) or {}, rest, head.count("\n") + 4


def parse_options(lines: list[str]) -> tuple[dict[str, Any], int]:
    """Options at the head of a directive (a ``---`` block or ``:key: value`` lines), lines used."""
    if lines and lines[0].strip() == "---":
        end = next(i for i, line in enumerate(lines[1:], 1) if line.strip() == "---")
        return yaml.safe_load("\n".join(lines[1:end])) or {}, end + 1
    used, options = 0, {}
    for line in lines:
        match = OPTION.match(line)
        if not match:
            break
        value = match["value"].strip()
        options[match["key"]] = yaml.safe_load(value) if value[:1] in "[{\"'" else value
        used += 1
    return options, used


def parse(source: str, first_line: int = 1) -> list[Block]:
    """Blocks of a Markdown text. ``first_line`` is the number of its first line in the file."""
    lines = source.split("\n")
    blocks: list[Block] = []
    text: list[str] = []
    labels: list[str] = []
    start = 0

    def flush(end: int) -> None:
        body = "\n".join(text)
        if body.strip():
            blocks.append(Text(body.strip("\n"), first_line + end - len(text)))
        text.clear()

    i = 0
    while i < len(lines):
        line, number = lines[i], first_line + i
        if match := FENCE.match(line):
            flush(i)
            indent, fence, info = match["indent"], match["fence"], match["info"].strip()
            start, i = i, i + 1
            closing = re.compile(rf"^ *{re.escape(fence[0])}{{{len(fence)},}}\s*$")
            while i < len(lines) and not closing.match(lines[i]):
                i += 1
            if i == len(lines):
                raise BookError(f"line {number}: the fence {fence}{info} is not closed")
            body = [x.removeprefix(indent) for x in lines[start + 1 : i]]
            directive = DIRECTIVE.match(info)
            if directive is None:
                if fence[0] == ":":
                    raise BookError(f"line {number}: {fence} needs {{a directive}}, got {info!r}")
                whole = "\n".join([fence + info, *body, fence])
                blocks.append(Verbatim(whole, number, indent))
            else:
                try:
                    options, used = parse_options(body)
                except (yaml.YAMLError, StopIteration) as error:
                    said = str(error).split("\n")[0] or "no closing ---"
                    raise BookError(f"line {number}: the options cannot be read: {said}") from None
                if labels and "label" not in options:
                    options["targets"] = tuple(labels)
                blocks.append(
                    Directive(
                        directive["name"],
                        directive["argument"].strip(),
                        options,
                        "\n".join(body[used:]).strip("\n"),
                        number,
                        number + 1 + used + _leading_blank(body[used:]),
                        indent,
                    )
                )
            labels.clear()
        elif match := TARGET.match(line):
            flush(i)
            labels.append(match["label"])
        elif match := HEADING.match(line):
            flush(i)
            blocks.append(Heading(len(match["marks"]), match["title"], tuple(labels), number))
            labels.clear()
        else:
            text.append(line)
        i += 1
    flush(len(lines))
    return blocks


def _leading_blank(lines: list[str]) -> int:
    return next((i for i, line in enumerate(lines) if line.strip()), 0)


def read_page(path: Path) -> Page:
    """One source file, parsed."""
    meta, body, first = split_front_matter(path.read_text(encoding="utf-8"))
    try:
        return Page(path.stem, path, meta, parse(body, first))
    except BookError as error:
        raise BookError(f"{path.name}: {error}") from None


def load(root: Path = ROOT) -> Book:
    """The whole book, numbered as Sphinx numbers it."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    names: list[tuple[str, bool]] = [(toc["root"], False)]
    for part in toc["parts"]:
        numbered = bool(part.get("numbered"))
        names += [(chapter["file"], numbered) for chapter in part["chapters"]]
    pages: dict[str, Page] = {}
    chapter = 0
    for name, numbered in names:
        page = read_page(root / f"{name}.md")
        if numbered:
            chapter += 1
            page.chapter = chapter
        pages[page.name] = page
    book = Book(root, config, pages, {}, set())
    _number(book)
    return book


def _number(book: Book) -> None:
    """Gives every label its number: ``chapter.count``, one counter for each kind and chapter."""
    counts: dict[tuple[str, int | None], int] = {}
    unnamed = 0

    for page in book.pages.values():
        sections = [page.chapter or 0, 0, 0, 0, 0, 0]

        def add(name: str | None, kind: str, title: str, number: str, page: Page = page) -> None:
            nonlocal unnamed
            if not name:
                unnamed += 1
                name = f"unnamed-{unnamed}"
            if name in book.labels:
                raise BookError(f"{page.path.name}: the label {name!r} is used twice")
            book.labels[name] = page.labels[name] = Label(name, kind, page.name, number, title)

        def count(kind: str, page: Page = page) -> str:
            key = (kind, page.chapter)
            counts[key] = counts.get(key, 0) + 1
            return f"{page.chapter}.{counts[key]}" if page.chapter else str(counts[key])

        for block in page.walk():
            if isinstance(block, Heading):
                level = block.level - 1
                if level:
                    sections[level] += 1
                    sections[level + 1 :] = [0] * (5 - level)
                number = ".".join(map(str, sections[: level + 1])) if page.chapter else ""
                for label in block.labels:
                    add(label, "section", block.title, number)
            elif isinstance(block, Directive):
                _number_directive(book, block, add, count)


def _number_directive(book: Book, block: Directive, add: Any, count: Any) -> None:
    options, name = block.options, block.name
    label = options.get("label") or options.get("name")
    for target in options.get("targets", ()):
        add(target, "target", block.argument, "")
    if name == "math":
        if label:
            add(label, "equation", "", count("equation"))
    elif name == "code-cell":
        if block.figure.get("caption"):
            add(block.figure.get("name"), "figure", "", count("figure"))
    elif name == "figure":
        if block.body.strip():
            add(label, "figure", "", count("figure"))
    elif name in ("table", "list-table"):
        if block.argument:
            add(label, "table", block.argument, count("table"))
    elif name in ("exercise", "exercise-start"):
        add(label, "exercise", block.argument, count("exercise"))
    elif name in ("solution", "solution-start"):
        add(label, "solution", block.argument, "")
    elif name.startswith("prf:") and name[4:] in COUNTED_PROOFS:
        add(label, name[4:], block.argument, count(name[4:]))
    elif name == "glossary":
        book.terms |= {term.lower() for term in glossary(block.body)}


def glossary(body: str) -> dict[str, str]:
    """Terms and definitions: a term starts its line, its definition is indented below it."""
    terms: dict[str, list[str]] = {}
    current = ""
    for line in body.split("\n"):
        if line.strip() and not line.startswith(" "):
            current = line.strip()
            terms[current] = []
        elif current:
            terms[current].append(line.strip())
    return {term: " ".join(text).strip() for term, text in terms.items()}


def repository_place(root: Path, text: str) -> tuple[str, str]:
    """Words and address, below the repository's, of the role ``repo``.

    ``path``, or ``words <path>``; after ``::`` a function or class, whose line is found.
    """
    match = re.match(r"^(?P<words>.*?)\s*<(?P<target>[^<>]+)>$", text)
    words, target = (match["words"], match["target"]) if match else (text, text)
    path, _, name = target.partition("::")
    file = root / path
    if not file.exists():
        raise BookError(f"no file {path} in the repository")
    if not name:
        return words, path
    defined = re.compile(rf"^\s*(?:def|class)\s+{re.escape(name)}\b")
    lines = file.read_text(encoding="utf-8").splitlines()
    found = [i for i, line in enumerate(lines, 1) if defined.match(line)]
    if not found:
        raise BookError(f"{path} defines no {name}")
    return words, f"{path}#L{found[0]}"
