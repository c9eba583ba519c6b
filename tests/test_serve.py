"""The page's server: headers that threads need, types, nothing outside its folder."""

from __future__ import annotations

import http.client
import pathlib
import threading
from collections.abc import Iterator

import pytest

from quickstudy.errors import ConfigError
from quickstudy.serve.page import page_server


@pytest.fixture
def port(tmp_path: pathlib.Path) -> Iterator[int]:
    folder = tmp_path / "built"
    (folder / "inner").mkdir(parents=True)
    for name in ("index.html", "page.js", "runtime.mjs", "runtime.wasm", "page.css", "icon.svg"):
        (folder / name).write_bytes(name.encode())
    (tmp_path / "omniglot.qs").write_bytes(b"bundle")
    with page_server(tmp_path / "omniglot.qs", folder=folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def get(port: int, path: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, response.headers, content


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page.js", "text/javascript"),
        ("/runtime.mjs", "text/javascript"),
        ("/runtime.wasm", "application/wasm"),
        ("/page.css", "text/css"),
        ("/icon.svg", "image/svg+xml"),
        ("/learner.qs?again", "application/zip"),
    ],
)
def test_every_file_has_its_type_and_isolates_the_page(port: int, path: str, kind: str) -> None:
    status, headers, content = get(port, path)
    assert status == 200
    assert headers["Content-Type"] == kind
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert content == (b"bundle" if "learner" in path else (path[1:] or "index.html").encode())


@pytest.mark.parametrize("path", ["/../omniglot.qs", "/%2e%2e/omniglot.qs", "/inner/", "/nothing"])
def test_nothing_else_is_served(port: int, path: str) -> None:
    status, headers, _ = get(port, path)
    assert status == 404
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_a_page_that_is_not_built_is_said(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="make web"):
        page_server(tmp_path / "omniglot.qs", folder=tmp_path)


def test_a_taken_port_is_said(port: int, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=f"port {port}"):
        page_server(tmp_path / "omniglot.qs", port, folder=tmp_path / "built")
