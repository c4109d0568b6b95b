"""The library's reference names every public function and class once."""

import ast
import importlib
import re
import types
from pathlib import Path

import mcmcot_lite

ROOT = Path(__file__).resolve().parents[2]
MODULES = (
    *("baselines", "check", "data", "factor_analysis", "features", "figures", "fills"),
    *("incomplete", "masks", "metrics", "notebook", "presets", "short_run", "transport"),
    "widgets",
)


def documented():
    text = (ROOT / "book" / "api.md").read_text(encoding="utf-8")
    return re.findall(r"^\.\. auto(?:function|class):: mcmcot_lite\.([\w.]+)$", text, re.M)


def test_every_public_name_is_in_the_reference_once():
    names = documented()
    assert len(names) == len(set(names))
    things = {}
    for name in names:
        owner, _, last = name.rpartition(".")
        module = importlib.import_module(f"mcmcot_lite.{owner}" if owner else "mcmcot_lite")
        things[name] = getattr(module, last)
    shown = {id(thing) for thing in things.values()}
    for name in ("", *MODULES):
        module = importlib.import_module(f"mcmcot_lite.{name}".rstrip("."))
        for public in module.__all__:
            thing = getattr(module, public)
            if callable(thing) and not isinstance(thing, types.ModuleType):
                assert id(thing) in shown, f"{module.__name__}.{public}"


def test_a_propertys_first_line_has_no_colon():
    """Napoleon takes what stands before one for the property's type."""
    for path in (ROOT / "mcmcot_lite").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            if any("property" in ast.unparse(mark) for mark in node.decorator_list):
                first = (ast.get_docstring(node) or "").partition("\n")[0]
                assert ":" not in first, f"{path.name}: {node.name}: {first}"


def test_the_version_is_one():
    version = mcmcot_lite.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text()
    assert re.search(rf"^version: {version}$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert f'RELEASE = "v{version}"' in (ROOT / "tools" / "make_notebooks.py").read_text()
