"""The application's own part of the program: the function that `serve --app MODULE:FUNCTION` names.

Found and called here, with errors that say what to change. What it does is its own business.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import web

from sioserver.config import Config
from sioserver.hooks import Hooks
from sioserver.startup import CannotStart

log = logging.getLogger(__name__)

Setup = Callable[[web.Application, Hooks, Config], Awaitable[None] | None]


def find(name: str) -> Setup:
    """The function of this name, whose module is looked for in the working directory too. Raises
    `CannotStart`."""
    module, _, function = name.partition(":")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), function, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise _failed(name, "cannot be imported", error) from error
        raise CannotStart(
            f"--app {name}: there is no module {error.name}, neither installed nor in {here}"
        ) from error
    except Exception as error:  # somebody else's module raises what it likes
        raise _failed(name, "cannot be imported", error) from error
    if found is None:
        raise CannotStart(f"--app {name}: the module {module} has no {function}")
    if not callable(found):
        raise CannotStart(f"--app {name}: {function} is no function but {found!r:.60}")
    try:
        inspect.signature(found).bind(None, None, None)
    except TypeError as error:
        raise CannotStart(
            f"--app {name}: {function} has to take three arguments: app, hooks, config"
        ) from error
    except ValueError:
        pass  # of something that does not say what it takes
    return cast("Setup", found)


async def set_up(name: str, app: web.Application, hooks: Hooks, config: Config) -> None:
    """Find the function and call it, before `app` is started. Raises `CannotStart`."""
    function = find(name)
    try:
        done = function(app, hooks, config)
        if inspect.isawaitable(done):
            await done
    except Exception as error:  # so does somebody else's function
        raise _failed(name, "failed", error) from error


def _failed(name: str, how: str, error: Exception) -> CannotStart:
    # its author needs to know where
    log.error("--app %s %s", name, how, exc_info=error)
    return CannotStart(f"--app {name} {how}: {type(error).__name__}: {error}")
