"""As in the transport's tests: python-engineio's codec is for the whole process."""

from ..transport.conftest import _codec

__all__ = ["_codec"]
