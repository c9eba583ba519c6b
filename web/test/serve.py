"""The built page with any bundle, until interrupted: python serve.py BUNDLE."""

import contextlib
import sys

from quickstudy.serve.page import page_server

if __name__ == "__main__":
    with page_server(sys.argv[1]) as server, contextlib.suppress(KeyboardInterrupt):
        print(f"http://127.0.0.1:{server.server_port}/", flush=True)
        server.serve_forever()
