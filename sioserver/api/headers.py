"""What browsers are told to forbid, for each kind of answer.

Texts in, header fields out; which answer it is and who has asked is for others to know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

ANSWER: Final[Mapping[str, str]] = {
    # whoever stands between must not answer in our place
    "Cache-Control": "no-store",
    # should a browser show it after all, then nothing in it is markup, runs or is framed
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
"""Of answers to machines, and of errors."""

STRICT_TRANSPORT: Final = "Strict-Transport-Security"
"""RFC 6797; only over TLS."""

SELF: Final = "self"
"""An entry of `frame_ancestors`: pages of this server."""

_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def strict_transport(seconds: float) -> str:
    """The value of `STRICT_TRANSPORT`. Of this host only: of its sub-domains the server knows
    nothing."""
    return f"max-age={seconds:.0f}"


def page_headers(host: str, frame_ancestors: Sequence[str] = ()) -> dict[str, str]:
    """Of the page and its files. `host` is the one that the browser asked for, `frame_ancestors`
    the origins of pages that may show this one in a frame, as in the configuration."""
    none, connect = "'none'", "'self'"
    if _HOST.fullmatch(host):  # a stranger's text otherwise: it must not add a directive
        # older Safaris do not count WebSockets to the same host as 'self'
        connect += f" ws://{host} wss://{host}"
    ancestors = [f"'{page}'" if page == SELF else page for page in frame_ancestors]
    fields = {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            f"font-src 'self'; connect-src {connect}; base-uri 'none'; form-action 'none'; "
            f"frame-ancestors {' '.join(ancestors) or none}; "
            # text becomes markup or code through Vue's compiled templates only
            "require-trusted-types-for 'script'; trusted-types vue"
        ),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    if not ancestors:
        fields["X-Frame-Options"] = "DENY"  # it cannot say more than that
    return fields
