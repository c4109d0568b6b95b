"""Every check: what passes unchanged, what is refused, and that the message has its four parts."""

import functools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from mcmcot_lite import checks

META = torch.device("meta")  # stands for another device


def message(error: pytest.ExceptionInfo[Exception]) -> str:
    return str(error.value)


def test_message_names_argument_rule_value_and_remedy() -> None:
    error = checks.fail("s", "must lie in (0, 2): reason", 3.0, "Try 0.03.")
    assert isinstance(error, ValueError)
    assert str(error) == "s must lie in (0, 2): reason; got 3.0. Try 0.03."
    assert isinstance(checks.fail("s", "r", 1, "x", TypeError), TypeError)
    checks.require(True, "s", "r", 1, "x")
    with pytest.raises(FloatingPointError, match=r"^s r; got 1\. x$"):
        checks.require(False, "s", "r", 1, "x", FloatingPointError)


def test_shown_is_short() -> None:
    assert checks.shown(None) == "None (NoneType)"
    assert checks.shown(torch.zeros(50, 50)) == (
        "a tensor of shape (50, 50) and dtype torch.float32"
    )
    assert "\n" not in checks.shown(np.zeros((40, 40)))
    assert len(checks.shown("x" * 1000)) < 80


class TestBoolean:
    @pytest.mark.parametrize("value", [True, False])
    def test_passes(self, value: bool) -> None:
        assert checks.boolean("trace", value) is value

    @pytest.mark.parametrize("value", [0, 1, None, "false", np.bool_(True), torch.tensor(True)])
    def test_refuses(self, value: object) -> None:
        with pytest.raises(TypeError, match=r"^trace must be a bool; got .*True or False"):
            checks.boolean("trace", value)


class TestInteger:
    @pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), torch.tensor(3)])
    def test_passes_as_int(self, value: object) -> None:
        got = checks.integer("K", value, 3)
        assert type(got) is int
        assert got == 3

    @pytest.mark.parametrize(
        "value",
        [True, np.bool_(True), 3.0, np.float64(3), "3", None, [3], torch.tensor(3.0),
         torch.tensor([3]), torch.tensor(True), torch.tensor(3, device=META), 3 + 0j],
    )  # fmt: skip
    def test_refuses_types(self, value: object) -> None:
        with pytest.raises(TypeError, match=r"^K must be a whole number; got .*at least 0"):
            checks.integer("K", value, 0)

    def test_refuses_small(self) -> None:
        with pytest.raises(ValueError, match=r"^K must be at least 0; got -1\. Pass 0 or more\.$"):
            checks.integer("K", -1, 0)
        with pytest.raises(ValueError, match=r"at least 2: why; got 1\. Do this\.$"):
            checks.integer("draws", 1, 2, why="why", remedy="Do this.")

    def test_refuses_large(self) -> None:
        with pytest.raises(ValueError, match=r"^K must be at most 9; got 10\. Choose a smaller"):
            checks.integer("K", 10, 0, maximum=9)
        with pytest.raises(
            ValueError, match=r"^d must be at most 2147483647; got one beyond all bounds\."
        ):
            checks.integer("d", 10**5000, 1)  # Python refuses to print that many digits
        with pytest.raises(ValueError, match=r"^d must be at least 1; got one beyond all bounds\."):
            checks.integer("d", -(10**5000), 1)
        with pytest.raises(
            TypeError, match=r"^s must be a real number; got a value that cannot be"
        ):
            checks.number("s", [10**5000])


class TestNumber:
    @pytest.mark.parametrize(
        "value", [0.5, np.float32(0.5), np.float64(0.5), torch.tensor(0.5), Fraction(1, 2)]
    )
    def test_passes_as_float(self, value: object) -> None:
        got = checks.number("sigma", value, above=0.0)
        assert type(got) is float
        assert got == 0.5

    def test_passes_ints(self) -> None:
        assert checks.number("sigma", 1) == 1.0
        assert checks.number("sigma", np.int32(1)) == 1.0

    @pytest.mark.parametrize(
        "value",
        [True, np.bool_(True), "0.3", None, [0.3], 1j, np.array(0.3), torch.tensor([0.3]),
         torch.tensor(True), torch.tensor(1j), torch.tensor(0.3, device=META)],
    )  # fmt: skip
    def test_refuses_types(self, value: object) -> None:
        with pytest.raises(TypeError, match=r"^sigma must be a real number; got .* Pass a float"):
            checks.number("sigma", value)

    @pytest.mark.parametrize(
        "value", [math.nan, math.inf, -math.inf, 10**400, -(10**400)], ids=lambda v: str(v)[:4]
    )
    @pytest.mark.parametrize("bounds", [{}, {"above": 0.0}, {"above": 0.0, "below": 2.0}])
    def test_refuses_non_finite(self, value: float, bounds: dict[str, float]) -> None:
        with pytest.raises(ValueError, match=r"^s must .*; got (nan|-?inf)\."):
            checks.number("s", value, **bounds)

    def test_rule_says_which_ends_belong(self) -> None:
        ends = {"above": 0.0, "below": 1.0}
        for closed, left, right in [
            ((False, False), "(", ")"),
            ((True, False), "[", ")"),
            ((False, True), "(", "]"),
            ((True, True), "[", "]"),
        ]:
            for end, inside in zip((0.0, 1.0), closed, strict=True):
                if inside:
                    assert checks.number("a", end, **ends, closed=closed) == end
                else:
                    with pytest.raises(ValueError, match="must lie in") as error:
                        checks.number("a", end, **ends, closed=closed)
                    assert f"{left}0, 1{right}" in message(error)
        with pytest.raises(ValueError, match="must be at least 0 and finite"):
            checks.number("a", -1, above=0.0, closed=(True, False))
        with pytest.raises(ValueError, match="must be greater than 0 and finite"):
            checks.number("a", 0, above=0.0)
        with pytest.raises(ValueError, match="must be finite"):
            checks.number("a", math.nan)


