import asyncio
from typing import Any

import pytest

from sioserver.engine.redis_access import ReplyError
from sioserver.engine.redis_link import Unavailable
from sioserver.engine.redis_replies import answer, answers
from sioserver.errors import Refusal


def done(value: Any) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    if isinstance(value, Exception):
        future.set_exception(value)
    else:
        future.set_result(value)
    return future


async def test_a_reply_is_passed_on() -> None:
    assert await answer(done(5)) == 5
    assert await answers(done(1), done([2])) == [1, [2]]


@pytest.mark.parametrize(
    ("failure", "retry_after"), [(Unavailable("away", 2.5), 2.5), (ReplyError("WRONGTYPE"), 1.0)]
)
async def test_a_failure_is_a_refusal_for_now(failure: Exception, retry_after: float) -> None:
    for call in (answer(done(failure)), answers(done(1), done(failure), done(Unavailable("x")))):
        with pytest.raises(Refusal) as refused:
            await call
        assert (refused.value.code, refused.value.temporary) == ("unavailable", True)
        assert refused.value.retry_after == retry_after


async def test_what_redis_did_not_like_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Refusal):
        await answer(done(ReplyError("NOPERM this user has no permissions")))
    assert "NOPERM" in caplog.text


async def test_other_failures_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError):
        await answers(done(1), done(RuntimeError("planted")))
