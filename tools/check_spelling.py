"""Spelling: prose of the book and of the repository's own texts against a dictionary.

A word that neither the dictionary (pyspellchecker's English list) nor ``tools/words.txt`` knows is
a problem, ``file: word``. Names, terms and British forms stand in words.txt, one a line. In code,
codespell looks for common misspellings (``[tool.codespell]`` in pyproject.toml).

    python tools/check_spelling.py
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mystbook
from mystbook import Book, Directive, Heading, Text
from spellchecker import SpellChecker

TEXTS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")
# Roles, code, formulas, links' targets, addresses, HTML: no prose.
NOT_PROSE = re.compile(
    r"```.*?```|\{[\w:+-]+\}`[^`]*`|`+[^`]*`+|\$\$.*?\$\$|\$[^$]*\$"
    r"|\w+://\S+|\]\([^)]*\)|<[^>]+>|^\.\. auto[^\n]*",
    re.S | re.M,
)
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
SILENT = (
    "solution",
    "solution-start",
    "code-cell",
    "code-block",
    "math",
    "figure",
    "image",
    "eval-rst",
    "bibliography",
)


def prose(book: Book) -> Iterator[tuple[str, str]]:
    """File and text, for everything that a reader reads."""
    for page in book.pages.values():
        name = page.path.relative_to(book.root).as_posix()
        for block in page.walk():
            if isinstance(block, Text):
                yield name, block.source
            elif isinstance(block, Heading):
                yield name, block.title
            elif isinstance(block, Directive):
                yield name, str(block.options.get("alt", ""))
                if block.name == "code-cell":
                    yield name, str(block.figure.get("caption", ""))
                    yield name, str(block.image.get("alt", ""))
                elif block.name not in SILENT:
                    yield name, block.argument
    for name in TEXTS:
        path = book.root / name
        if path.exists():
            yield name, path.read_text(encoding="utf-8")


def words(text: str) -> Iterator[str]:
    """Words of at least three letters, except abbreviations in capitals."""
    for word in WORD.findall(NOT_PROSE.sub(" ", text)):
        if len(word) > 2 and not word.isupper():
            yield word


def check(root: Path) -> Iterator[str]:
    """One line for each unknown word of each file."""
    known = SpellChecker(language="en")
    own = (root / "tools" / "words.txt").read_text(encoding="utf-8").split()
    known.word_frequency.load_words(own)
    seen: set[tuple[str, str]] = set()
    for name, text in prose(mystbook.load(root)):
        for word in words(text):
            plain = word.removesuffix("'s")
            if (name, word) not in seen and known.unknown([word]) and known.unknown([plain]):
                seen.add((name, word))
                yield f"{name}: {word}"


def main() -> int:
    """Prints the problems; 1 if there is one."""
    problems = list(check(mystbook.ROOT))
    print("\n".join(problems or ["spelling: no unknown word"]))
    program = Path(sys.executable).with_name("codespell")
    code = subprocess.run([str(program)], cwd=mystbook.ROOT, check=False).returncode
    return int(bool(problems) or code != 0)


if __name__ == "__main__":
    sys.exit(main())
