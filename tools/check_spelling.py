"""Spelling: what a reader reads of the book and of the repository's own texts, by a dictionary.

Read are prose, the strings and comments of the book's cells (titles, labels, alt text, what is
printed), what the self-checks say, and the library's docstrings. A word that neither the dictionary
(pyspellchecker's English list) nor ``tools/words.txt`` knows is a problem, ``file: word``. Names,
terms and British forms stand in words.txt, one a line. In the rest of the code, codespell looks for
common misspellings (``[tool.codespell]`` in pyproject.toml).

    python tools/check_spelling.py
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
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
# In strings and docstrings also: doctests, roles, commands of LaTeX and plotly, calls, file names,
# names with underscores, digits or inner capitals.
NOT_WORDS = re.compile(
    r"^\s*>>>[^\n]*|:(?:func|class|meth|mod|attr|data):|\\\w+|%\{[^}]*\}|\w+\([^()]*\)"
    r"|[\w*]*\.[a-z]\w*|\w*[_\d]\w*|\b\w*[a-z][A-Z]\w*",
    re.M,
)
# A string without a space is a name, a path, a colour or a format, unless it is one plain word.
ONE_WORD = re.compile(r"\s*\(?[^\W\d_]+(?:['-][^\W\d_]+)*[),.:;!?]*\s*")
NAMES = {
    "Args", "Bool", "Frechet", "OSError", "args", "argv", "arrowstyle", "auprc", "bool", "bools",
    "const", "cov", "covs", "dataclass", "diag", "dict", "exp", "frechet", "func", "gloo", "gpu",
    "gzip", "html", "http", "https", "inpaint", "int", "json", "mse", "ndim", "nohup", "npz",
    "osx", "png", "rng", "sqrt", "stderr", "str", "tol", "urls", "viridis", "x'M", "xlim", "y'My",
    "ylim", "zlim",
}  # fmt: skip
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


def said(book: Book) -> Iterator[tuple[str, str]]:
    """File and text, for strings and comments of cells, the self-checks and docstrings."""
    for page in book.pages.values():
        name = page.path.relative_to(book.root).as_posix()
        for block in page.walk():
            if isinstance(block, Directive) and block.name == "code-cell":
                code = re.sub(r"^\s*[%!].*", "pass", block.body, flags=re.M)
                for text in (*strings(code), *comments(code)):
                    yield name, text
    library = book.root / "mcmcot_lite"
    for path in sorted(library.rglob("*.py")):
        code = path.read_text(encoding="utf-8")
        read = strings if path.parent == library / "check" else docstrings
        for text in read(code):
            yield path.relative_to(book.root).as_posix(), text


def strings(code: str) -> Iterator[str]:
    """The strings of a program that hold words; 0 stands for what an f-string puts in."""
    inside: set[int] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for value in node.values for part in ast.walk(value)}
            parts = [v.value if isinstance(v, ast.Constant) else "0" for v in node.values]
            text = "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = "" if id(node) in inside else node.value
        else:
            continue
        if re.search(r"\S\s+\S", text) or ONE_WORD.fullmatch(text):
            yield NOT_WORDS.sub(" ", NOT_PROSE.sub(" ", text))


def comments(code: str) -> Iterator[str]:
    """The comments of a program."""
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            yield NOT_WORDS.sub(" ", NOT_PROSE.sub(" ", token.string))


def docstrings(code: str) -> Iterator[str]:
    """What a module, its classes and its functions say of themselves."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield NOT_WORDS.sub(" ", NOT_PROSE.sub(" ", ast.get_docstring(node) or ""))


def words(text: str) -> Iterator[str]:
    """Words of at least three letters, except abbreviations in capitals."""
    for word in WORD.findall(NOT_PROSE.sub(" ", text)):
        if len(word) > 2 and not word.isupper():
            yield word


@cache
def dictionary() -> SpellChecker:
    """The English list, read once."""
    return SpellChecker(language="en")


def check(root: Path) -> Iterator[str]:
    """One line for each unknown word of each file."""
    known = dictionary()
    own = set((root / "tools" / "words.txt").read_text(encoding="utf-8").lower().split())
    seen: set[tuple[str, str]] = set()
    book = mystbook.load(root)
    texts = [(name, text, set[str]()) for name, text in prose(book)]
    texts += [(name, text, NAMES) for name, text in said(book)]
    for name, text, names in texts:
        for word in words(text):
            if (name, word) in seen or word in names:
                continue
            seen.add((name, word))
            plain = word.removesuffix("'s")
            forms = {word.lower(), plain.lower()}
            if len(known.unknown(forms)) == len(forms) and not (forms & own or plain.isupper()):
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
