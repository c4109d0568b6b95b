"""Settings: every field refuses what it cannot be, and keeps plain Python values."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, asdict, replace

import numpy as np
import pytest
import torch

from mcmcot_lite import Settings

BAD = [
    *(("d", v, ValueError) for v in (0, -1)),
    *(("d", v, TypeError) for v in (2.0, "2", None, True, torch.ones(2))),
    *(("K", v, ValueError) for v in (-1,)),
    *(("K", v, TypeError) for v in (1.5, False, None)),
    *((k, 0, ValueError) for k in ("L", "L2", "iterations", "batch_size")),
    *((k, 1.0, TypeError) for k in ("L", "L2", "iterations", "batch_size", "regression")),
    ("regression", -1, ValueError),
    ("regression", 3, ValueError),  # belongs to the released schedule
    *(("sigma", v, ValueError) for v in (0.0, -0.3, math.nan, math.inf)),
    *(("sigma", v, TypeError) for v in ("0.3", None, True, torch.ones(1))),
    *(("s", v, ValueError) for v in (0.0, -0.1, 2.0, 3.0, math.nan)),
    *(("s", v, TypeError) for v in ("0.1", None, False)),
    *(("alpha", v, ValueError) for v in (-0.01, 1.01, math.nan, math.inf)),
    *(("alpha", v, TypeError) for v in ("1", None, True)),
    *(("lr", v, ValueError) for v in (0.0, -1e-3, 1e300, math.nan, math.inf)),
    ("lr", "1e-3", TypeError),
    *(("eps", v, ValueError) for v in (-0.1, 1.0, math.nan)),
    ("eps", None, TypeError),
    *(("betas", v, TypeError) for v in (0.5, "ab", None, (0.5,), (0.5, 0.9, 0.9), ("a", 0.9))),
    *(("betas", v, ValueError) for v in ((0.5, 1.0), (-0.1, 0.9), (math.nan, 0.9))),
    *((k, "x", ValueError) for k in ("schedule", "chains", "targets", "transport", "batchnorm")),
    *((k, None, TypeError) for k in ("schedule", "chains", "targets", "transport", "batchnorm")),
    *(("reuse_h", v, TypeError) for v in (1, "yes", None)),
    *(("x_range", v, TypeError) for v in (1.0, "01", (0.0,), (0.0, "1"), {0.0, 1.0})),
    *(("x_range", v, ValueError) for v in ((1.0, 0.0), (1.0, 1.0), (0.0, math.inf))),
]


@pytest.mark.parametrize(("name", "value", "kind"), BAD)
def test_bad_values(name, value, kind):
    with pytest.raises(kind) as caught:
        Settings(**{"d": 2, name: value})
    message = str(caught.value)
    assert message.startswith(f"{name} ")
    assert "got " in message
    assert message.count(". ") >= 1  # a remedy follows


def test_messages():
    with pytest.raises(ValueError, match=r"s must lie in \(0, 2\): .*got 3\.0\. Try 0\.03\."):
        Settings(d=2, s=3.0)
    with pytest.raises(ValueError, match=r"alpha must lie in \[0, 1\].*got 2\.0\."):
        Settings(d=2, alpha=2.0)
    with pytest.raises(TypeError, match="required keyword-only argument: 'd'"):
        Settings()
    with pytest.raises(TypeError):
        Settings(2)


def test_numbers_of_other_kinds_become_plain():
    st = Settings(
        d=np.int64(3),
        K=torch.tensor(0),
        s=np.float64(0.05),
        alpha=1,
        sigma=torch.tensor(0.5),
        betas=[0, 0.9],
        x_range=[-1, 1],
    )
    assert st == Settings(
        d=3, K=0, s=0.05, alpha=1.0, sigma=0.5, betas=(0.0, 0.9), x_range=(-1.0, 1.0)
    )
    assert json.loads(json.dumps(asdict(st)))["K"] == 0
    assert type(st.alpha) is float
    assert hash(st) == hash(replace(st))


def test_frozen_and_checked_again_by_replace():
    st = Settings(d=2)
    with pytest.raises(FrozenInstanceError):
        st.K = 3
    with pytest.raises(ValueError, match="K"):
        replace(st, K=-1)
    assert replace(st, alpha=0.0).alpha == 0


def test_defaults_are_the_printed_ones():
    st = Settings(d=30)
    assert (st.sigma, st.alpha, st.eps, st.betas) == (0.3, 0.5, 0.05, (0.5, 0.99))
    assert (st.batch_size, st.schedule, st.transport) == (2000, "printed", "semidual")
    assert (st.chains, st.targets) == ("persistent", "fixed")


def test_describe_names_schedule_step_and_sigma():
    printed = Settings(d=2, s=0.05, sigma=0.25, K=7).describe()
    assert "\n" not in printed
    for words in ("schedule printed", "Algorithm 1 as printed", "s=0.05", "sigma=0.25", "K=7"):
        assert words in printed
    for words in (": d=2, ", "eps=0.05", "batchnorm running"):
        assert words in printed
    assert "regression" not in printed
    released = Settings(d=2, schedule="released", regression=4, chains="noise").describe()
    for words in ("schedule released", "released script", "regression=4", "noise chains"):
        assert words in released
