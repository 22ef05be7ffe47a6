"""Hooks and a page of your own, in `sioserver serve`.

From this directory: sioserver serve --app hooks:setup
"""

# ruff: noqa: T201
from aiohttp import web

from sioserver import Config, Hooks, Refusal
from sioserver.hooks import Joining, Left, Posting


def setup(app: web.Application, hooks: Hooks, config: Config) -> None:
    """Called in each process before it serves."""

    @hooks.on_join
    async def members_only(joining: Joining) -> None:
        if joining.room.startswith("staff/") and joining.user.guest:
            raise Refusal("forbidden", "staff rooms are not for guests")

    @hooks.on_message
    def clean(posting: Posting) -> Posting | None:
        if not isinstance(posting.body, str):
            return None
        if "http://" in posting.body:
            raise Refusal("forbidden", "links have to be https://")
        return posting.with_body(posting.body.replace("darn", "d***"))

    @hooks.on_leave
    async def gone(left: Left) -> None:
        print(f"{left.user.name} left {left.room}", flush=True)

    async def about(request: web.Request) -> web.Response:
        return web.Response(text=f"the room behind / is {config.rooms.root}")

    app.router.add_get("/about", about)
