"""Programs of the system that tests run: found, started, and ended by their own process."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


def needed(program: str) -> str:
    """Where the program is; it is installed by what sets the tests up (Makefile)."""
    for place in (shutil.which(program), f"/usr/sbin/{program}"):
        if place and os.path.exists(place):
            return place
    assert not os.environ.get("CI"), f"{program} has to be there: see `balancers` in the Makefile"
    pytest.skip(f"needs {program}: apt-get install {program}")


@contextmanager
def running(command: list[str], port: int) -> Iterator[str]:
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield f"http://127.0.0.1:{port}"
            assert process.poll() is None
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            process.wait(10)
