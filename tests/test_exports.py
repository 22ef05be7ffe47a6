"""What the package promises to its users, and that importing it does nothing."""

import importlib
import subprocess
import sys
import textwrap

import pytest

import sioserver

PUBLIC = ["AsyncServer", "Config", "Hooks", "Refusal", "__version__", "create_app", "mount"]


def test_the_public_names() -> None:
    assert sorted(sioserver.__all__) == PUBLIC
    for name in PUBLIC:
        assert getattr(sioserver, name)


def test_the_names_are_what_they_seem() -> None:
    import socketio

    from sioserver.app import create_app
    from sioserver.config import Config

    assert issubclass(sioserver.AsyncServer, socketio.AsyncServer)
    assert sioserver.create_app is create_app
    assert sioserver.Config is Config


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("sioserver.client", "RoomClient"),
        ("sioserver.testing", None),
        ("sioserver.engine.base", "Engine"),
        ("sioserver.config", "Config"),
    ],
)
def test_the_public_submodules(module: str, name: str | None) -> None:
    found = importlib.import_module(module)
    assert found.__doc__
    assert name is None or getattr(found, name).__doc__


def test_importing_has_no_effect() -> None:
    """No socket, no thread, no event loop or policy of its own, no logging, no file but .pyc."""
    script = textwrap.dedent(
        """
        import asyncio, logging, signal, sys, threading

        effects = []

        def watch(event, args):
            if event in ("socket.bind", "socket.connect", "subprocess.Popen"):
                effects.append((event, args))
            if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
                if ".pyc" not in str(args[0]):
                    effects.append((event, args))

        sys.addaudithook(watch)
        policy = asyncio.events._event_loop_policy
        handler = signal.getsignal(signal.SIGTERM)
        import sioserver
        assert not effects, effects
        assert threading.active_count() == 1, threading.enumerate()
        assert asyncio.events._event_loop_policy is policy
        assert signal.getsignal(signal.SIGTERM) is handler
        assert not logging.getLogger().handlers
        assert not logging.getLogger("sioserver").handlers
        """
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
