"""Contestants as processes of their own, in their own environments, that wait idle until they are asked."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

HERE = pathlib.Path(__file__).parent
LOG_LINES = 12


class Ended(Exception):  # noqa: N818
    """The process ended instead of answering; the message holds the end of its log."""


class Contestant:
    """A contestant's process, started at the first request and again after it ended.

    Args:
        name: `<library>` or `<library>-<variant>`.
        peers_python: the interpreter of the peers' environment; quickstudy runs in this one.
        logs: folder for what the process prints.
        checkout: run the benchmark code and the source of this checkout of the project; None for the one that this file is in.
    """

    def __init__(self, name: str, peers_python: pathlib.Path, logs: pathlib.Path, checkout: pathlib.Path | None = None) -> None:
        self.name, self.checkout = name, checkout
        library, _, self.variant = name.partition("-")
        here = HERE if checkout is None else checkout / "benchmarks" / "peers"
        file = here / "contestants" / (f"{library}.py" if library == "plain" else f"{library}_.py")
        self.ours = library == "quickstudy"
        self.command = [sys.executable if self.ours else str(peers_python), str(file)]
        self.log = logs / (f"{name}.log" if checkout is None else f"{name}-{checkout.name}.log")
        self.process: subprocess.Popen[str] | None = None

    def ask(self, **request: Any) -> dict[str, Any]:
        """Return the answer to a request of `contestants/_serve.py`.

        Raises:
            Ended: the process ended.
        """
        if self.process is None or self.process.poll() is not None:
            self.process = self._start()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            code = self.process.wait()
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_LINES:])
            raise Ended(f"ended with exit code {code}:\n{tail}")
        return json.loads(answer)

    def close(self) -> None:
        """End the process, by the end of its input."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process = None

    def _start(self) -> subprocess.Popen[str]:
        # Every library chooses its own threads; the peers do not see this project.
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(self.log.parent / "jax"))
        removed = {"OMP_NUM_THREADS"} if self.ours else {"OMP_NUM_THREADS", "PYTHONPATH", "VIRTUAL_ENV"}
        environment = {name: value for name, value in os.environ.items() if name not in removed}
        if self.checkout is not None:
            environment["PYTHONPATH"] = str(self.checkout / "src")
        with self.log.open("w") as log:
            pipe = subprocess.PIPE
            return subprocess.Popen(self.command, stdin=pipe, stdout=pipe, stderr=log, env=environment, text=True)