class TestChoice:
    def test_passes(self) -> None:
        assert checks.choice("noise", "a", ("a", "b")) == "a"

    def test_refuses(self) -> None:
        with pytest.raises(ValueError, match=r"^noise must be one of 'a', 'b'; got 'c'\."):
            checks.choice("noise", "c", ("a", "b"))
        for value in (None, 1, ["a"], b"a"):
            with pytest.raises(TypeError, match=r"^noise must be one of 'a', 'b'; got"):
                checks.choice("noise", value, ("a", "b"))


class TestTensor:
    @pytest.mark.parametrize("dtype", checks.FLOATS)
    def test_passes_the_same_object(self, dtype: torch.dtype) -> None:
        x = torch.zeros(3, 2, dtype=dtype)
        assert checks.tensor("x", x, ndim=2, shape=(None, 2), like=x, like_name="x") is x

    @pytest.mark.parametrize(
        ("value", "kind", "says"),
        [
            (None, TypeError, "must be a torch.Tensor"),
            ([[1.0]], TypeError, "torch.as_tensor"),
            (np.zeros((2, 2)), TypeError, "torch.as_tensor"),
            (torch.zeros(2, 2, dtype=torch.int64), TypeError, "floating-point"),
            (torch.zeros(2, 2, dtype=torch.uint8), TypeError, "x.float() / 255"),
            (torch.zeros(2, 2, dtype=torch.bool), TypeError, "floating-point"),
            (torch.zeros(2, 2, dtype=torch.complex64), TypeError, "floating-point"),
            (torch.zeros(2, 2).to(torch.float8_e4m3fn), TypeError, "floating-point"),
            (torch.zeros(2, 2).to_sparse(), TypeError, "dense"),
            (torch.zeros(2), ValueError, "must have 2 axes; got shape (2,)"),
            (torch.zeros(2, 2, 2), ValueError, "must have 2 axes"),
            (torch.zeros(0, 2), ValueError, "empty"),
            (torch.zeros(2, 0), ValueError, "empty"),
            (torch.zeros(2, 2, device=META), ValueError, "real device"),
            (torch.tensor([[math.nan, 1], [math.inf, 0]]), ValueError, "2 NaN or infinite entries"),
            (torch.tensor([[0.0, -math.inf]]), ValueError, "must be finite"),
        ],
    )
    def test_refuses(self, value: object, kind: type[Exception], says: str) -> None:
        with pytest.raises(kind, match=r"^x must .*; got .*\. .*\.$") as error:
            checks.tensor("x", value, ndim=2)
        assert says in message(error)

    def test_finite_can_be_waived(self) -> None:
        x = torch.tensor([math.nan])
        assert checks.tensor("x", x, finite=False) is x

    def test_shape_like_dtype_device(self) -> None:
        like = torch.zeros(3, 2)
        with pytest.raises(ValueError, match=r"must have shape \(any, 2\); got shape \(3, 3\)"):
            checks.tensor("x", torch.zeros(3, 3), shape=(None, 2))
        with pytest.raises(ValueError, match=r"must have shape \(2,\); got shape \(2, 1\)"):
            checks.tensor("x", torch.zeros(2, 1), shape=(2,))
        with pytest.raises(ValueError, match="the sizes of theta"):
            checks.tensor("x", torch.zeros(2, 1), shape=(2,), like=like, like_name="theta")
        with pytest.raises(ValueError, match=r"dtype of z, torch\.float32; got torch\.float64"):
            checks.tensor("x", like.double(), like=like, like_name="z")
        with pytest.raises(ValueError, match="on the device of z, cpu; got meta"):
            checks.tensor("x", like.to(META), like=like, like_name="z")


