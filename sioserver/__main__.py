"""`python -m sioserver` is `sioserver`."""

import sys

from sioserver.cli import main

if __name__ == "__main__":
    sys.exit(main())
