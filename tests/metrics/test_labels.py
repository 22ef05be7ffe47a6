"""The names under which things are counted."""

from sioserver import wire
from sioserver.config.schema import Limits
from sioserver.metrics.labels import EVENTS, LIMITS


def test_the_names_are_those_of_their_owners() -> None:
    assert EVENTS == wire.CLIENT_EVENTS
    knobs = {*Limits.__struct_fields__}
    # no limits of their own: a burst belongs to its rate
    switches = {"enabled", *(name for name in knobs if name.endswith("_burst"))}
    # rules of rooms, and a bound that is the engines'
    assert set(LIMITS) == knobs - switches | {"slow_mode", "relay_rate", "sanctions"}
