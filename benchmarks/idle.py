"""Fifty thousand idle connections while a room chats: `python -m benchmarks.idle`.

It is the work `idle` (`make bench WORK=idle`) under the name by which it was asked for.
"""

import sys

from benchmarks.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["idle", *sys.argv[1:]]))
