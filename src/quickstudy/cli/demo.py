"""Train for two minutes, meet tasks never seen before, write a report: quickstudy demo --kind text --out runs/demo"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

from quickstudy import discovery
from quickstudy.cli import _output, _parser
from quickstudy.runtime import pretrained
from quickstudy.serve.page import page_server


def run(arguments: Sequence[str]) -> None:
    """Train and report; or, with `--browser`, serve the page."""
    parser = _parser.make_parser("demo", __doc__)
    parser.add_argument(
        "--out", type=str, default="runs/demo", help="folder for the learner and the report; an earlier demo is replaced"
    )
    parser.add_argument("--kind", type=str, default="drawing", help=f"kind of data: {', '.join(discovery.names('cli/demos'))}")
    parser.add_argument(
        "--minutes",
        type=float,
        default=2.0,
        help="minutes of meta-training; of comparing for tables, for which nothing is trained",
    )
    parser.add_argument("--tasks", type=int, default=100, help="test tasks for each cell of the results; for tables the most")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--browser", action="store_true", help="instead: a page on this machine, to teach a shipped learner by drawing"
    )
    parser.add_argument("--port", type=int, default=0, help="where the page listens; 0 is any port that is free")
    options = parser.parse(arguments)
    if options.browser:
        show_page(options.port)
        return
    chosen = discovery.module("cli/demos", options.kind).DEMO  # imports torch, which the page does not need
    chosen.show(options.out, options.minutes, options.tasks, options.json)


def show_page(port: int) -> None:
    """Serve the page with the learner `omniglot`, until interrupted."""
    with page_server(pretrained.find("omniglot"), port) as server, contextlib.suppress(KeyboardInterrupt):
        _output.text(f"open http://127.0.0.1:{server.server_port}/ in a browser; Ctrl-C ends it")
        sys.stdout.flush()  # also where it is a pipe, as whoever reads it waits for the address
        server.serve_forever()
