"""Writes notebooks/*.ipynb (for Colab, local Jupyter and nbval) from book/*.md.

The notebooks are a pure function of the sources: the same text gives the same bytes. Every
directive and role is either rewritten as plain Markdown or an error, so that none leaks.

    python tools/make_notebooks.py           write
    python tools/make_notebooks.py --check   exit 1 and name what is stale, missing or orphaned
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mystbook
from mystbook import Book, BookError, Directive, Heading, Page, Text, Verbatim
from pybtex.database import BibliographyData, Entry, parse_file
from pybtex.richtext import Text as RichText

RELEASE = "v0.1.0"  # the tag that a notebook on Colab clones
SETUP = """\
# @title Setup: run this cell first { display-mode: "form" }
import os, sys
from importlib.util import find_spec
from pathlib import Path
from subprocess import run
DRIVE = False  # @param {type:"boolean"}  # True on Colab: keep results in your Google Drive
FAST = os.environ.get("MCMCOT_FAST", "1") != "0"  # False: larger runs, where a notebook has them
SEED = 0
@MODE@here, known = Path.cwd(), find_spec("mcmcot_lite")
folders = [here, *here.parents, *([Path(known.origin).parents[1]] if known else [])]
ROOT = next((p for p in folders if (p / "mcmcot_lite" / "__init__.py").is_file()), None)
if "google.colab" in sys.modules:
    ROOT = Path("/content/@NAME@")
    clone = ["git", "clone", "-q", "--depth=1", "@REPOSITORY@", str(ROOT)]
    if not ROOT.exists() and run([*clone, "--branch=@RELEASE@"]).returncode:
        run(clone, check=True)  # no such release yet: the latest state
    wanted = {@WANTED@, "mcmcot_lite": str(ROOT)}
    missing = [wanted[name] for name in wanted if find_spec(name) is None]
    if missing:  # without dependencies: torch and numpy stay as Colab ships them
        run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", *missing], check=True)
