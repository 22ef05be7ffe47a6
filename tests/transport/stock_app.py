"""An application written for python-socketio: nothing in it knows of sioserver."""

from __future__ import annotations

from typing import Any

import socketio


def build(sio: Any, log: list[Any]) -> None:
    """Give the server its handlers; what happens is written to the log."""

    @sio.event
    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> bool | None:
        log.append(("connect", auth, environ["REQUEST_METHOD"], "EIO=4" in environ["QUERY_STRING"]))
        if auth == {"refuse": True}:
            raise socketio.exceptions.ConnectionRefusedError("not you", {"code": 7})
        if auth == {"false": True}:
            return False
        async with sio.session(sid) as session:
            session["auth"] = auth
        await sio.enter_room(sid, "everybody")
        await sio.emit("welcome", {"auth": auth}, to=sid)
        return None

    @sio.event
    async def disconnect(sid: str, reason: str) -> None:
        session = await sio.get_session(sid)
        log.append(("disconnect", session["auth"], reason))

    @sio.event
    async def echo(sid: str, *args: Any) -> Any:
        return args

    @sio.event
    def sync_handler(sid: str, data: Any) -> Any:
        return {"got": data}

    @sio.event
    async def say(sid: str, text: str) -> str:
        await sio.emit("said", (text, len(text)), room="everybody", skip_sid=sid)
        return "ok"

    @sio.event
    async def ask_back(sid: str) -> None:
        answer = await sio.call("question", {"n": 1}, to=sid)
        await sio.emit("answer_was", answer, to=sid)

    @sio.event
    async def leave_room(sid: str) -> list[str]:
        await sio.leave_room(sid, "everybody")
        return [room for room in sio.rooms(sid) if room != sid]

    @sio.event
    async def kick_me(sid: str) -> None:
        await sio.disconnect(sid)

    @sio.on("*")
    async def anything(event: str, sid: str, *args: Any) -> Any:
        return ("any", event, *args)

    class Room(socketio.AsyncNamespace):
        def on_connect(self, sid: str, environ: dict[str, Any], auth: Any) -> None:
            log.append(("room connect",))

        def on_disconnect(self, sid: str, reason: str) -> None:
            log.append(("room disconnect", reason))

        async def on_who(self, sid: str) -> str:
            await self.emit("pushed", b"\0\1", to=sid)
            return "room"

    sio.register_namespace(Room("/room"))
