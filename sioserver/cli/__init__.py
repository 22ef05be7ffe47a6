"""The words of an operator, turned into calls. Texts are read and printed only here.

What a setting means is for `sioserver.config`, what the server does for `sioserver.app`, which is
imported no earlier than it is needed: the other commands stay fast and work without it.
"""

from sioserver.cli.program import main

__all__ = ["main"]
