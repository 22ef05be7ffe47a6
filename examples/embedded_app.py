"""An aiohttp application with the server below /chat: python examples/embedded_app.py [PORT]

Its page is at /chat/, and clients connect with
io("http://127.0.0.1:8000/lobby", {path: "/chat/socket.io"}).
"""

# ruff: noqa: T201
import sys

from aiohttp import web

from sioserver import Config, Hooks, Refusal, mount
from sioserver.config.schema import Store
from sioserver.hooks import Posting

hooks = Hooks()


@hooks.on_message
def no_shouting(posting: Posting) -> None:
    if isinstance(posting.body, str) and posting.body.isupper():
        raise Refusal("forbidden", "no shouting")


async def front_page(request: web.Request) -> web.Response:
    return web.Response(text='<a href="/chat">to the rooms</a>', content_type="text/html")


def main(port: int = 8000) -> None:
    app = web.Application()
    app.router.add_get("/", front_page)
    mount(app, "/chat", Config(store=Store(path=":memory:")), hooks=hooks)
    web.run_app(app, host="127.0.0.1", port=port, print=lambda text: print(text, flush=True))


main(*map(int, sys.argv[1:]))
