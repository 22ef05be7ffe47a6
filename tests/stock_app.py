"""A shop's help desk, written for python-socketio and aiohttp as their users write it: nothing in
it knows of sioserver. `build` is given the class of the server, and that is all that differs."""

from __future__ import annotations

import asyncio
from typing import Any

import socketio
from aiohttp import web

LOG = web.AppKey("log", list)


def build(server: type[socketio.AsyncServer]) -> web.Application:
    """The whole application; what its handlers saw is written to `app[LOG]`."""
    sio: Any = server(
        async_mode="aiohttp",
        cors_allowed_origins=["https://shop.example"],
        namespaces=["/", "/staff", "/audit"],
        ping_interval=0.3,
        ping_timeout=2,
        max_http_buffer_size=100_000,
    )
    app = web.Application()
    log: list[Any] = []
    app[LOG] = log
    sio.attach(app)

    # ------------------------------------------------------------ who comes and goes

    @sio.event
    async def connect(sid: str, environ: dict[str, Any], auth: dict[str, Any] | None) -> None:
        if not auth or "name" not in auth:
            raise socketio.exceptions.ConnectionRefusedError("no name", {"field": "name"})
        if auth["name"] == "mallory":
            raise ConnectionRefusedError("banned")
        await sio.save_session(sid, {"name": auth["name"], "questions": 0})
        await sio.enter_room(sid, "customers")
        await sio.emit("came", auth["name"], room="customers", skip_sid=sid)
        kept = sio.get_environ(sid)
        log.append(["connect", auth["name"], environ["HTTP_X_SHOP"], kept is not None])
        log.append(
            [
                "environ",
                environ["REQUEST_METHOD"],
                environ["PATH_INFO"],
                environ["aiohttp.request"].path,
            ]
        )

    @sio.event
    async def disconnect(sid: str, reason: str) -> None:
        session = await sio.get_session(sid)
        log.append(["disconnect", session["name"], reason, sorted(set(sio.rooms(sid)) - {sid})])
        await sio.emit("went", session["name"], room="customers", skip_sid=sid)

    # ------------------------------------------------------------ events and answers

    @sio.event
    async def ask(sid: str, question: str) -> tuple[str, int]:
        async with sio.session(sid) as session:
            session["questions"] += 1
            count = session["questions"]
        return question.upper(), count

    @sio.event
    def add(sid: str, *numbers: float) -> float:
        return sum(numbers)

    @sio.on("upload")
    async def on_upload(sid: str, picture: bytes, about: dict[str, Any]) -> dict[str, Any]:
        about["thumbnail"] = picture[:4]
        return {"size": len(picture), "parts": [picture[::-1], about]}

    @sio.event
    async def nothing(sid: str) -> None:
        pass

    @sio.event
    async def falls(sid: str) -> None:
        raise RuntimeError("the handler's own fault")

    @sio.event
    async def message(sid: str, data: Any) -> None:
        await sio.send(["echo", data], to=sid)

    # ------------------------------------------------------------ rooms

    @sio.event
    async def enter(sid: str, room: str) -> list[str]:
        await sio.enter_room(sid, room)
        return sorted(set(sio.rooms(sid)) - {sid})

    @sio.event
    async def leave(sid: str, room: str) -> list[str]:
        await sio.leave_room(sid, room)
        return sorted(set(sio.rooms(sid)) - {sid})

    @sio.event
    async def close(sid: str, room: str) -> int:
        await sio.emit("closing", room, room=room)
        await sio.close_room(room)
        return len(list(sio.manager.get_participants("/", room)))

    @sio.event
    async def tell(sid: str, rooms: str | list[str], *words: Any) -> None:
        await sio.emit("told", words, room=rooms)

    @sio.event
    async def tell_others(sid: str, room: str, word: str) -> None:
        everybody = [member for member, _ in sio.manager.get_participants("/", room)]
        await sio.emit("told", word, room=room, skip_sid=sid)
        await sio.emit("told", "nobody hears this", room=room, skip_sid=everybody)

    # ------------------------------------------------------------ the server asks

    @sio.event
    async def please_call(sid: str, question: Any) -> Any:
        return ["you said", *await sio.call("question", question, to=sid, timeout=5)]

    @sio.event
    async def please_call_in_vain(sid: str) -> str:
        try:
            await sio.call("unanswered", to=sid, timeout=0.05)
        except socketio.exceptions.TimeoutError:
            return "no answer"
        return "an answer"

    @sio.event
    async def please_ask(sid: str) -> None:
        async def answered(*answer: Any) -> None:
            await sio.emit("thanks", answer, to=sid)

        await sio.emit("question", ("one", b"two"), to=sid, callback=answered)

    @sio.event
    async def count_down(sid: str, start: int) -> None:
        async def counting() -> None:
            for number in range(start, 0, -1):
                await sio.emit("count", number, to=sid)
                await sio.sleep(0.001)
            await sio.emit("lift off", to=sid)

        sio.start_background_task(counting)

    @sio.event
    async def throw_me_out(sid: str) -> None:
        await sio.emit("bye", to=sid)
        await sio.disconnect(sid)

    # ------------------------------------------------------------ what has no handler of its own

    @sio.on("*")
    async def anything(event: str, sid: str, *args: Any) -> Any:
        return ["anything", event, *args]

    @sio.on("look", namespace="*")
    async def look(namespace: str, sid: str, *args: Any) -> Any:
        return ["looked", namespace, *args]

    # ------------------------------------------------------------ a class of handlers

    class Staff(socketio.AsyncNamespace):
        async def on_connect(self, sid: str, environ: dict[str, Any], auth: Any) -> bool | None:
            if auth is not None and auth.get("name") == "eve":
                return False
            await self.save_session(sid, {"shift": 1})
            return None

        def on_disconnect(self, sid: str, reason: str) -> None:
            log.append(["staff left", reason])

        async def on_shift(self, sid: str, by: int) -> int:
            async with self.session(sid) as session:
                session["shift"] += by
                return int(session["shift"])

        async def on_lock(self, sid: str) -> list[str]:
            await self.enter_room(sid, "locked")
            await self.emit("locked", {"by": b"\0\1"}, room="locked")
            rooms = self.rooms(sid)
            await self.close_room("locked")
            return sorted(set(rooms) - {sid})

        async def on_quit(self, sid: str) -> None:
            await self.disconnect(sid)

    sio.register_namespace(Staff("/staff"))

    # ------------------------------------------------------------ and its pages

    async def announce(request: web.Request) -> web.Response:
        await sio.emit("news", await request.json(), room="customers")
        await sio.emit("news", "for the staff", namespace="/staff")
        return web.json_response(
            {"customers": sum(1 for _ in sio.manager.get_participants("/", "customers"))}
        )

    app.router.add_post("/announce", announce)

    async def stop(app: web.Application) -> None:
        await asyncio.wait_for(sio.shutdown(), 5)

    app.on_shutdown.append(stop)
    return app
