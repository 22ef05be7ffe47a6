"""Each module has its test module: sioserver/x/y.py is tested in tests/x/test_y.py."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WITHOUT = {"__init__", "__main__", "_version"}  # they only pass on what others do


def test_each_module_has_its_test_module() -> None:
    missing = without_tests(ROOT / "sioserver", ROOT / "tests")
    assert not missing, "no test module, write: " + ", ".join(missing)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    files = {
        "package/wire.py": "x = 1",
        "package/model.py": "x = 1",
        "package/engine/__init__.py": "x = 1",
        "package/engine/base.py": "def f(): ...",
        "package/engine/redis.py": "x = 1",
        "package/note.py": '"""Only words."""\nfrom __future__ import annotations\n',
        "package/_web/tool.py": "x = 1",
        "tests/test_wire.py": "",
        "tests/engine/test_redis.py": "",
        "tests/test_anything_else.py": "",
    }
    for name, source in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    missing = without_tests(tmp_path / "package", tmp_path / "tests")
    assert missing == ["tests/engine/test_base.py", "tests/test_model.py"]


def without_tests(package: Path, tests: Path) -> list[str]:
    missing = []
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package)
        mirror = tests / relative.parent / f"test_{relative.name}"
        if path.stem in WITHOUT or relative.parts[0] == "_web" or mirror.is_file():
            continue
        if has_code(path):
            missing.append(mirror.relative_to(tests.parent).as_posix())
    return missing


def has_code(path: Path) -> bool:
    """True if there is more than words and a __future__ import."""
    return not all(
        (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.ImportFrom) and node.module == "__future__")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
    )
