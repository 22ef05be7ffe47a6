"""Scripts by name."""

from hashlib import sha1

import pytest

from sioserver.engine.redis_scripts import Script, load_script


def test_a_script_is_known_by_the_digest_of_its_text() -> None:
    script = Script("ping", "return 'ä'")
    assert script.sha1 == sha1("return 'ä'".encode()).hexdigest()
    assert repr(script) == "Script(ping)"


def test_a_name_has_one_script() -> None:
    script = load_script("publish")
    assert script is load_script("publish")
    assert "redis.call" in script.source


def test_what_scripts_share_stands_before_them() -> None:
    shared, source = load_script("show").source, load_script("page").source
    assert source.startswith(shared)
    assert "-- with" not in source


def test_a_name_without_a_file_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        load_script("no_such_script")
