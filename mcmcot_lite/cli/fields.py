"""Options made of dataclass fields: their types, and what they say, come from the dataclass."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from mcmcot_lite import checks
from mcmcot_lite.engine import Compute
from mcmcot_lite.presets import DATASETS, Preset
from mcmcot_lite.settings import Settings

__all__ = ["OWN", "add_options", "changed", "overrides", "value_of"]

OWN = {  # what of a Preset is an option, besides its settings and compute
    "dataset": f"the images: {', '.join(DATASETS)}",
    "n": "images, the first ones; 'none' takes all",
    "width": "multiplies the hidden sizes of the network; 1 is Table 1",
    "generator": "network of Table 1: mnist, svhn or celeba",
    "seed": "of all that is drawn",
}
NONE = ("none", "all")  # words for None
# torchrun takes --n, --s and --d for its own --nnodes, --standalone and the like, cut short.
ALSO = {"n": "--images", "s": "--step", "d": "--latents"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """An option for each field, without a default: what is not given stays the preset's."""
    group = parser.add_argument_group("the run")
    for name, text in OWN.items():
        _add(group, name, get_type_hints(Preset)[name], text)
    for cls, title in ((Settings, "its settings"), (Compute, "how it is computed")):
        group, hints, texts = parser.add_argument_group(title), get_type_hints(cls), _texts(cls)
        for f in fields(cls):
            _add(group, f.name, hints[f.name], texts.get(f.name, ""))


def _add(group: Any, name: str, hint: Any, text: str) -> None:
    spelled = list(dict.fromkeys([f"--{name.replace('_', '-')}", f"--{name}"]))
    spelled += [ALSO[name]] if name in ALSO else []
    text = text.replace("%", "%%")
    if hint is bool:
        group.add_argument(
            *spelled, dest=name, action=argparse.BooleanOptionalAction, default=None, help=text
        )
        return
    pair = tuple in {get_origin(part) for part in _parts(hint)}
    group.add_argument(
        *spelled,
        dest=name,
        nargs="+" if pair else None,
        metavar="X" if pair else name.upper() if len(name) > 2 else "X",
        help=text,
    )


def _texts(cls: type) -> dict[str, str]:
    """What a dataclass says of its fields: comments at their lines, or Attributes in its text."""
    doc = inspect.getdoc(cls) or ""
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", doc, re.MULTILINE)
    with suppress(OSError):  # an installation without sources
        found += re.findall(r"^ {4}(\w+): .*?  # (.*)$", inspect.getsource(cls), re.MULTILINE)
    return {name: " ".join(text.replace("``", "").split()) for name, text in found}


def _parts(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the one."""
    return get_args(hint) if isinstance(hint, UnionType) else (hint,)


def value_of(name: str, hint: Any, words: str | Sequence[str]) -> Any:
    """What the words after an option mean.

    Args:
        name: the field, for messages.
        hint: its type: int, float, str, a tuple of floats, or one of these and None.
        words: one word, or several for a tuple.
    """
    kinds = _parts(hint)
    several = [words] if isinstance(words, str) else list(words)
    if type(None) in kinds and len(several) == 1 and several[0].lower() in NONE:
        return None
    if any(get_origin(kind) is tuple for kind in kinds):
        return tuple(_number(name, float, word) for word in several)
    kind = next(kind for kind in kinds if kind is not type(None))
    return several[0] if kind is str else _number(name, kind, several[0])


def _number(name: str, kind: type, word: str) -> Any:
    try:
        return kind(word)
    except ValueError:
        rule = "must be a whole number" if kind is int else "must be a number"
        example = "5" if kind is int else "0.5"
        remedy = f"For example --{name.replace('_', '-')} {example}."
        raise checks.fail(name, rule, repr(word), remedy) from None


def overrides(args: argparse.Namespace, cls: type, names: Sequence[str]) -> dict[str, Any]:
    """The given ones among the options of a dataclass, as values."""
    hints = get_type_hints(cls)
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return {
        name: value if isinstance(value, bool) else value_of(name, hints[name], value)
        for name, value in given.items()
    }


def changed(base: Preset, args: argparse.Namespace) -> Preset:
    """The preset with what the arguments override. Checks every value.

    Raises:
        TypeError, ValueError: with the name, the rule, the value and a remedy.
    """
    parts: dict[str, Any] = {}
    for name, cls in (("settings", Settings), ("compute", Compute)):
        old = getattr(base, name)
        values = {f.name: getattr(old, f.name) for f in fields(cls)}
        parts[name] = cls(**values | overrides(args, cls, list(values)))
    own = {name: getattr(base, name) for name in OWN} | overrides(args, Preset, list(OWN))
    return Preset(**own, **parts)