sys.path.insert(0, str(ROOT))  # None: start Jupyter inside a clone of the book's repository
import torch
from mcmcot_lite.notebook import start  # sets all seeds, says what is here
DEVICE = start(ROOT, SEED, cuda=torch.cuda.is_available(), drive=DRIVE@TOLD@)
"""
MODE = """\
MODE = "look"  # @param ["look", "quick", "full"]
"""
COLAB = "https://colab.research.google.com"

ADMONITIONS = (
    "admonition",
    "note",
    "tip",
    "warning",
    "important",
    "hint",
    "caution",
    "seealso",
    "danger",
    "attention",
    "error",
)
SILENT = ("index", "exercise-end", "solution-end", "tableofcontents")
INLINE = re.compile(
    r"\{(?P<role>[\w:+-]+)\}(?P<ticks>`+)(?P<text>.+?)(?P=ticks)(?!`)"
    r"|(?P<code>(?<!`)(?P<fence>`+)(?!`).+?(?<!`)(?P=fence)(?!`))"
    r"|(?P<math>\$\$.+?\$\$|(?<![\\$])\$(?!\s).+?(?<![\\\s])\$)",
    re.S,
)
LEAK = re.compile(r"\{[\w:+-]+\}`|^\s*:{3,}|^\s*`{3,}\{|^\([\w-]+\)=|\{\{|\]\{[.#]", re.M)


class Notebook:
    """One page on its way to a notebook: Markdown is gathered until a code cell cuts it."""

    def __init__(self, book: Book, page: Page, bibliography: BibliographyData) -> None:
        self.book, self.page, self.bibliography = book, page, bibliography
        self.cells: list[dict[str, Any]] = []
        self.markdown: list[str] = []
        self.cited: list[str] = []
        self.folded: list[str] = []
        self.seen_ids: dict[str, int] = {}

    # -- cells

    def build(self) -> dict[str, Any]:
        """The notebook as JSON data."""
        self.add_setup()
        self.add_blocks(self.page.blocks)
        if self.cited:
            entries = "\n".join(self.reference(key) for key in sorted(self.cited))
            self.markdown.append(f"## References\n\n{entries}")
        self.flush()
        wants_gpu = bool((self.page.meta.get("colab") or {}).get("gpu"))
        metadata: dict[str, Any] = {
            "colab": {"collapsed_sections": self.folded, "provenance": [], "toc_visible": True},
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        if wants_gpu:
            metadata["accelerator"] = "GPU"
            metadata["colab"]["gpuType"] = "T4"
        return {"cells": self.cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}

    def add_setup(self) -> None:
        owner = self.book.repository.removeprefix("https://github.com/")
        path = f"github/{owner}/blob/{self.book.branch}/notebooks/{self.page.name}.ipynb"
        self.markdown.append(f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({COLAB}/{path})")
        self.flush()
        setup = SETUP.replace("@REPOSITORY@", self.book.repository).replace("@RELEASE@", RELEASE)
        setup = setup.replace("@NAME@", self.book.repository.rsplit("/", 1)[1])
        wants = self.page.meta.get("colab") or {}
        names = {"ot": "pot", "mlxtend": "mlxtend"} | {n: n for n in wants.get("packages", ())}
        wanted = ", ".join(f'"{name}": "{package}"' for name, package in names.items())
        told = ", gpu=True, fast=FAST" if wants.get("gpu") else ""
        told += ", mode=MODE" if wants.get("modes") else ""
        setup = setup.replace("@MODE@", MODE if wants.get("modes") else "")
        setup = setup.replace("@WANTED@", wanted).replace("@TOLD@", told)
        self.add_code(setup, {"cellView": "form", "tags": ["nbval-ignore-output"]})

    def cell_id(self, source: str) -> str:
        digest = hashlib.sha256(f"{self.page.name}\n{source}".encode()).hexdigest()[:12]
        again = self.seen_ids[digest] = self.seen_ids.get(digest, -1) + 1
        return f"{digest}-{again}" if again else digest

    def flush(self) -> None:
        source = "\n\n".join(part.strip("\n") for part in self.markdown if part.strip())
        self.markdown.clear()
        if not source:
            return
        if leak := LEAK.search(_without_code(source)):
            line = source[leak.start() :].split("\n")[0]
            raise BookError(f"{self.page.path.name}: raw MyST left in the notebook: {line!r}")
        name = self.cell_id(source)
        metadata: dict[str, Any] = {}
        if source.startswith("#### Solution"):
            metadata = {"id": name, "jp-MarkdownHeadingCollapsed": True}
            self.folded.append(name)
        self.cells.append(
            {"cell_type": "markdown", "id": name, "metadata": metadata, "source": _lines(source)}
        )

    def add_code(self, source: str, metadata: dict[str, Any], expected: str | None = None) -> None:
        self.flush()
        source = source.strip("\n")
        outputs: list[dict[str, Any]] = []
        if expected is not None:
            text = expected if expected.endswith("\n") else expected + "\n"
            outputs = [{"name": "stdout", "output_type": "stream", "text": _lines(text)}]
        self.cells.append(
            {
                "cell_type": "code",
                "execution_count": 1 if outputs else None,  # nbval: outputs need a run
                "id": self.cell_id(source),
                "metadata": metadata,
                "outputs": outputs,
                "source": _lines(source),
            }
        )

    # -- blocks

    def add_blocks(self, blocks: list[mystbook.Block]) -> None:
        """Top-level blocks; the only place where code cells may stand."""
        for position, block in enumerate(blocks):
            if isinstance(block, Directive) and block.name == "code-cell":
                self.add_code_cell(block)
            elif isinstance(block, Directive) and block.name == "solution-start":
                self.add_gated_solution(block, blocks[position + 1 :])
            elif isinstance(block, Directive) and block.name == "figure":
                self.add_picture(block)
            else:
                self.markdown.append(self.block(block))

    def add_code_cell(self, block: Directive) -> None:
        tags = block.tags
        if "remove-cell" in tags and "keep-in-notebook" not in tags:
            return
        expected = block.options.get("expected")
        if (expected is None) == ("nbval-check-output" in tags):
            raise self.error(block, "`expected` and the tag nbval-check-output go together")
        hidden = {"remove-cell", "keep-in-notebook"}
        kept = [tag for tag in tags if tag not in hidden]
        if "skip-execution" in tags:
            kept.append("nbval-skip")
        metadata: dict[str, Any] = {"tags": kept} if kept else {}
        if "hide-input" in tags:
            metadata["jupyter"] = {"source_hidden": True}
        self.add_code(block.body, metadata, expected)
        if caption := block.figure.get("caption"):
            label = self.book.labels[block.figure["name"]]
            self.markdown.append(f"**Fig. {label.number}** " + self.inline(caption.strip()))

    def add_gated_solution(self, block: Directive, rest: list[mystbook.Block]) -> None:
        self.flush()  # so that the heading starts a cell of its own, which Colab folds
        target = self.book.labels.get(block.argument)
        if target is None:
            raise self.error(block, f"no exercise {block.argument!r}")
        self.markdown.append(f"#### Solution to Exercise {target.number}")
        if not any(isinstance(b, Directive) and b.name == "solution-end" for b in rest):
            raise self.error(block, "solution-start without solution-end")

    def add_picture(self, block: Directive) -> None:
        """A picture file: a code cell shows it, since Colab resolves no relative image path."""
        path = (self.page.path.parent / block.argument).resolve()
        if not path.is_file():
            raise self.error(block, f"no picture {block.argument}")
        relative = path.relative_to(self.book.root).as_posix()
        code = f'display(Image(filename=str(ROOT / "{relative}")))'
        self.add_code(f"from IPython.display import Image, display\n\n{code}", {"cellView": "form"})
        self.markdown.append(self.caption(block))

    def caption(self, block: Directive) -> str:
        label = self.book.labels.get(block.options.get("name", ""))
        head = f"**Fig. {label.number}** " if label else ""
        alt = block.options.get("alt", "")
        return head + self.markdown_of(block.blocks) + (f"\n\n*Picture: {alt}*" if alt else "")

    def error(self, block: Directive, message: str) -> BookError:
        return BookError(f"{self.page.path.name}, line {block.line}: {message}")

    def block(self, block: mystbook.Block) -> str:
        """Plain Markdown for one block."""
        if isinstance(block, Heading):
            return "#" * block.level + " " + self.inline(block.title)
        if isinstance(block, Verbatim):
            return _indent(block.source, block.indent)
        if isinstance(block, Text):
            lines = [x for x in block.source.split("\n") if not x.startswith("% ")]
            return self.inline("\n".join(lines))
        return _indent(self.directive(block), block.indent)

    def markdown_of(self, blocks: list[mystbook.Block]) -> str:
        return "\n\n".join(text for block in blocks if (text := self.block(block)).strip())

    def directive(self, block: Directive) -> str:
        name = block.name
        if name in SILENT:
            return ""
        if name in ADMONITIONS:
            return self.quoted(block, self.inline(block.argument) or name.capitalize())
        if name.startswith("prf:"):
            return self.proof(block)
        handlers: dict[str, Callable[[Directive], str]] = {
            "math": self.math,
            "exercise": self.exercise,
            "exercise-start": self.exercise,
            "solution": self.solution,
            "dropdown": self.dropdown,
            "tab-set": lambda b: self.markdown_of(b.blocks),
            "tab-item": lambda b: f"**{self.inline(b.argument)}**\n\n{self.markdown_of(b.blocks)}",
            "glossary": self.glossary,
            "table": self.table,
            "list-table": self.list_table,
            "code-block": lambda b: f"```{b.argument}\n{b.body}\n```",
            "bibliography": lambda b: "",
        }
        if name not in handlers:
            raise self.error(block, f"the directive {{{name}}} has no plain form (or not here)")
        return handlers[name](block)

    def math(self, block: Directive) -> str:
        label = block.options.get("label")
        tag = f" \\tag{{{self.book.labels[label].number}}}" if label else ""
        return f"$$\n{block.body.strip()}{tag}\n$$"

    def quoted(self, block: Directive, title: str) -> str:
        body = f"**{title}**\n\n{self.markdown_of(block.blocks)}".strip()
        return "\n".join(f"> {line}".rstrip() for line in body.split("\n"))

    def proof(self, block: Directive) -> str:
        kind = block.name[4:]
        label = self.book.labels.get(block.options.get("label", ""))
        head = f"{kind.capitalize()} {label.number}" if label else kind.capitalize()
        title = f" ({self.inline(block.argument)})" if block.argument else ""
        return f"**{head}**{title}\n\n{self.markdown_of(block.blocks)}"

    def exercise(self, block: Directive) -> str:
        label = self.book.labels[block.options["label"]]
        title = f": {self.inline(block.argument)}" if block.argument else ""
        return f"### Exercise {label.number}{title}\n\n{self.markdown_of(block.blocks)}"

    def solution(self, block: Directive) -> str:
        target = self.book.labels.get(block.argument)
        if target is None:
            raise self.error(block, f"no exercise {block.argument!r}")
        return self.details(f"Solution to Exercise {target.number}", block)

    def dropdown(self, block: Directive) -> str:
        return self.details(_plain(self.inline(block.argument)), block)

    def details(self, summary: str, block: Directive) -> str:
        body = self.markdown_of(block.blocks)
        return f"<details>\n<summary><b>{summary}</b></summary>\n\n{body}\n\n</details>"

    def glossary(self, block: Directive) -> str:
        terms = mystbook.glossary(block.body)
        return "\n".join(f"- **{term}**: {self.inline(text)}" for term, text in terms.items())

    def table(self, block: Directive) -> str:
        return self.table_title(block) + self.markdown_of(block.blocks)

    def table_title(self, block: Directive) -> str:
        if not block.argument:
            return ""
        label = self.book.labels.get(block.options.get("name", ""))
        head = f"**Table {label.number}** " if label else ""
        return f"{head}{self.inline(block.argument)}\n\n"

    def list_table(self, block: Directive) -> str:
        rows: list[list[str]] = []
        for line in block.body.split("\n"):
            if match := re.match(r"^\* - ?(.*)$", line):
                rows.append([match[1]])
            elif match := re.match(r"^ {2}- ?(.*)$", line):
                rows[-1].append(match[1])
            elif line.strip():
                rows[-1][-1] += " " + line.strip()
        if not int(block.options.get("header-rows", 0)):
            rows.insert(0, [""] * len(rows[0]))
        cells = [[self.inline(cell) for cell in row] for row in rows]
        cells.insert(1, ["---"] * len(rows[0]))
        return self.table_title(block) + "\n".join("| " + " | ".join(row) + " |" for row in cells)

    # -- inline text

    def inline(self, text: str) -> str:
        """Roles and links in running text; code spans and formulas stay as they are."""
        out, last = [], 0
        for match in INLINE.finditer(text):
            out.append(self.links(text[last : match.start()]))
            last = match.end()
            if match["role"]:
                out.append(self.role(match["role"], match["text"].replace("\n", " ").strip()))
            else:
                out.append(match[0])
        return "".join(out) + self.links(text[last:])

    def links(self, text: str) -> str:
        if match := re.search(r"!\[[^\]]*\]\((?!https?:)", text):
            raise BookError(f"{self.page.path.name}: use the figure directive for {match[0]}...")

        def swap(match: re.Match[str]) -> str:
            words, target = match[1], match[2]
            if target.startswith("#"):
                return f"[{words}]({self.address(self.label(target[1:]))})"
            if re.match(r"[a-z]+:", target):
                return match[0]
            path, _, anchor = target.partition("#")
            if path.endswith(".md") and "/" not in path and path[:-3] in self.book.pages:
                return f"[{words}]({self.page_address(path[:-3])}{'#' + anchor if anchor else ''})"
            return f"[{words}]({self.file_address(path)})"

        return re.sub(r"(?<!!)\[([^\]\[]+)\]\(([^)\s]+)\)", swap, text)

    def label(self, name: str) -> mystbook.Label:
        if name not in self.book.labels:
            raise BookError(f"{self.page.path.name}: nothing is labelled {name!r}")
        return self.book.labels[name]

    def page_address(self, name: str) -> str:
        if self.book.pages[name].is_notebook:
            return f"{name}.ipynb"
        return f"{self.book.repository}/blob/{self.book.branch}/book/{name}.md"

    def file_address(self, path: str) -> str:
        full = (self.page.path.parent / path).resolve()
        return self.repository_address(full.relative_to(self.book.root).as_posix())

    def repository_address(self, path: str) -> str:
        if not (self.book.root / path).exists():
            raise BookError(f"{self.page.path.name}: no file {path} in the repository")
        return f"{self.book.repository}/blob/{self.book.branch}/{path}"

    def address(self, label: mystbook.Label) -> str:
        """Where a label is: the other notebook, or "" when it is in this one."""
        return "" if label.page == self.page.name else self.page_address(label.page)

    def linked(self, words: str, label: mystbook.Label) -> str:
        target = self.address(label)
        return f"[{words}]({target})" if target else words

    def role(self, role: str, text: str) -> str:
        """Plain Markdown for one role."""
        words, target = text, text
        if match := re.match(r"^(.*?)\s*<([^<>]+)>$", text):
            words, target = match[1], match[2]
        explicit = words if words != target else ""
        match role:
            case "math":
                return f"${text}$"
            case "kbd" | "sub" | "sup":
                return f"<{role}>{text}</{role}>"
            case "cite:t" | "cite:p" | "cite":
                return self.cite(role, text)
            case "term":
                if target.lower() not in self.book.terms:
                    raise BookError(f"{self.page.path.name}: no glossary entry {target!r}")
                return f"*{words}*"
            case "doc":
                name = target.removeprefix("./")
                if name not in self.book.pages:
                    raise BookError(f"{self.page.path.name}: no page {target!r}")
                return f"[{explicit or self.book.pages[name].title}]({self.page_address(name)})"
            case "repo":
                try:
                    words, path = mystbook.repository_place(self.book.root, text)
                except BookError as error:
                    raise BookError(f"{self.page.path.name}: {error}") from None
                return f"[`{words}`]({self.book.repository}/blob/{self.book.branch}/{path})"
            case "download":
                return f"[{words}]({self.file_address(target)})"
            case "eq":
                label = self.label(target)
                return self.linked(f"({label.number})", label)
            case "ref" | "numref" | "prf:ref":
                label = self.label(target)
                return self.linked(self.reference_words(role, label, explicit), label)
            case _:
                raise BookError(f"{self.page.path.name}: the role {{{role}}} has no plain form")

    def reference_words(self, role: str, label: mystbook.Label, explicit: str) -> str:
        if role == "numref" and explicit:
            return explicit.replace("%s", label.number).replace("{number}", label.number)
        if explicit:
            return explicit
        names = {"figure": "Fig.", "table": "Table", "section": "Section", "exercise": "Exercise"}
        if label.kind == "section" and role == "ref":
            return label.title
        if label.kind == "solution":
            return f"Solution to Exercise {self.label(label.title).number}"
        if not label.number:
            raise BookError(f"{self.page.path.name}: {label.name!r} has no number to refer to")
        return f"{names.get(label.kind, label.kind.capitalize())} {label.number}"

    # -- citations

    def entry(self, key: str) -> Entry:
        if key not in self.bibliography.entries:
            raise BookError(f"{self.page.path.name}: {key!r} is not in references.bib")
        return self.bibliography.entries[key]

    def cite(self, role: str, text: str) -> str:
        keys = [key.strip() for key in text.split(",")]
        self.cited += [key for key in keys if key not in self.cited]
        pairs = [(_authors(self.entry(key)), _tex(self.entry(key).fields["year"])) for key in keys]
        if role == "cite:t":
            return ", ".join(f"{who} ({year})" for who, year in pairs)
        return "(" + "; ".join(f"{who}, {year}" for who, year in pairs) + ")"

    def reference(self, key: str) -> str:
        entry = self.entry(key)
        people = [
            _tex(" ".join([*p.first_names, *p.middle_names, *p.prelast_names, *p.last_names]))
            for p in entry.persons["author"]
        ]
        people = ["et al." if who == "others" else who for who in people]
        fields = ("journal", "booktitle", "publisher")
        venue = next((entry.fields[field] for field in fields if field in entry.fields), "")
        line = f"- {', '.join(people)} ({entry.fields['year']}). {_tex(entry.fields['title'])}."
        if venue:
            line += f" *{_tex(venue)}*."
        if url := entry.fields.get("url") or (
            f"https://doi.org/{entry.fields['doi']}" if "doi" in entry.fields else ""
        ):
            line += f" <{url}>"
        return line


def _tex(text: str) -> str:
    return str(RichText.from_latex(text)).replace("*", "\\*")


def _authors(entry: Entry) -> str:
    names = [_tex(" ".join([*p.prelast_names, *p.last_names])) for p in entry.persons["author"]]
    if len(names) > 2 or "others" in names:
        return f"{names[0]} et al."
    return " and ".join(names)


def _plain(text: str) -> str:
    return re.sub(r"[*`]", "", text)


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _indent(text: str, indent: str) -> str:
    if not indent:
        return text
    return "\n".join(indent + line if line else line for line in text.split("\n"))


def _without_code(text: str) -> str:
    """Drops fenced blocks, code spans and formulas: what may hold braces and backticks."""
    text = re.sub(r"^( *)(`{3,})(?!\{)[^\n]*\n.*?^\1\2 *$", "", text, flags=re.M | re.S)
    return INLINE.sub(lambda m: m[0] if m["role"] else "", text)


def make(book: Book) -> dict[str, str]:
    """All notebooks: file name to text."""
    file = book.root / "book" / "references.bib"
    bibliography = parse_file(str(file)) if file.exists() else BibliographyData()
    return {
        f"{page.name}.ipynb": json.dumps(
            Notebook(book, page, bibliography).build(), indent=1, ensure_ascii=False
        )
        + "\n"
        for page in book.pages.values()
        if page.is_notebook
    }


def stale(folder: Path, notebooks: dict[str, str]) -> list[str]:
    """One line for each notebook that is stale, missing or orphaned."""
    found = {path.name: path for path in folder.glob("*.ipynb")}
    lines = []
    for name in sorted(notebooks.keys() | found.keys()):
        if name not in found:
            lines.append(f"missing: notebooks/{name}")
        elif name not in notebooks:
            lines.append(f"orphan: notebooks/{name} has no source in the table of contents")
        elif found[name].read_text(encoding="utf-8") != notebooks[name]:
            lines.append(f"stale: notebooks/{name}")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Writes the notebooks, or checks them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if one is stale")
    parser.add_argument("--root", type=Path, default=mystbook.ROOT, help="the repository")
    options = parser.parse_args(arguments)
    root: Path = options.root.resolve()
    try:
        notebooks = make(mystbook.load(root))
    except BookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    folder = root / "notebooks"
    if options.check:
        lines = stale(folder, notebooks)
        if not lines:
            print(f"{len(notebooks)} notebooks are fresh")
            return 0
        print("\n".join([*lines, "run `make notebooks`"]))
        return 1
    folder.mkdir(exist_ok=True)
    for name, text in notebooks.items():
        (folder / name).write_text(text, encoding="utf-8")
    for path in folder.glob("*.ipynb"):
        if path.name not in notebooks:
            path.unlink()
    print(f"wrote {len(notebooks)} notebooks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
