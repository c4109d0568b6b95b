"""Widgets: with a kernel, moving a slider redraws the image."""

import matplotlib as mpl
import pytest
import torch

mpl.use("Agg")
pytest.importorskip("ipywidgets")

from mcmcot_lite import MLP, widgets


def test_a_moved_slider_decodes_the_new_point():
    seen = []
    g = MLP(2, (1, 4, 4), hidden=(8,), rng=torch.Generator().manual_seed(0))

    def watched(z):
        seen.append(z.clone())
        return g(z)

    box = widgets.latent_sliders(watched, 2)
    first, second = box.children[:2]
    first.value, second.value = 1.5, -0.5
    assert torch.allclose(seen[-1], torch.tensor([[1.5, -0.5]]))


@pytest.mark.parametrize(("arguments", "name"), [({"d": 0}, "d"), ({"d": 2, "limit": -1}, "limit")])
def test_bad_input_is_named(arguments, name):
    with pytest.raises(ValueError, match=name):
        widgets.latent_sliders(lambda z: z, **arguments)
