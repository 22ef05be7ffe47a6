"""What is shipped: the wheel, what is inside, and that it serves from an empty environment."""

import asyncio
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import urllib.request
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
NOT_SOURCES = (".git", ".venv", ".cache", ".*_cache", "node_modules", "build", "dist", "*.egg-info")


# ---- the dependencies ---------------------------------------------------------------------------


def dependencies() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(text) for text in project["dependencies"]]


def locked(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==(\S+)", lock.read_text(), re.MULTILINE))


@pytest.mark.parametrize("requirement", dependencies(), ids=lambda requirement: requirement.name)
def test_floors_hold(requirement: Requirement) -> None:
    """A floor is the first release without a known hole: nothing locked or installed is below."""
    name = canonicalize_name(requirement.name)
    for lock in ("runtime.lock", "dev.lock"):
        assert locked(ROOT / "requirements" / lock)[name] in requirement.specifier, lock
    if requirement.marker is None or requirement.marker.evaluate():
        assert importlib.metadata.version(name) in requirement.specifier


FLOORS = {
    "python-socketio": "5.16.3",  # CVE-2025-61765, CVE-2026-48804
    "python-engineio": "4.13.3",  # CVE-2026-48802
    "aiohttp": "3.14.5",  # CVE-2026-54273 to 54280, 69243, 111750, 123817
    "pyjwt": "2.15.1",  # CVE-2026-32597, 48522, 48523, 102266, 102267, 102272 to 102275
    "redis": "4.5.4",  # CVE-2023-28858, 28859
    "cryptography": "50",
}
"""The first release of each base library in which every hole that is known to concern us is closed.
docs/security.md says what they were."""


def below_floor(requirements: list[Requirement]) -> list[str]:
    """Those of the requirements that would be content with a version below its floor."""
    content = []
    for requirement in requirements:
        floor = FLOORS.get(canonicalize_name(requirement.name))
        least = [Version(one.version) for one in requirement.specifier if one.operator in LEAST]
        if floor is not None and (not least or max(least) < Version(floor)):
            content.append(str(requirement))
    return content


LEAST = (">=", "==", "~=")


@pytest.mark.parametrize("name", FLOORS)
def test_no_version_with_a_known_hole_is_installed_or_locked(name: str) -> None:
    floor = Version(FLOORS[name])
    assert Version(importlib.metadata.version(name)) >= floor
    for lock in ("runtime.lock", "dev.lock"):
        assert Version(locked(ROOT / "requirements" / lock)[name]) >= floor, lock


def test_the_metadata_allow_no_version_with_a_known_hole() -> None:
    """Also the extras': pip would take the older of two that are allowed, if it has to."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [text for extra in project["optional-dependencies"].values() for text in extra]
    assert not below_floor([*dependencies(), *map(Requirement, extras)])
    assert {canonicalize_name(requirement.name) for requirement in dependencies()} >= set(FLOORS)
    # what was installed says the same as what it was made from
    distributed = map(Requirement, importlib.metadata.requires("sioserver") or ())
    assert not below_floor([each for each in distributed if each.name in FLOORS])


def test_a_floor_that_is_too_low_is_noticed() -> None:
    words = ("aiohttp", "aiohttp<4", "aiohttp>=3.14.4,<4", "aiohttp~=3.13", "PyJWT[crypto]>=2.14")
    allowed = [Requirement(text) for text in words]
    assert below_floor(allowed) == [str(requirement) for requirement in allowed]
    assert not below_floor([Requirement("aiohttp>=3.14.5"), Requirement("aiohttp==3.15,<4")])


def test_tests_run_on_what_is_shipped() -> None:
    """Where both locks name a package, they name the same version."""
    runtime = locked(ROOT / "requirements" / "runtime.lock")
    dev = locked(ROOT / "requirements" / "dev.lock")
    assert runtime.items() <= dev.items()


def test_locks_name_no_place() -> None:
    """Where packages come from is each machine's own setting: a lock holds names and hashes."""
    assert len(LOCKS) == 5
    for lock in LOCKS:
        assert "://" not in lock.read_text(), lock.name
    for lock in ROOT.glob("**/package-lock.json"):
        if "node_modules" not in lock.parts:
            assert '"resolved"' not in lock.read_text(), lock


def test_each_dependency_is_defended() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text().lower()
    missing = [r.name for r in dependencies() if f"**{r.name.lower()}**" not in text]
    assert not missing


# ---- the wheel ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to build in: setuptools leaves files behind, and would ship them the next time."""
    tree = tmp_path_factory.mktemp("packaging") / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*NOT_SOURCES))
    return tree


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert (tree / "sioserver" / "_web" / "index.html").is_file(), "type `make web` first"
    return build_wheel(tree, tmp_path_factory.mktemp("wheel"))


