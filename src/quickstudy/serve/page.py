"""The built page (`web/`) on a loopback address, with a bundle to adapt."""

from __future__ import annotations

import functools
import http.server
import os
import pathlib
import urllib.parse
from http import HTTPStatus
from typing import Any

from quickstudy.errors import ConfigError

BUILT = pathlib.Path(__file__).parent / "built"
"""Folder into which `make web` puts the page."""

BUNDLE = "/learner.qs"
"""Address of the bundle that the page opens at its start."""

HEADERS = {
    # threads share memory, which a page may do only when it is isolated from all other origins
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' blob: data:",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def check_built(folder: pathlib.Path = BUILT) -> None:
    """Raise a ConfigError unless the page was built."""
    if not (folder / "index.html").is_file():
        raise ConfigError(
            f"the page is not built: {folder} has no index.html. Run `make web`, which needs Node.js 20.19 or newer."
        )


def page_server(bundle: str | os.PathLike[str], port: int = 0, folder: pathlib.Path = BUILT) -> http.server.ThreadingHTTPServer:
    """Return a server of the page, on this machine only; `serve_forever()` runs it.

    Args:
        bundle: file that the page opens at its start.
        port: port to listen on; 0 takes any that is free, which `server_port` then tells.
        folder: folder of the built page.

    Raises:
        ConfigError: the page was not built, or the port is taken.
    """
    check_built(folder)
    handler = functools.partial(_Handler, bundle=os.fspath(bundle), directory=os.fspath(folder))
    try:
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"cannot listen on port {port} ({error}); choose another --port, or 0 for any that is free."
        ) from error


class _Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = {  # not the machine's own table, which may lack them  # noqa: RUF012
        ".css": "text/css",
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".qs": "application/zip",
        ".svg": "image/svg+xml",
        ".wasm": "application/wasm",
        "": "application/octet-stream",
    }

    def __init__(self, *args: Any, bundle: str, **kwargs: Any) -> None:
        self.bundle = bundle
        super().__init__(*args, **kwargs)

    def translate_path(self, path: str) -> str:
        if urllib.parse.urlsplit(path).path == BUNDLE:
            return self.bundle
        return super().translate_path(path)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def list_directory(self, path: str | os.PathLike[str]) -> None:
        del path
        self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing, since the browser shows what it could not load."""
