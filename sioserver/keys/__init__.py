"""Where the keys come from that verify tokens: files that the configuration names.

Reads and fetches; what a key is good for is decided in `sioserver.auth`.
"""

from sioserver.keys.files import UnusableKey, read_keys

__all__ = ["UnusableKey", "read_keys"]