def build_wheel(source: Path, folder: Path, **environment: str) -> Path:
    words = ("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, source)
    subprocess.run(
        [sys.executable, "-m", "pip", *words],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    [wheel] = folder.glob("*.whl")
    return wheel


def contents(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_holds_the_package_and_the_page(wheel: Path, tree: Path) -> None:
    names = contents(wheel)
    version = importlib.metadata.version("sioserver")
    assert wheel.name == f"sioserver-{version}-py3-none-any.whl"
    assert {"sioserver/py.typed", "sioserver/_web/index.html", "sioserver/_version.py"} <= names
    package = tree / "sioserver"
    wanted = [*package.rglob("*.py"), *package.glob("_web/**/*"), *package.glob("engine/lua/*")]
    assert {p.relative_to(tree).as_posix() for p in wanted if p.is_file()} <= names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"sioserver", f"sioserver-{version}.dist-info"}
    assert not [name for name in names if "__pycache__" in name]


def test_the_sdist_makes_the_same_wheel(wheel: Path, tree: Path, tmp_path: Path) -> None:
    """From the sdist the wheel is made without npm: the page is in it."""
    call = "import sys, setuptools.build_meta as b; print(b.build_sdist(sys.argv[1]))"
    subprocess.run(
        [sys.executable, "-c", call, tmp_path], cwd=tree, check=True, capture_output=True
    )
    [sdist] = tmp_path.glob("*.tar.gz")
    again = build_wheel(sdist, tmp_path / "again", PATH="/nowhere")
    assert contents(again) == contents(wheel)


def test_no_wheel_without_the_page(tree: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(tree, bare, ignore=shutil.ignore_patterns("_web", "build", "*.egg-info"))
    with pytest.raises(subprocess.CalledProcessError) as failure:
        build_wheel(bare, tmp_path / "refused", PATH="/nowhere")
    assert "npm is not on PATH: run `make web` first" in failure.value.stdout + failure.value.stderr
    made = build_wheel(bare, tmp_path / "asked", SIOSERVER_SKIP_WEB="1")
    assert "sioserver/_version.py" in contents(made)
    assert not [name for name in contents(made) if "/_web/" in name]


# ---- an empty environment -----------------------------------------------------------------------


def install(wheel: Path, environment: Path) -> Path:
    """Installs the wheel with what the runtime lock says, and returns the environment's bin."""
    bin_ = environment / "bin"
    python = bin_ / "python"
    uv = Path(sys.executable).with_name("uv")
    subprocess.run(
        [sys.executable, "-m", "venv", *(["--without-pip"] if uv.exists() else []), environment],
        check=True,
    )
    pip = [uv, "pip", "install", "--python"] if uv.exists() else [python, "-m", "pip", "install"]
    target = [python] if uv.exists() else []
    lock = ROOT / "requirements" / "runtime.lock"
    for words in (["--require-hashes", "-r", lock], ["--no-deps", "--no-index", wheel]):
        subprocess.run([*pip, *target, "-q", *words], check=True)
    return bin_


async def first_address(stream: asyncio.StreamReader) -> str:
    """The address in the line that says that the server is ready."""
    seen = b""
    async for line in stream:
        seen += line
        if found := re.search(rb"http://127\.0\.0\.1:\d+", line):
            return found[0].decode()
    pytest.fail(f"the server ended before it was ready:\n{seen.decode()}")


def get(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status, answer.read().decode()


async def test_the_wheel_serves_from_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    bin_ = install(wheel, tmp_path / "environment")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    # Nothing of the work tree or of the caller's settings may help.
    environment = {"PATH": os.defpath, "HOME": str(elsewhere), "LANG": "C.UTF-8"}
    server = await asyncio.create_subprocess_exec(
        *(bin_ / "sioserver", "serve", "--port", "0", "--store", ":memory:"),
        cwd=elsewhere,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert server.stdout is not None
    try:
        address = await asyncio.wait_for(first_address(server.stdout), 30)
        status, page = await asyncio.to_thread(get, f"{address}/")
        assert status == 200
        assert "<script" in page
        asset = re.search(r'src="(?:\./|/)?([^"]+\.js)"', page)
        assert asset is not None
        assert (await asyncio.to_thread(get, f"{address}/{asset[1]}"))[0] == 200
        assert (await asyncio.to_thread(get, f"{address}/healthz"))[0] == 200
        server.send_signal(signal.SIGTERM)
        rest = await asyncio.wait_for(server.stdout.read(), 20)
        assert await server.wait() == 0, rest.decode()
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()
