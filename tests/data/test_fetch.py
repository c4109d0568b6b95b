"""Downloads: whatever the servers do, the file is whole and right, or the error is clear."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mcmcot_lite.data import _fetch, _http
from mcmcot_lite.data._fetch import fetch

DATA = bytes(i * i % 251 for i in range(100_000))
SHA = hashlib.sha256(DATA).hexdigest()
MD5 = hashlib.md5(DATA).hexdigest()


def get(server: Any, path: Path, *habits: str, **more: Any) -> Path:
    server.files["file.bin"] = DATA
    options = {"sha256": SHA, "timeout": 5.0, "progress": False} | more
    return fetch([server.url(h) for h in habits], path, **options)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "folder" / "file.bin"


def alone(path: Path) -> bool:
    return [p.name for p in path.parent.iterdir()] == [path.name]


def begin(path: Path, data: bytes) -> Path:
    """Leaves what an interrupted download leaves."""
    path.parent.mkdir(parents=True)
    part = path.with_name("file.bin.part")
    part.write_bytes(data)
    return part


@pytest.mark.parametrize("habit", ["range", "plain", "endless", "trickle", "cut"])
def test_arrives_whole_and_alone(server: Any, path: Path, habit: str) -> None:
    assert get(server, path, habit) == path
    assert path.read_bytes() == DATA
    assert alone(path)


def test_md5_is_as_good(server: Any, path: Path) -> None:
    get(server, path, "range", sha256=None, md5=MD5)
    assert path.read_bytes() == DATA


def test_what_is_there_is_not_fetched_again(server: Any, path: Path) -> None:
    get(server, path, "range")
    get(server, path, "range")
    assert len(server.log) == 1


def test_progress_goes_to_stderr(
    server: Any, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    get(server, path, "range", progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "file.bin" in err


def test_resumes_with_a_range(server: Any, path: Path) -> None:
    begin(path, DATA[:30_000])
    get(server, path, "range")
    assert server.log == [("/range/file.bin", "bytes=30000-")]
    assert path.read_bytes() == DATA
    assert alone(path)


def test_broken_connections_are_resumed(server: Any, path: Path) -> None:
    get(server, path, "cut")
    assert server.ranges("cut") == [None, "bytes=33334-", "bytes=66668-"]


def test_server_without_ranges_is_read_from_the_start(server: Any, path: Path) -> None:
    begin(path, DATA[:30_000])
    get(server, path, "plain")
    assert server.ranges("plain") == ["bytes=30000-"]
    assert path.read_bytes() == DATA


def test_part_of_another_file_is_thrown_away(server: Any, path: Path) -> None:
    begin(path, b"\xff" * 30_000)  # the file changed since
    get(server, path, "range")
    assert server.ranges("range") == ["bytes=30000-", None]
    assert path.read_bytes() == DATA


@pytest.mark.parametrize("extra", [0, 7])
def test_part_that_is_already_whole_or_too_long(server: Any, path: Path, extra: int) -> None:
    begin(path, DATA + bytes(extra))
    get(server, path, "range")
    assert path.read_bytes() == DATA
    assert alone(path)


def test_another_range_than_asked_for_is_refused(server: Any, path: Path) -> None:
    begin(path, DATA[:30_000])
    get(server, path, "lies", "range")
    assert path.read_bytes() == DATA


@pytest.mark.parametrize("bad", ["missing", "page", "wrong", "cutplain", "silent"])
def test_next_mirror_takes_over(server: Any, path: Path, bad: str) -> None:
    get(server, path, bad, "range", timeout=0.5)
    assert path.read_bytes() == DATA
    assert alone(path)


def test_cut_download_is_kept_and_said(server: Any, path: Path) -> None:
    with pytest.raises(ConnectionError, match=r"broke off after 50.0 kB of 100.0 kB.*resumed"):
        get(server, path, "cutplain")
    assert [p.name for p in path.parent.iterdir()] == ["file.bin.part"]
    get(server, path, "range")
    assert server.ranges("range") == ["bytes=50000-"]
    assert path.read_bytes() == DATA


def test_wrong_bytes_name_file_expected_and_got(server: Any, path: Path) -> None:
    got = hashlib.sha256(bytes(len(DATA))).hexdigest()
    with pytest.raises(ValueError, match=rf"file.bin must have sha256 {SHA}.*; got {got} from"):
        get(server, path, "wrong")
    assert not path.parent.parent.exists()  # nothing left, not even the folders


@pytest.mark.parametrize(
    ("habit", "why"),
    [("missing", "HTTP 404"), ("page", "web page"), ("silent", "no answer in time")],
)
def test_nothing_delivered_leaves_nothing(server: Any, path: Path, habit: str, why: str) -> None:
    with pytest.raises(ConnectionError, match=f"file.bin could not be downloaded.*{why}"):
        get(server, path, habit, timeout=0.5)
    assert not path.parent.parent.exists()


def test_refused_connection_and_unknown_host_are_quick(path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(ConnectionError, match=r"Connection refused.*nowhere.invalid"):
        fetch([f"http://127.0.0.1:{port}/a", "http://nowhere.invalid/a"], path, sha256=SHA)
    assert time.monotonic() - began < 6
    assert not path.parent.parent.exists()


def test_silent_network_is_given_up_once_for_all_mirrors(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fetch, "CONNECT", 0.3)

    def silent(*_: object) -> None:
        time.sleep(2)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", silent)
    began = time.monotonic()
    with pytest.raises(ConnectionError, match=r"no connection within 0.3 s"):
        fetch([f"http://host{i}.invalid/a" for i in range(5)], path, sha256=SHA)
    assert time.monotonic() - began < 1.5


def test_proxy_is_asked_instead_of_the_host(
    server: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("no_proxy", "")
    assert _http.reachable(["http://nowhere.invalid/a"], 2) == {"http://nowhere.invalid/a": ""}


RUN = """
import sys
from mcmcot_lite.data._fetch import fetch
fetch([sys.argv[1]], sys.argv[2], sha256=sys.argv[3], progress=False)
"""


def start(server: Any, path: Path) -> subprocess.Popen[bytes]:
    root = str(Path(_fetch.__file__).parents[2])
    env = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", RUN, server.url("trickle"), str(path), SHA], env=env
    )


def test_two_processes_download_once_and_a_killed_one_is_continued(server: Any, path: Path) -> None:
    server.files["file.bin"] = DATA
    part = path.with_name("file.bin.part")
    first = start(server, path)
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size > 0):  # the lock is held, bytes are coming
        assert time.monotonic() < deadline
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    first.wait(10)
    assert not path.exists()

    both = [start(server, path), start(server, path)]
    assert [p.wait(60) for p in both] == [0, 0]
    assert path.read_bytes() == DATA
    assert alone(path)
    whole, resumed = server.ranges("trickle")  # one request each: the third process only waited
    assert whole is None
    assert resumed is not None


class Disk(NamedTuple):
    total: int
    used: int
    free: int


def test_full_disk_is_known_before_writing(
    server: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(10**6, 10**6 - 10, 10))
    with pytest.raises(OSError, match=r"no space left \(100.0 kB needed, 10 bytes free\)") as info:
        get(server, path, "range")
    assert info.value.errno == errno.ENOSPC
    assert not path.parent.parent.exists()


def test_disk_that_fills_up_meanwhile(
    server: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"cannot be written into .* Free some space"):
            get(server, path, "range")
    assert not path.exists()
    get(server, path, "range")
    assert path.read_bytes() == DATA


def test_unwritable_folder(server: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match=r"file.bin cannot be written into .* Make it writable"):
        get(server, tmp_path / "file" / "file.bin", "range")


def test_existing_file_with_another_checksum_is_refused(server: Any, tmp_path: Path) -> None:
    old = tmp_path / "file.bin"
    old.write_bytes(b"old")
    with pytest.raises(ValueError, match=r"file.bin must have sha256 .*; got .* Delete the file"):
        get(server, old, "range")
    assert old.read_bytes() == b"old"
    with pytest.raises(ValueError, match="must be a file; got a folder"):
        get(server, tmp_path, "range")


@pytest.mark.parametrize(
    ("urls", "more", "kind", "text"),
    [
        ("http://a/b", {}, TypeError, "non-empty list"),
        ([], {}, TypeError, "non-empty list"),
        (["file:///etc/hosts"], {}, ValueError, "http or https"),
        ([3], {}, ValueError, "http or https"),
        (["http:///nohost"], {}, ValueError, "http or https"),
        (["http://a/b"], {"sha256": None}, ValueError, "only one of them; got 0"),
        (["http://a/b"], {"md5": MD5}, ValueError, "only one of them; got 2"),
        (["http://a/b"], {"sha256": "abc"}, ValueError, "64 lower-case hexadecimal"),
        (["http://a/b"], {"timeout": 0}, ValueError, "timeout must be greater than 0"),
        (["http://a/b"], {"progress": 1}, TypeError, "progress must be a bool"),
    ],
)
def test_bad_arguments(
    path: Path, urls: Any, more: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        fetch(urls, path, **({"sha256": SHA} | more))
    assert not path.parent.parent.exists()
