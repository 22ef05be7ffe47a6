"""The handlers of stock.py, unchanged, on `sioserver.AsyncServer`: no rooms and no store.

python bare.py [--cert cert.pem --key key.pem]
"""

from __future__ import annotations

import gc

import uvloop
from stock import arguments, serve

import sioserver


async def main() -> None:
    args = arguments("A chat on sioserver.AsyncServer.")
    sio = sioserver.AsyncServer(async_mode="aiohttp")
    # as `sioserver serve` does it
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    await serve(sio, args)


if __name__ == "__main__":
    uvloop.run(main())
