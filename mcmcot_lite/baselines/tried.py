"""Networks of the reader's: whatever they raise when called becomes a clear error."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mcmcot_lite import checks

__all__ = ["BATCH", "as_module", "tried"]

BATCH = "In training mode BatchNorm needs 2 images or more."


def as_module(name: str, value: object) -> nn.Module:
    """A module, as every part of a baseline is."""
    if not isinstance(value, nn.Module):
        rule, got = "must be a torch.nn.Module", checks.shown(value)
        raise checks.fail(name, rule, got, "Wrap it in a module.", TypeError)
    return value


def tried(name: str, network: nn.Module, value: Tensor, remedy: str) -> object:
    """Network(value), with a clear error if it cannot take it."""
    try:
        return network(value)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:  # a network of the reader's may raise anything
        if checks.is_ours(error):
            raise
        why = f"the error '{checks.error_text(error)}'"
        got = f"shape {tuple(value.shape[1:])} for each, {value.dtype}, and {why}"
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise checks.fail(name, "must fit the network", got, remedy, kind) from error
