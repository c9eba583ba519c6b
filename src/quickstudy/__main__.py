"""`python -m quickstudy` is `quickstudy`; so torchrun can start it."""

import sys

from quickstudy.cli import main

if __name__ == "__main__":  # processes that `launch` starts import this file too
    sys.exit(main())
