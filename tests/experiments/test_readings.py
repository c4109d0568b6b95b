"""The readings' own loops are the library's where no switch is thrown, and do what it says."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from experiments import algorithm2, readings, table8_step
from experiments.ascent import Choices, ascend
from experiments.script import Script, chains_of
from mcmcot_lite import MLP, Settings, exact_map, fit, semidual_map
from mcmcot_lite.transport import laguerre_cells

ST = Settings(
    d=2, K=3, L=2, L2=2, iterations=2, batch_size=16, schedule="released", regression=2, eps=0.1
)


def problem():
    x = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(3))
    return MLP(2, (1, 4, 4), (16,), rng=torch.Generator().manual_seed(4)), x


def rng():
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize("transport", ["exact", "semidual"])
def test_without_switches_the_script_is_fit(transport):
    st = replace(ST, transport=transport)
    g, x = problem()
    want = fit(g, x, st, rng=rng(), progress=False)
    again, _ = problem()
    z_hat = chains_of(again, x, st, Script(), rng())
    assert torch.allclose(z_hat, want.z_hat, atol=1e-6)
    for a, b in zip(again.parameters(), g.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_noise_and_its_decay():
    """On images without pull (sigma large) K steps from z = 0 are noise and the prior's pull."""
    g, x = problem()
    st = replace(ST, iterations=1, L=1, K=50, sigma=1e4, alpha=0.0, s=0.1, regression=0)
    found = {
        c: chains_of(g, x, st, Script(noise=c, at_targets=True), rng()) for c in (0.0, 1.0, 2.0)
    }
    z0 = torch.randn(40, 2, generator=rng())
    decayed = z0 * (1 - st.s**2 / 2) ** st.K
    assert torch.allclose(found[0.0], decayed, atol=1e-4)
    # linear in the noise, for the same draws
    assert torch.allclose(found[2.0] - decayed, 2 * (found[1.0] - decayed), atol=1e-4)
    two = replace(st, iterations=2)  # the second without noise: it only shrinks the first
    quiet = chains_of(g, x, two, Script(decay=0.0, at_targets=True), rng())
    assert torch.allclose(quiet, found[1.0] * (1 - st.s**2 / 2) ** st.K, atol=1e-4)


def test_cells_move_every_chain_and_repair_some():
    from experiments.script import _correct

    draws = torch.Generator().manual_seed(0)
    z_hat = 0.5 * torch.randn(60, 2, generator=draws)
    z = torch.randn(60, 2, generator=draws)
    st = replace(ST, transport="semidual", eps=0.3, alpha=1.0)
    moved, T = _correct(z_hat, z, None, st, Script(cells=True), rng())
    assert torch.equal(moved, z[laguerre_cells(z_hat, z, T.h)])
    repaired, T = _correct(z_hat, z, None, st, Script(), rng())
    stays = ~T.kept
    assert stays.any()
    assert torch.equal(repaired[stays], z_hat[stays])
    assert torch.allclose(repaired[T.kept], moved[T.kept])


def test_the_regression_takes_the_first_pairs_as_many_as_filled_cells(monkeypatch):
    from experiments import script

    seen = []
    real = script.raw_learn
    monkeypatch.setattr(
        script, "raw_learn", lambda g, x, *rest: seen.append(x) or real(g, x, *rest)
    )
    kept = []
    correct = script._correct

    def watched(*args):
        z_hat, T = correct(*args)
        kept.append(int(T.kept.sum()))
        return z_hat, T

    monkeypatch.setattr(script, "_correct", watched)
    g, x = problem()
    st = replace(ST, transport="semidual", eps=0.4, iterations=1, L=1, L2=1, regression=1)
    chains_of(g, x, st, Script(first=True), rng())
    assert kept[0] < 40
    assert sum(len(part) for part in seen) == 40 + kept[0]
    learned = torch.cat(seen)[40:].flatten(1)
    assert torch.equal(learned.sum(1).sort()[0], x[: kept[0]].flatten(1).sum(1).sort()[0])


def test_the_script_says_when_chains_diverge():
    g, x = problem()
    with pytest.raises(FloatingPointError, match="diverged with s"):
        chains_of(g, x * 1e30, replace(ST, sigma=1e-8, s=1.0), Script(), rng())


