"""The configuration: one typed schema, and the layers it is built from."""

from sioserver.config.load import ConfigError, Fault, build
from sioserver.config.schema import Config, RoomRule

__all__ = ["Config", "ConfigError", "Fault", "RoomRule", "build"]