class TestMask:
    x = torch.zeros(3, 1, 2, 2)

    def test_none_and_both_shapes(self) -> None:
        assert checks.mask_for(self.x, None) is None
        one = torch.tensor([[[1, 0], [0, 1]]])
        for mask in (one, one.bool(), one.float(), one.double(), one.expand(3, 1, 2, 2)):
            visible = checks.mask_for(self.x, mask)
            assert visible is not None
            assert visible.dtype == torch.bool
            assert torch.equal(visible, one.bool().expand(3, 1, 2, 2))

    def test_can_be_saved_by_autograd(self) -> None:
        with torch.inference_mode():
            mask = torch.ones(3, 1, 2, 2)
        visible = checks.mask_for(self.x, mask)
        assert visible is not None
        assert not visible.is_inference()

    @pytest.mark.parametrize(
        ("mask", "kind", "says"),
        [
            ([1, 0], TypeError, "torch.Tensor or None"),
            (np.ones((3, 1, 2, 2)), TypeError, "torch.Tensor or None"),
            (True, TypeError, "torch.Tensor or None"),
            (torch.ones(2, 2), ValueError, "shape of x, (3, 1, 2, 2), or of one image, (1, 2, 2)"),
            (torch.ones(3, 1, 2), ValueError, "shape"),
            (torch.ones(1, 1, 2, 2), ValueError, "shape"),
            (torch.ones(1, 2, 2, device=META), ValueError, "device of x, cpu"),
            (torch.full((1, 2, 2), 0.5), ValueError, "only 0 (hidden) and 1 (visible); got 4"),
            (torch.full((1, 2, 2), 255), ValueError, "only 0"),
            (torch.full((1, 2, 2), math.nan), ValueError, "only 0"),
            (torch.full((1, 2, 2), 1j), TypeError, "bool, whole or real"),
            (torch.full((1, 2, 2), 1 + 0j), TypeError, "bool, whole or real"),
        ],
    )
    def test_refuses(self, mask: object, kind: type[Exception], says: str) -> None:
        with pytest.raises(kind, match=r"^mask must .*; got .*\. .*\.$") as error:
            checks.mask_for(self.x, mask)
        assert says in message(error)

    @pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch will drop such tensors
    def test_refuses_quantised_masks(self) -> None:
        mask = torch.quantize_per_tensor(torch.ones(1, 2, 2), 1.0, 0, torch.quint8)
        with pytest.raises(TypeError, match="bool, whole or real"):
            checks.mask_for(self.x, mask)


class TestRng:
    def test_passes_the_same_object(self) -> None:
        rng = torch.Generator()
        assert checks.rng_on(rng, torch.device("cpu")) is rng
        assert checks.rng_on(rng, torch.device("cpu", 0)) is rng

    @pytest.mark.parametrize("value", [None, 0, np.random.default_rng(0), torch.Generator])
    def test_refuses_types(self, value: object) -> None:
        with pytest.raises(TypeError, match=r"^rng must be a torch\.Generator.*manual_seed\(0\)"):
            checks.rng_on(value, torch.device("cpu"))

    def test_refuses_another_device(self) -> None:
        with pytest.raises(ValueError, match=r"^rng must be on the device of the data, cuda:1; "):
            checks.rng_on(torch.Generator(), torch.device("cuda", 1))

    def test_restored_only_on_error(self) -> None:
        rng = torch.Generator().manual_seed(0)
        before = rng.get_state()
        with checks.restored(rng):
            torch.rand(5, generator=rng)
        after = rng.get_state()
        assert not torch.equal(after, before)

        def draw_and_fail() -> None:
            with checks.restored(rng):
                torch.rand(5, generator=rng)
                raise KeyError

        with pytest.raises(KeyError):
            draw_and_fail()
        assert torch.equal(rng.get_state(), after)


class TestTakes:
    def test_what_fits(self) -> None:
        checks.takes("f", lambda a, b=2: a, 1)
        checks.takes("f", print, 1, 2)
        checks.takes("f", max, 1)  # tells no signature

    def test_a_wrapper_speaks_for_itself(self) -> None:
        def two(a: object, b: object) -> None: ...

        @functools.wraps(two)
        def one(a: object) -> None:
            two(a, 1)

        checks.takes("f", one, 1)
        with pytest.raises(TypeError, match=r"^f must take 2 arguments"):
            checks.takes("f", one, 1, 2)

    def test_what_does_not(self) -> None:
        with pytest.raises(TypeError, match=r"^f must take 2 arguments; got .*: too many"):
            checks.takes("f", lambda a: a, 1, 2)
        with pytest.raises(TypeError, match=r"^f must take 1 argument; got .*missing"):
            checks.takes("f", lambda a, b: a, 1)
        with pytest.raises(TypeError, match=r"^f must be a function; got 3"):
            checks.takes("f", 3, 1)


def test_a_result_that_overflowed_is_an_error() -> None:
    good = torch.ones(3)
    assert checks.finite("out", good, "Scale.") is good
    with pytest.raises(
        FloatingPointError, match=r"^out must fit into torch\.float32; got 2 NaN or"
    ):
        checks.finite("out", torch.tensor([1.0, torch.inf, torch.nan]), "Scale.")
