"""What one client may cost."""

import msgspec
import pytest

from sioserver.config.sections.limits import Limits


def test_every_rate_has_a_burst_that_lets_something_through() -> None:
    rates = [name for name in Limits.__struct_fields__ if name.endswith("_rate")]
    assert len(rates) > 5
    for rate in rates:
        burst = rate.removesuffix("rate") + "burst"
        assert getattr(Limits(), burst) >= 1
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({burst: 0}, Limits)


def test_a_message_of_the_largest_size_fits_into_a_packet_and_a_queue() -> None:
    limits = Limits()
    assert limits.enabled
    assert limits.max_body < limits.max_payload < limits.client_queue
