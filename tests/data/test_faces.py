"""Folders and zips of photographs, and CelebA's three shapes."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mcmcot_lite import data
from mcmcot_lite.data import _celeba
from mcmcot_lite.data._celeba import split_of

RNG = np.random.default_rng(0)


def picture(w: int = 178, h: int = 218, mode: str = "RGB") -> Image.Image:
    """Smooth colours, which JPEG keeps nearly unchanged."""
    ramp = np.stack(np.meshgrid(np.linspace(0, 255, w), np.linspace(255, 0, h)), -1)
    pixels = np.concatenate([ramp, np.full((h, w, 1), RNG.integers(0, 256))], -1)
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return out.getvalue()


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def by_hand(image: Image.Image, size: int = 64, crop: int = 148) -> np.ndarray:
    w, h = image.size
    left, top = (w - crop) // 2, (h - crop) // 2
    middle = image.convert("RGB").crop((left, top, left + crop, top + crop))
    return np.asarray(middle.resize((size, size), Image.Resampling.LANCZOS)).transpose(2, 0, 1)


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_formats_order_and_crop(tmp_path: Path, make: Any) -> None:
    pictures = [picture() for _ in range(4)]
    files = {
        "b/2.PNG": encoded(pictures[1]),
        "a/1.webp": encoded(pictures[0], "WEBP"),
        "b/10.jpeg": encoded(pictures[2], "JPEG"),
        "c.jpg": encoded(pictures[3], "JPEG"),
        "readme.txt": b"no image",
        "__MACOSX/c.jpg": b"no image",
        ".thumb.png": b"no image",
    }
    found = data.image_folder(make(tmp_path / "faces.zip", files))
    assert found.x.shape == (4, 3, 64, 64)
    assert found.y is None
    assert (found.name, found.split, found.source) == ("faces", "all", "faces.zip")
    order = [0, 2, 1, 3]  # a/1, b/10, b/2, c: sorted as text
    for i, k in enumerate(order):
        error = np.abs(found.x[i].numpy().astype(int) - by_hand(pictures[k])).max()
        assert error <= (0 if k < 2 else 6)  # JPEG loses a little


def test_an_image_of_the_final_size_passes_unchanged(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    make_folder(tmp_path / "f", {"1.png": encoded(Image.fromarray(pixels))})
    found = data.image_folder(tmp_path / "f")
    assert np.array_equal(found.x[0].numpy(), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize(("w", "h", "crop"), [(89, 109, 89), (400, 100, 100), (300, 300, 148)])
def test_other_sizes_are_cropped_to_the_middle_square(
    tmp_path: Path, w: int, h: int, crop: int
) -> None:
    image = picture(w, h)
    make_folder(tmp_path / "f", {"1.png": encoded(image)})
    found = data.image_folder(tmp_path / "f")
    assert np.array_equal(found.x[0].numpy(), by_hand(image, crop=crop))


def test_size_and_crop_can_be_chosen(tmp_path: Path) -> None:
    image = picture()
    make_folder(tmp_path / "f", {"1.png": encoded(image)})
    found = data.image_folder(tmp_path / "f", size=32, crop=100)
    assert np.array_equal(found.x[0].numpy(), by_hand(image, 32, 100))


def test_the_whole_square_and_grey_can_be_chosen(tmp_path: Path) -> None:
    """Your own photograph, for a generator of one channel: nothing of the square is cut off."""
    image = Image.new("RGB", (700, 600), "white")
    image.paste((0, 0, 0), (250, 200, 450, 400))  # what CelebA's rule would leave
    make_folder(tmp_path / "f", {"1.png": encoded(image)})
    assert data.image_folder(tmp_path / "f", size=30).x.max() == 0
    found = data.image_folder(tmp_path / "f", size=30, crop=None, grey=True)
    assert found.x.shape == (1, 1, 30, 30)
    assert abs(float(found.images().mean()) - 8 / 9) < 0.01


@pytest.mark.parametrize("grey", [True, False])
def test_sixteen_bits_a_pixel_are_scaled_not_cut_off(tmp_path: Path, grey: bool) -> None:
    ramp = np.linspace(0, 65535, 28 * 28).round().astype(np.uint16).reshape(28, 28)
    (tmp_path / "f").mkdir()
    Image.fromarray(ramp).save(tmp_path / "f" / "ramp.png")
    found = data.image_folder(tmp_path / "f", size=28, grey=grey)
    assert np.array_equal(found.x[0, 0], (ramp / 257).round())


def test_grey_is_the_luminance_and_keeps_grey_images(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (64, 64), dtype=np.uint8)
    colour = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    files = {"1.png": Image.fromarray(pixels), "2.png": Image.fromarray(colour)}
    make_folder(tmp_path / "f", {name: encoded(image) for name, image in files.items()})
    found = data.image_folder(tmp_path / "f", grey=True).x.numpy()
    assert np.array_equal(found[0, 0], pixels)
    luminance = colour @ np.array([0.299, 0.587, 0.114])
    assert np.abs(found[1, 0] - luminance).max() <= 1


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_every_colour_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    content = encoded(picture(64, 64, mode), "JPEG" if mode == "CMYK" else "PNG")
    make_folder(tmp_path / "f", {"1.jpg": content})  # the content decides, not the name
    assert data.image_folder(tmp_path / "f").x.shape == (1, 3, 64, 64)


def test_limit_reads_the_first_by_name(tmp_path: Path) -> None:
    files = {f"{i}.png": encoded(picture(64, 64)) for i in range(5)} | {"9.png": b"broken"}
    make_zip(tmp_path / "f.zip", files)
    whole = data.image_folder(tmp_path / "f.zip", limit=5)
    assert torch.equal(data.image_folder(tmp_path / "f.zip", limit=3).x, whole.x[:3])


# --- broken things ----------------------------------------------------------------------------


@pytest.mark.parametrize("make", [make_folder, make_zip])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("how", ["cut", "text", "empty"])
def test_one_broken_image_is_named_or_skipped(
    tmp_path: Path, make: Any, kind: str, how: str
) -> None:
    good = encoded(picture(64, 64), kind)
    bad = {"cut": good[: len(good) // 2], "text": b"not an image", "empty": b""}[how]
    suffix = kind.lower()
    path = make(tmp_path / "f", {f"1.{suffix}": good, f"2.{suffix}": bad, f"3.{suffix}": good})
    with pytest.raises(ValueError, match=rf"broken: '2.{suffix}' .*skip_broken=True") as caught:
        data.image_folder(path)
    assert " at 0x" not in str(caught.value)
    with pytest.warns(UserWarning, match=r"1 of 3 images of .* are broken .* '2\."):
        found = data.image_folder(path, skip_broken=True)
    assert len(found) == 2


def test_a_member_with_a_wrong_checksum_is_named(tmp_path: Path) -> None:
    content = encoded(picture(64, 64))
    path = make_zip(tmp_path / "f.zip", {"1.png": content, "2.png": content})
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"2.png") + 5 + len(content) // 2] ^= 255
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"broken: '2.png' \(BadZipFile: Bad CRC-32"):
        data.image_folder(path)


def test_a_member_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.png", bytes(70 << 20))
    with pytest.raises(ValueError, match="which is no photograph"):
        data.image_folder(path)


@pytest.mark.parametrize("part", [0, 0.01, 0.5, 0.99])
def test_truncated_zip(tmp_path: Path, part: float) -> None:
    path = make_zip(tmp_path / "f.zip", {"1.png": encoded(picture()), "2.png": encoded(picture())})
    raw = path.read_bytes()
    path.write_bytes(raw[: int(part * len(raw))])
    with pytest.raises(ValueError, match=r"f.zip must be a folder or a readable zip.*get it again"):
        data.image_folder(path)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing there"):
        data.image_folder(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="must hold at least one image"):
        data.image_folder(tmp_path / "empty")
    with pytest.raises(ValueError, match="must hold at least one image"):
        data.image_folder(make_zip(tmp_path / "f.zip", {"a.txt": b""}))
    make_folder(tmp_path / "bad", {"1.png": b"", "2.png": b""})
    with pytest.raises(ValueError, match="at least one readable image; got 2 broken"):
        data.image_folder(tmp_path / "bad", skip_broken=True)


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ({"path": 3}, TypeError, "path must be a path"),
        ({"path": ""}, ValueError, "path must not be empty"),
        ({"size": 0}, ValueError, "size must be at least 1"),
        ({"size": 64.0}, TypeError, "size must be a whole number"),
        ({"crop": -1}, ValueError, "crop must be at least 1"),
        ({"limit": 0}, ValueError, "limit must be at least 1"),
        ({"skip_broken": "yes"}, TypeError, "skip_broken must be a bool"),
        ({"progress": None}, TypeError, "progress must be a bool"),
        ({"grey": 1}, TypeError, "grey must be a bool"),
    ],
)
def test_bad_arguments(
    tmp_path: Path, change: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        data.image_folder(**({"path": tmp_path} | change))


# --- CelebA -----------------------------------------------------------------------------------


def faces(*numbers: int, w: int = 178, h: int = 218, kind: str = "JPEG") -> dict[str, bytes]:
    folder, suffix = ("celeba_64", "webp") if kind == "WEBP" else ("img_align_celeba", "jpg")
    return {f"{folder}/{k:06d}.{suffix}": encoded(picture(w, h), kind) for k in numbers}


NUMBERS = (1, 162_770, 162_771, 182_637, 182_638, 202_599)


@pytest.mark.parametrize("sub", ["", "celeba", "CelebA"])
@pytest.mark.parametrize("packed", [True, False])
def test_official_set_is_split_by_number(tmp_path: Path, sub: str, packed: bool) -> None:
    root = tmp_path / "root"
    (root / sub).mkdir(parents=True)
    if packed:
        make_zip(root / sub / "img_align_celeba.zip", faces(*NUMBERS))
    else:
        make_folder(root / sub, faces(*NUMBERS))
    for split in ("train", "valid", "test"):
        found = data.celeba(root=root, split=split)
        assert found.x.shape == (2, 3, 64, 64)
        assert found.y is None
        assert "non-commercial" in found.licence
    name = "img_align_celeba.zip" if packed else "img_align_celeba"
    assert data.load("celeba", root=root).source == f"{name} in root"
    assert len(data.celeba(root=root, limit=1)) == 1


def test_prepared_part_has_only_what_its_numbers_say(tmp_path: Path) -> None:
    make_zip(tmp_path / "celeba_64.zip", faces(1, 2, 3, w=64, h=64, kind="WEBP"))
    assert len(data.celeba(root=tmp_path)) == 3
    with pytest.raises(FileNotFoundError, match=r"celeba_64.zip in root .* holds train only"):
        data.celeba(root=tmp_path, split="test", download=False)


def test_a_split_that_the_prepared_part_lacks_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(urls: object, target: Path, **_: object) -> None:
        target.parent.mkdir(parents=True)
        make_zip(target, faces(*NUMBERS))

    make_zip(tmp_path / "celeba_64.zip", faces(1, 2, w=64, h=64, kind="WEBP"))
    monkeypatch.setattr("mcmcot_lite.data._fetch.fetch", fetch)
    found = data.celeba(root=tmp_path, split="test")
    assert (len(found), found.source) == (2, "img_align_celeba.zip in the cache")


def test_first_available_passes_by_a_prepared_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_zip(tmp_path / "celeba_64.zip", faces(1, w=64, h=64, kind="WEBP"))
    monkeypatch.setenv("MCMCOT_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"(?s)celeba \(test\).*svhn \(test\)"):
        data.first_available("celeba", "svhn", split="test", download=False)


def test_official_comes_before_prepared_and_completes_it(tmp_path: Path) -> None:
    make_zip(tmp_path / "celeba_64.zip", faces(1, w=64, h=64, kind="WEBP"))
    make_zip(tmp_path / "img_align_celeba.zip", faces(*NUMBERS[2:]))
    assert data.celeba(root=tmp_path).source == "celeba_64.zip in root"
    assert data.celeba(root=tmp_path, split="test").source == "img_align_celeba.zip in root"


def test_other_names_are_all_training() -> None:
    assert split_of(["a/x.jpg", "a/000001.jpg"]) == {"train": ["a/x.jpg", "a/000001.jpg"]}
    assert split_of(["202600.jpg"]) == {"train": ["202600.jpg"]}
    assert split_of(["182638.jpg"]) == {"test": ["182638.jpg"]}


def test_broken_and_unreadable_celeba(tmp_path: Path) -> None:
    bad = faces(1, 2) | {"img_align_celeba/000003.jpg": b"broken"}
    path = make_zip(tmp_path / "img_align_celeba.zip", bad)
    with pytest.raises(ValueError, match=r"broken: 'img_align_celeba/000003.jpg'"):
        data.celeba(root=tmp_path)
    with pytest.warns(UserWarning, match="1 of 3 images"):
        assert len(data.celeba(root=tmp_path, skip_broken=True)) == 2
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"img_align_celeba.zip must be .* readable zip"):
        data.celeba(root=tmp_path)
    make_zip(path, {})
    with pytest.raises(ValueError, match="must hold at least one image"):
        data.celeba(root=tmp_path)


def test_decoded_images_are_kept(
    tmp_path: Path, fresh_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_celeba, "KEEP_FROM", 3)
    path = make_zip(tmp_path / "img_align_celeba.zip", faces(1, 2, 3))
    first = data.celeba(root=tmp_path)
    (kept,) = (fresh_machine / "celeba").iterdir()
    assert kept.name.startswith("decoded-64-148-")

    def never(*_: object, **__: object) -> Any:
        raise AssertionError("decoded again")

    with monkeypatch.context() as patch:
        patch.setattr(_celeba, "decode_all", never)
        assert torch.equal(data.celeba(root=tmp_path).x, first.x)
    data.celeba(root=tmp_path, limit=2)  # too few to keep
    assert list((fresh_machine / "celeba").iterdir()) == [kept]

    make_zip(path, faces(1, 2, 3, 4))  # another content is not taken for the old one
    assert len(data.celeba(root=tmp_path)) == 4
    assert len(list((fresh_machine / "celeba").iterdir())) == 2


def test_damaged_store_is_made_anew(
    tmp_path: Path, fresh_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_celeba, "KEEP_FROM", 3)
    make_zip(tmp_path / "img_align_celeba.zip", faces(1, 2, 3))
    first = data.celeba(root=tmp_path)
    (kept,) = (fresh_machine / "celeba").iterdir()
    raw = bytearray(kept.read_bytes())
    raw[len(raw) // 2] ^= 255
    kept.write_bytes(raw)
    with pytest.warns(UserWarning, match="is damaged .* decoded again"):
        assert torch.equal(data.celeba(root=tmp_path).x, first.x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.celeba(root=tmp_path)


def test_unwritable_store_costs_only_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_celeba, "KEEP_FROM", 1)
    make_zip(tmp_path / "img_align_celeba.zip", faces(1))
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("MCMCOT_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="could not be kept"):
        assert len(data.celeba(root=tmp_path)) == 1


@pytest.mark.parametrize("size", [(20, 20), (1000, 30), (64, 65), (218, 178)])
def test_celeba_of_another_size_is_named_or_skipped(size: tuple[int, int], tmp_path: Path) -> None:
    files = faces(1, 2) | {"000003.jpg": encoded(picture(*size), "JPEG")}
    make_zip(tmp_path / "img_align_celeba.zip", files)
    rule = rf"'000003.jpg' \(.*{size[0]} x {size[1]} pixels, not 178 x 218 or 64 x 64"
    with pytest.raises(ValueError, match=rule):
        data.celeba(root=tmp_path, download=False)
    with pytest.warns(UserWarning, match="1 of 3 images"):
        assert len(data.celeba(root=tmp_path, download=False, skip_broken=True)) == 2
