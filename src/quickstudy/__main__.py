"""`python -m quickstudy` is `quickstudy`; so torchrun can start it."""

import os
import sys

from quickstudy.cli import main


def leave(code: int) -> None:
    """End one of several processes at once, with its group dissolved and everything written.

    In the interpreter's own shutdown, threads of torch that still wait for slower processes may abort this one after all its work is done.
    """
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(code)


if __name__ == "__main__":  # processes that `launch` starts import this file too
    exit_code = main()
    if "RANK" in os.environ:
        leave(exit_code)
    sys.exit(exit_code)
