"""Sessions: heartbeat, upgrade, slow consumers, back-pressure, proofs of arrival."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sioserver.connections.slices import Slices
from sioserver.transport import packet
from sioserver.transport import session as module
from sioserver.transport.frames import Outgoing
from sioserver.transport.session import Session

from .kit import (
    CLOSE,
    NOOP,
    PING,
    PONG,
    TRANSPORTS,
    Polling,
    Site,
    engineio_server,
    quiet,
    serve,
    soon,
    until,
)

MODES = pytest.mark.parametrize("transport", TRANSPORTS)


class Heard:
    """Hooks that keep what they are told."""

    def __init__(self, eio: Any) -> None:
        self.counts: list[tuple[str, str]] = []
        eio.hooks.count = lambda what, label: self.counts.append((what, label))


@MODES
async def test_pongs_that_nobody_asked_for(transport: str) -> None:
    async with serve(engineio_server(ping_interval=20, ping_timeout=20), "engine.io") as site:
        client = await site.connect(transport)
        session = site.eio.sockets[client.sid]
        entries = site.eio.wheel.entries
        flood = [PONG] * 2000
        if transport == "polling":
            await site.post(client.sid, "\x1e".join(flood))
        else:
            for packet in flood:
                await client.send(packet)
            await client.send("4done")
            assert await client.packet() == "4done"
        assert site.eio.wheel.entries <= entries + 1
        session._beat = session._beat.moved(0)  # the pause is over
        assert await client.packet() == PING
        session._beat = session._beat.moved(0)  # and so is the wait for the answer
        await until(lambda: session.closed)  # they do not count for the ping that came later


async def test_a_pong_proves_what_was_written_before_its_ping() -> None:
    eio = engineio_server(ping_interval=20, ping_timeout=20)
    written: list[Any] = ["first"]
    proven: list[Any] = []
    eio.hooks.written = lambda session: written[0]
    eio.hooks.proven = lambda session, sent: proven.append(sent)
    async with serve(eio, "engine.io") as site:
        client = await site.websocket()
        session = eio.sockets[client.sid]
        session.ping()
        written[0] = "second"
        session.ping()  # one is on its way
        assert await client.packet() == PING
        await client.send(PONG)
        await client.send(PONG)
        await until(lambda: proven == ["first"])
        session.ping()
        assert await client.packet() == PING
        await client.send(PONG)
        await until(lambda: proven == ["first", "second"])


async def test_a_new_poll_proves_the_one_before() -> None:
    eio = engineio_server(ping_interval=20, ping_timeout=20)
    number = 0
    proven: list[int] = []

    def written(session: Session) -> int:
        nonlocal number
        number += 1
        return number

    eio.hooks.written = written
    eio.hooks.proven = lambda session, sent: proven.append(sent)
    async with serve(eio, "engine.io") as site:
        client = await site.polling()
        assert proven == []
        await eio.send(client.sid, "a")
        await client.poll()
        assert proven == [1]
        await eio.send(client.sid, "b")
        await client.poll()
        assert proven == [1, 2]


async def test_a_lost_poll_proves_nothing() -> None:
    eio = engineio_server(ping_interval=20, ping_timeout=20)
    proven: list[Any] = []
    eio.hooks.written = lambda session: "something"
    eio.hooks.proven = lambda session, sent: proven.append(sent)
    async with serve(eio, "engine.io") as site:
        client = await site.polling()
        _, writer = await site.raw()
        writer.write(site.head("GET", site.url(sid=client.sid)))
        await until(lambda: eio.sockets[client.sid]._poll is not None)
        assert proven == ["something"]  # that the first answer came
        session = eio.sockets[client.sid]
        writer.transport.abort()
        await until(lambda: session.closed)
        assert proven == ["something"]
        assert not session.write(Outgoing(["late"]))


@MODES
async def test_a_session_that_is_about_to_end_proves_nothing(transport: str) -> None:
    """What is too much for its queue is not written, nor is a ping behind it: a pong that nobody
    asked for must not say that it has arrived."""
    eio = engineio_server(ping_interval=20, ping_timeout=20, client_queue=50_000)
    proven: list[Any] = []
    eio.hooks.written = lambda session: "everything"
    eio.hooks.proven = lambda session, sent: proven.append(sent)
    async with serve(eio, "engine.io") as site:
        client = await site.connect(transport)
        session = eio.sockets[client.sid]
        if session.ws is not None:
            session.ws.pause_writing()
        while session.write(Outgoing(["x" * 20_000])):
            pass
        session.ping()
        session.on_text(PONG)
        assert proven == []
        await until(lambda: session.closed)


async def test_a_pong_may_come_while_the_end_waits_for_its_slice() -> None:
    """The loop was busy, many have timed out, and what they have sent is read only now."""
    eio = engineio_server(ping_interval=0.01, ping_timeout=0.02)
    heard, ends = Heard(eio), []
    eio.slices.run = ends.append
    async with serve(eio, "engine.io") as site:
        client = await site.websocket()
        session = site.eio.sockets[client.sid]
        assert await client.packet() == PING
        await until(lambda: ends)
        session.on_text(PONG)
        ends.pop()()
        assert not session.closed
        assert await client.packet() == PING  # and it beats on
        await until(lambda: ends)
        ends.pop()()
        assert session.closed
        assert heard.counts.count(("pings", "timeout")) == 1


async def test_a_pong_may_be_late_while_somebody_watches() -> None:
    """The ping is somewhere in what the client reads so slowly."""
    eio = engineio_server(ping_interval=0.01, ping_timeout=0.02)
    heard = Heard(eio)
    async with serve(eio, "engine.io") as site:
        client = await site.websocket()
        session = eio.sockets[client.sid]
        session.watched = True
        await until(lambda: session._ping_due)
        first = session._beat
        await until(lambda: session._beat is not first)  # the timeout has come, and begun again
        assert not session.closed
        assert ("pings", "timeout") not in heard.counts
        session.watched = False
        await until(lambda: session.closed)
        assert ("pings", "timeout") in heard.counts


@MODES
async def test_a_slow_consumer_is_bounded_and_closed(transport: str) -> None:
    eio = engineio_server(ping_interval=20, ping_timeout=20, client_queue=200_000)
    heard = Heard(eio)
    async with serve(eio, "engine.io") as site:
        reader, writer = await site.raw()
        if transport == "websocket":
            writer.write(site.upgrade_head(site.url("websocket")))
            await soon(reader.readuntil(b"\r\n\r\n"))
            writer.transport.pause_reading()  # type: ignore[attr-defined]
        else:
            await site.polling()
        session = await until(lambda: next(iter(eio.sockets.values()), None))
        out, most, writes = Outgoing(["x" * 10_000]), 0, 0
        while not session.closing:
            session.write(out)
            writes += 1
            most = max(most, session.queued)
            assert writes < 100_000
            if writes % 100 == 0:
                await asyncio.sleep(0)
        assert most <= 200_000
        assert not session.write(Outgoing(["small"]))  # nothing behind one that did not go out
        await until(lambda: session.closed)
        assert ("disconnects", "slow") in heard.counts
        writer.transport.abort()
        if transport == "websocket":
            await until(lambda: not eio.sockets)


@MODES
async def test_droppable_packets_are_dropped(transport: str) -> None:
    eio = engineio_server(ping_interval=20, ping_timeout=20, client_queue=50_000)
    heard = Heard(eio)
    async with serve(eio, "engine.io") as site:
        reader, writer = await site.raw()
        if transport == "websocket":
            writer.write(site.upgrade_head(site.url("websocket")))
            await soon(reader.readuntil(b"\r\n\r\n"))
            writer.transport.pause_reading()  # type: ignore[attr-defined]
        else:
            await site.polling()
        session = await until(lambda: next(iter(eio.sockets.values()), None))
        out = Outgoing(["x" * 10_000])
        while session.write(out, droppable=True):
            pass
        assert heard.counts == [("dropped", "slow")]
        assert not session.closing
        writer.transport.abort()


@MODES
async def test_what_is_offered_leaves_half_of_the_queue_for_answers(transport: str) -> None:
    eio = engineio_server(ping_interval=20, ping_timeout=20, client_queue=400_000)
    heard = Heard(eio)
    async with serve(eio, "engine.io") as site:
        reader, writer = await site.raw()
        if transport == "websocket":
            writer.write(site.upgrade_head(site.url("websocket")))
            await soon(reader.readuntil(b"\r\n\r\n"))
            writer.transport.pause_reading()  # type: ignore[attr-defined]
        else:
            await site.polling()
        session = await until(lambda: next(iter(eio.sockets.values()), None))
        out = Outgoing(["x" * 10_000])
        while session.offer(out):
            await asyncio.sleep(0)
        assert 150_000 < session.queued <= 200_000
        assert not session.closing
        session.ping()
        for _ in range(10):
            assert session.write(out)  # an answer
        assert not session.offer(Outgoing(["small"]))
        assert heard.counts == [("pings", "sent")]
        while session.write(out):
            pass
        assert session.queued <= 400_000
        assert not session.offer(out)
        await until(lambda: session.closed)
        assert ("limits", "client_queue") in heard.counts
        writer.transport.abort()


@MODES
async def test_the_size_of_a_packet_is_what_it_adds_to_the_queue(transport: str) -> None:
    async with serve(engineio_server(ping_interval=20), "engine.io") as site:
        client = await site.connect(transport)
        session = site.eio.sockets[client.sid]
        out = Outgoing(["text", b"binary" * 100])
        session.write(out)
        assert session.queued == session.size(out) > 600


async def test_one_packet_larger_than_the_queue_goes_out() -> None:
    async with serve(engineio_server(client_queue=1000, ping_interval=20), "engine.io") as site:
        for client in (await site.polling(), await site.websocket()):
            await site.eio.send(client.sid, "x" * 5000)
            assert await client.receive() == "4" + "x" * 5000


async def test_a_slow_polling_client_gets_what_was_written_before_its_end() -> None:
    async with serve(engineio_server(client_queue=100, ping_interval=20), "engine.io") as site:
        client = await site.polling()
        for number in range(40):
            await site.eio.send(client.sid, f"{number}----")
        await until(lambda: site.eio.sockets[client.sid].closed)
        got = []
        with pytest.raises(ConnectionError):
            while True:
                packets = await client.poll()
                assert len(packets) <= module.POLL_PACKETS
                got += packets
        assert got == [f"4{number}----" for number in range(len(got))]
        assert len(got) > 10


@MODES
async def test_reading_stops_while_the_inbox_is_full_and_nothing_is_lost(transport: str) -> None:
    eio = engineio_server(ping_interval=0.2, ping_timeout=0.1, inbox=8)
    heard = Heard(eio)
    gate = asyncio.Event()
    seen: list[str] = []

    async def message(sid: str, data: str) -> None:
        await gate.wait()
        seen.append(data)

    eio.on("message", message)
    async with serve(eio, "engine.io") as site:
        client = await site.connect(transport)
        session = eio.sockets[client.sid]
        wanted = [f"m{number}" for number in range(400)]
        if transport == "polling":
            posting = asyncio.create_task(
                site.post(client.sid, "\x1e".join("4" + text for text in wanted))
            )
        else:

            async def send_all() -> None:
                for text in wanted:
                    await client.send("4" + text + " " * 1000)

            posting = asyncio.create_task(send_all())
        await until(lambda: session._paused)
        assert ("limits", "inbox") in heard.counts
        if transport == "polling":
            assert len(session._inbox) == 8
        # it is us who do not read the pong: no timeout for that
        due = asyncio.Event()
        eio.wheel.after(0.5, due.set)
        await soon(due.wait())
        assert not session.closed
        # nor when the time is over just after it was read again
        assert session._ping_due
        session._paused = False
        session._beat.run()
        session._paused = True
        assert not session.closed
        gate.set()
        await until(lambda: len(seen) == 400)
        assert [text.strip() for text in seen] == wanted
        await soon(posting)
        assert not session._paused
        session.end("server disconnect", "kicked")


async def test_connections_that_end_at_once_are_dealt_with_in_slices() -> None:
    eio = engineio_server(ping_interval=20)
    eio.slices = Slices(1e-9)  # one thing a turn
    async with serve(eio, "engine.io") as site:
        clients = [await site.websocket() for _ in range(3)]
        first, *others = sessions = [eio.sockets[client.sid] for client in clients]
        eio.slices.run(lambda: None)  # this turn's
        for session in sessions:
            session.on_gone()
        assert (len(eio.slices), first.closed) == (3, False)
        await until(lambda: first.closed)
        await until(lambda: all(session.closed for session in others))
        await until(lambda: len(eio.slices) == 0)  # each has cut its TCP connection off, and hears


async def test_a_pause_goes_with_the_session_to_the_websocket() -> None:
    eio = engineio_server(ping_interval=20, ping_timeout=20, inbox=4)
    gate = asyncio.Event()
    seen: list[str] = []

    async def message(sid: str, data: str) -> None:
        await gate.wait()
        seen.append(data)

    eio.on("message", message)
    async with serve(eio, "engine.io") as site:
        client = await site.polling()
        session = eio.sockets[client.sid]
        posting = asyncio.create_task(site.post(client.sid, "\x1e".join(["4a"] * 5)))
        await until(lambda: session._paused)
        upgraded = await site.websocket(client.sid)
        await upgraded.send("2probe")
        assert await upgraded.packet() == "3probe"
        await upgraded.send("5")
        await until(lambda: session.upgraded)
        assert not session.ws._tcp.is_reading()
        gate.set()
        await until(lambda: len(seen) == 5)
        assert session.ws._tcp.is_reading()
        await soon(posting)


@MODES
async def test_drain(transport: str) -> None:
    eio = engineio_server(ping_interval=20, ping_timeout=20)
    async with serve(eio, "engine.io") as site:
        client = await site.connect(transport)
        session = eio.sockets[client.sid]
        await soon(session.drain())
        for _ in range(9):
            session.write(Outgoing(["x" * 100_000]))
        draining = asyncio.create_task(session.drain())
        for _ in range(9):
            await client.receive()
        await soon(draining)
        if isinstance(client, Polling):
            for _ in range(9):
                session.write(Outgoing(["x" * 100_000]))
            waiting = asyncio.create_task(session.drain())
            await asyncio.sleep(0)
            session.end("transport close", "transport_close")
            await soon(waiting)


async def test_draining_goes_on_over_the_websocket() -> None:
    async with serve(engineio_server(ping_interval=20), "engine.io") as site:
        client = await site.polling()
        session = site.eio.sockets[client.sid]
        for _ in range(5):
            session.write(Outgoing(["x" * 50_000]))
        draining = asyncio.create_task(session.drain())
        await asyncio.sleep(0)
        upgraded = await site.websocket(client.sid)
        await upgraded.send("2probe")
        assert await upgraded.packet() == "3probe"
        await upgraded.send("5")
        for _ in range(5):
            assert len(await upgraded.packet()) == 50_001
        await soon(draining)


@pytest.mark.parametrize("code", ["shutdown", "slow"])
async def test_who_shall_come_back_is_not_told_a_farewell(code: str) -> None:
    async with serve(engineio_server(ping_interval=20), "engine.io") as site:
        client = await site.polling()
        polling = asyncio.create_task(client.poll())
        session = site.eio.sockets[client.sid]
        await until(lambda: session._poll is not None)
        session.end("server disconnect", code)
        assert await soon(polling) == [NOOP]
        assert (await site.get(client.sid))[0] == 400


async def test_closing_from_inside_a_handler() -> None:
    eio = engineio_server(ping_interval=20)
    reasons: list[str] = []

    async def message(sid: str, data: Any) -> None:
        await eio.disconnect(sid)
        reasons.append("after")

    eio.on("message", message)
    eio.on("disconnect", lambda sid, reason: reasons.append(reason))
    async with serve(eio, "engine.io") as site:
        client = await site.websocket()
        await client.send("4x")
        await client.closed()
        await until(lambda: len(reasons) == 2)
        assert reasons == ["after", "server disconnect"]


async def test_everything_that_was_sent_is_handled_before_the_disconnect() -> None:
    eio = engineio_server(ping_interval=20)
    seen: list[str] = []

    async def message(sid: str, data: str) -> None:
        await asyncio.sleep(0.001)
        seen.append(data)

    eio.on("message", message)
    eio.on("disconnect", lambda sid, reason: seen.append(reason))
    async with serve(eio, "engine.io") as site:
        client = await site.websocket()
        for text in ("a", "b", "c"):
            await client.send("4" + text)
        await client.send(CLOSE)
        await until(lambda: len(seen) == 4)
        assert seen == ["a", "b", "c", "client disconnect"]


async def test_an_open_session_costs_no_task(sio: Site) -> None:
    await sio.websocket()
    before = len(asyncio.all_tasks())
    await asyncio.gather(*(sio.websocket() for _ in range(20)))
    # the clients' own tasks are not counted: aiohttp has none for an idle WebSocket
    assert len(asyncio.all_tasks()) <= before + 1


async def test_a_broadcast_costs_no_task(sio: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    clients = [await sio.websocket() for _ in range(10)]
    for client in clients:
        await client.join()
    loop = asyncio.get_running_loop()
    made: list[Any] = []
    monkeypatch.setattr(loop, "create_task", lambda *args, **kw: made.append(args))
    encoded: list[Any] = []
    original = packet.plain
    monkeypatch.setattr(packet, "plain", lambda *args: encoded.append(1) or original(*args))
    await sio.server.emit("hello", {"a": 1})
    monkeypatch.undo()
    assert (made, encoded) == ([], [1])
    for client in clients:
        assert await client.receive() == '42["hello",{"a":1}]'


async def test_disconnecting_a_server_without_clients() -> None:
    server = quiet()
    await server.eio.disconnect()
    await server.eio.disconnect("nobody")