def clouds(n=300, d=5):
    draws = torch.Generator().manual_seed(1)
    a = 0.7 * torch.randn(n, d, generator=draws, dtype=torch.float64) + 0.3
    return a, torch.randn(n, d, generator=draws, dtype=torch.float64)


def test_the_ascent_is_the_librarys():
    z_hat, z = clouds()
    want = semidual_map(z_hat, z, rng=rng())
    found = ascend(z_hat, z, Choices())
    assert found.steps == want.steps
    assert found.converged
    assert found.empty == want.removed
    centred = [h - h.mean() for h in (found.h, want.h)]
    assert torch.allclose(*centred, atol=1e-10)
    cells = laguerre_cells(z_hat, z, found.h)
    assert 1 - len(cells.unique()) / len(z) == pytest.approx(found.empty)


def test_which_norm_stops():
    """Half the L1 norm is the share of empty cells; the L2 norm is smaller, so it stops early."""
    z_hat, z = clouds()
    empty = {norm: ascend(z_hat, z, Choices(norm=norm)).empty for norm in ("half L1", "L1", "L2")}
    assert empty["L1"] <= 0.025 < empty["half L1"] <= 0.05 < empty["L2"]


def test_scaled_steps_do_not_depend_on_units():
    z_hat, z = clouds()
    first = ascend(z_hat, z, Choices())
    times = ascend(16 * z_hat, z, Choices())
    assert (first.steps, first.empty) == (times.steps, times.empty)
    plus = ascend(z_hat + 8.0, z, Choices())
    assert abs(plus.empty - first.empty) < 0.01
    raw = ascend(16 * z_hat, z, Choices(scaled=False))
    assert (raw.steps, raw.empty) != (first.steps, first.empty)


def test_adam_for_each_entry_is_pytorchs():
    z_hat, z = clouds(60, 3)
    a, b = z_hat - z_hat.mean(0), z - z.mean(0)
    steps = 40
    unit = float(a.square().mean().sqrt() * b.square().mean().sqrt())
    h = torch.zeros(60, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([h], lr=0.01 * unit, betas=(0.9, 0.5), eps=1e-8)
    for _ in range(steps - 1):
        count = torch.bincount((a @ b.T + h.detach()).argmax(1), minlength=60)
        h.grad = (count.double() - 1) / 60
        adam.step()
        h.data -= h.data.mean()
    count = torch.bincount((a @ b.T + h.detach()).argmax(1), minlength=60)
    found = ascend(z_hat, z, Choices(scalar=False, max_steps=steps), eps=0.0)
    assert found.steps == steps
    assert found.empty <= float((count == 0).double().mean())  # the best of them all


def test_squares_hide_what_they_say():
    x = torch.zeros(1000, 3, 12, 10)
    mask = table8_step.squares(x, 4, rng())
    assert mask.shape == (1000, 1, 12, 10)
    assert (mask == 0).sum((1, 2, 3)).tolist() == [16] * 1000
    hidden = mask == 0
    assert (hidden.any(3).sum(2) == 4).all()
    assert (hidden.any(2).sum(2) == 4).all()
    assert hidden.any(0).all()  # every place is hidden somewhere


def test_released_numbers():
    """Section 7.1's 0.3 with a batch of 2,000, through the script's division by the batch."""
    assert pytest.approx(0.01732, abs=1e-5) == readings.S_RELEASED
    assert pytest.approx(math.sqrt(3), abs=1e-9) == readings.NOISE_RELEASED


def test_the_bound_of_the_optimum_misses_nothing(monkeypatch):
    z_hat, z = clouds()
    monkeypatch.setattr(algorithm2, "clouds", lambda size, seed: (z_hat, z))
    found = algorithm2.run({"reading": "latents x 10"}, None, 0)
    ours = algorithm2.run({"reading": "stops at the L1 norm"}, None, 0)
    T = exact_map(10 * z_hat, z)
    assert 0 <= found["missing"] < 1e-2
    assert T.converged
    assert ours["kept"] == pytest.approx(1 - ours["empty"])
    assert ours["kept_distinct_script"] <= ours["kept"]
