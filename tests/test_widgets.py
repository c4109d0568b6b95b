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


class Watched(torch.nn.Module):
    """A generator that keeps the latents it is given."""

    def __init__(self, g):
        super().__init__()
        self.g, self.seen = g, []

    def forward(self, z):
        self.seen.append(z)
        return self.g(z)


PLACES = [("cpu", torch.float64), ("cpu", torch.bfloat16), ("cuda", torch.float32)]


@pytest.mark.parametrize(("device", "dtype"), PLACES)
def test_latents_follow_the_weights(device, dtype):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    g = MLP(2, (1, 4, 4), hidden=(8,), rng=torch.Generator().manual_seed(0))
    watched = Watched(g).to(device, dtype)
    box = widgets.latent_sliders(watched, 2)
    box.children[0].value = 1.5
    z = watched.seen[-1]
    assert (z.device.type, z.dtype, z.tolist()) == (device, dtype, [[1.5, 0.0]])
    assert not any(out["output_type"] == "error" for out in box.children[-1].outputs)


def test_g_must_be_callable():
    with pytest.raises(TypeError, match="g must be callable"):
        widgets.latent_sliders("g", 2)


@pytest.mark.parametrize(("arguments", "name"), [({"d": 0}, "d"), ({"d": 2, "limit": -1}, "limit")])
def test_bad_input_is_named(arguments, name):
    with pytest.raises(ValueError, match=name):
        widgets.latent_sliders(lambda z: z, **arguments)
