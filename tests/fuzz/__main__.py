"""`make fuzz`: attack a server for a long time.

    make fuzz                                     100 000 inputs, for half an hour at most
    make fuzz ARGS="--inputs 5000 --seed 7"       as many, as they were drawn from this seed
    make fuzz ARGS="--set transport.websocket=picows"
    make fuzz ARGS="--door plain"                 those only that come to /ws

What breaks a promise is printed with its seed, all inputs shortened, and with the name of a file
that has them whole; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from .attacks import DOORS
from .drive import Drive, Failure, fuzz


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="make fuzz", description="Attack a server.")
    parser.add_argument("--inputs", type=int, default=100_000, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of all draws")
    parser.add_argument("--door", choices=[*DOORS], default="all", help="where (%(default)s)")
    parser.add_argument("--minutes", type=float, default=30.0, help="at most (%(default)s)")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="a setting")
    args = parser.parse_args()
    settings = dict(setting.split("=", 1) for setting in args.set)
    began = time.monotonic()
    print(f"seed {args.seed}", flush=True)

    def progress(done: int, seed: int) -> None:
        seconds = time.monotonic() - began
        print(f"{done:>7} of {args.inputs} inputs, {seconds:4.0f} s; next seed {seed}", flush=True)

    with Drive(**settings) as drive:
        try:
            until = began + args.minutes * 60
            fuzz(drive, args.inputs, args.seed, door=args.door, until=until, progress=progress)
        except Failure as failure:
            print(failure, flush=True)
            return 1
        print(f"{drive.done} inputs: nobody noticed", flush=True)
        return 0 if drive.done else 1


if __name__ == "__main__":
    sys.exit(main())
