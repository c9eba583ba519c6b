"""Downloads, against a server on the loopback interface."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import http.server
import pathlib
import threading
import zipfile
from collections.abc import Iterator

import pytest

from quickstudy.data import load
from quickstudy.data.download import Remote, content_digest, obtain
from quickstudy.data.known import omniglot
from quickstudy.errors import DataError, StorageError

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclasses.dataclass
class Server:
    """What the server sends, how it misbehaves, and the Range headers it was sent."""

    url: str = ""
    content: bytes = CONTENT
    cut_at: int | None = None
    ignores_range: bool = False
    ranges: list[str | None] = dataclasses.field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and not state.ignores_range else 0
            if self.path == "/missing":
                self.send_error(404)
            elif start and start >= len(state.content):
                self.send_error(416)
            else:
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(state.content) - start))
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(state.content) - 1}/{len(state.content)}")
                self.end_headers()
                self.wfile.write(state.content[start : state.cut_at])

        def log_message(self, format: str, *args: object) -> None:
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    listening.shutdown()
    thread.join()
    listening.server_close()


def remote(server: Server, file: str = "file.bin", digest: str = DIGEST) -> Remote:
    return Remote("set", file, f"{server.url}/{file}", digest)


def test_download_arrives_once_and_is_found_afterwards(server: Server, tmp_path: pathlib.Path) -> None:
    found = obtain(remote(server), tmp_path)
    assert found == tmp_path / "set" / "file.bin"
    assert found.read_bytes() == CONTENT
    assert not found.with_name("file.bin.part").exists()
    assert obtain(remote(server), tmp_path) == found
    assert server.ranges == [None]


def test_file_put_by_hand_is_taken_in_either_place(server: Server, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file.bin").write_bytes(b"by hand")
    assert obtain(remote(server), tmp_path) == tmp_path / "file.bin"
    assert server.ranges == []


def test_broken_connection_is_resumed_where_it_broke(server: Server, tmp_path: pathlib.Path) -> None:
    server.cut_at = 300_000
    with pytest.raises(DataError, match=r"file\.bin \(the connection broke off at 300000 of 1024000 bytes; run again"):
        obtain(remote(server), tmp_path)
    assert not (tmp_path / "set" / "file.bin").exists()
    server.cut_at = None
    assert obtain(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-"]


def test_server_that_cannot_resume_sends_all_of_it(server: Server, tmp_path: pathlib.Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "file.bin.part").write_bytes(CONTENT[:1000])
    server.ignores_range = True
    assert obtain(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


@pytest.mark.parametrize(
    "left", [b"x" * 1000, CONTENT + b"too long", b"y" * len(CONTENT)], ids=["foreign", "longer", "complete"]
)
def test_wrong_leftover_is_thrown_away_and_fetched_anew(server: Server, tmp_path: pathlib.Path, left: bytes) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "file.bin.part").write_bytes(left)
    assert obtain(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(left)}-", None]


def test_complete_leftover_is_used(server: Server, tmp_path: pathlib.Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "file.bin.part").write_bytes(CONTENT)
    assert obtain(remote(server), tmp_path).read_bytes() == CONTENT
    assert len(server.ranges) == 1


def test_wrong_content_is_refused_and_thrown_away(server: Server, tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match=rf"digest {DIGEST}, expected 0000.*by hand and put it at .*file\.bin"):
        obtain(remote(server, digest="0000"), tmp_path)
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["file.bin.lock"]


def test_dead_link_and_refused_connection_say_url_and_place(server: Server, tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match=r"/missing \(the server answers 404 Not Found\).*put it at .*set/missing"):
        obtain(remote(server, "missing"), tmp_path)
    refused = Remote("set", "file.bin", "http://127.0.0.1:1/file.bin", DIGEST)
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:1/file\.bin \(.*refused.*put it at"):
        obtain(refused, tmp_path)


def test_folder_that_cannot_be_written_is_a_storage_error(server: Server, tmp_path: pathlib.Path) -> None:
    (tmp_path / "set").write_text("in the way")
    with pytest.raises(StorageError, match="another data_dir"):
        obtain(remote(server), tmp_path)


def test_digest_is_of_content_and_not_of_packing(tmp_path: pathlib.Path) -> None:
    for level in (1, 9):
        (tmp_path / f"{level}.gz").write_bytes(gzip.compress(CONTENT, level))
        with zipfile.ZipFile(tmp_path / f"{level}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
            for name in ("a/1.png", "b/2.png")[:: 1 if level == 1 else -1]:
                archive.writestr(name, CONTENT + name.encode())
    assert (tmp_path / "1.gz").read_bytes() != (tmp_path / "9.gz").read_bytes()
    packed = hashlib.sha256((tmp_path / "1.gz").read_bytes()).hexdigest()
    assert content_digest(tmp_path / "1.gz", "set.tar.gz") == packed  # publishers pin tar archives as they are packed
    assert content_digest(tmp_path / "1.gz", ".gz") == content_digest(tmp_path / "9.gz", ".gz") == DIGEST
    assert content_digest(tmp_path / "1.zip", ".zip") == content_digest(tmp_path / "9.zip", ".zip") != "unreadable"
    (tmp_path / "half.zip").write_bytes((tmp_path / "1.zip").read_bytes()[:99])
    (tmp_path / "half.gz").write_bytes((tmp_path / "1.gz").read_bytes()[:99])
    assert content_digest(tmp_path / "half.zip", ".zip") == content_digest(tmp_path / "half.gz", ".gz") == "unreadable"


def test_page_instead_of_a_zip_is_refused(server: Server, tmp_path: pathlib.Path) -> None:
    server.content = b"<html>sign in first</html>"
    with pytest.raises(DataError, match="digest unreadable"):
        obtain(remote(server, "images.zip"), tmp_path)


def test_omniglot_downloads_its_own_files_and_refuses_others(
    server: Server, real_data: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(omniglot, "IMAGES_URL", server.url)
    server.content = (real_data / "omniglot" / "images_evaluation.zip").read_bytes()
    data = load("omniglot", "evaluation", size=8, data_dir=tmp_path)
    assert data.examples["image"].shape == (13180, 8, 8, 1)
    assert len(data.classes) == 659
    assert (tmp_path / "omniglot" / "images_evaluation.zip").is_file()
    with pytest.raises(DataError, match="images_background"):
        load("omniglot", "background", data_dir=tmp_path)
