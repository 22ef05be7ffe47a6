"""TLS at the public address: the operator's files, looked at before they are used, and replaced for
new connections while the old ones go on.

Knows files and settings; neither who listens nor what is said over the connections.
"""

from __future__ import annotations

import logging
import os
import ssl
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from cryptography import x509

from sioserver.config.schema import Tls
from sioserver.metrics.labels import TLS_HANDSHAKES
from sioserver.startup import CannotStart

log = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds that a client has from its connection to the end of the handshake."""

SHUTDOWN_TIMEOUT: Final = 10.0
"""Seconds that a client has, once its connection is closed, to take what was written and to say
goodbye (RFC 8446, section 6.1); many never do, and asyncio would wait for half a minute."""

LARGEST_FILE: Final = 1_000_000

SOON: Final = 14 * 86400.0
SOON_SHARE: Final = 1 / 6
"""Seconds, and the share of its life, that a certificate has left when its end is near: whichever
is less, as some are made for a few days only."""

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2, those with forward secrecy and authenticated encryption (RFC 9325, section 4.2). TLS
1.3 has no others."""

VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

# What OpenSSL calls it -> how it is counted, by the beginning of the reason.
_FAILURES: Final = (
    ("HTTP", "plain"),
    ("WRONG_VERSION_NUMBER", "plain"),
    ("UNSUPPORTED_PROTOCOL", "version"),
    ("NO_SHARED_CIPHER", "cipher"),
    ("NO_SUITABLE", "cipher"),
    ("TLSV1_ALERT", "alert"),
    ("TLSV13_ALERT", "alert"),
    ("SSLV3_ALERT", "alert"),
)


class Unusable(CannotStart):
    """Certificate and key cannot be used; `key` is the setting that has to be looked at."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(f"{key}: {text}")
        self.key = key
        self.text = text


class Certificate(NamedTuple):
    """A certificate and its key, read and found to fit."""

    context: ssl.SSLContext
    begins_at: float
    """Seconds since 1970, like the next."""
    expires_at: float
    exposed: str
    """The path of a key that every user of this machine may read; else empty."""

    @property
    def day(self) -> str:
        """When it expires, in words."""
        return _day(self.expires_at)

    def warnings(self, now: float) -> list[str]:
        """What an operator should know; `now` is seconds since 1970."""
        found = []
        left, life = self.expires_at - now, self.expires_at - self.begins_at
        if left <= 0:
            found.append(f"the certificate expired on {self.day}: clients refuse it")
        elif self.begins_at > now:
            found.append(f"the certificate is not valid before {_day(self.begins_at)}")
        elif left < min(SOON, life * SOON_SHARE):
            found.append(f"the certificate expires on {self.day}")
        if self.exposed:
            found.append(
                f"every user of this machine may read the key in {self.exposed}; "
                "take that away with: chmod o= FILE"
            )
        return found


def read(tls: Tls) -> Certificate:
    """Read and check the files. Raises `Unusable`."""
    chain = _content("tls.cert", tls.cert)
    begins_at, expires_at = _validity(chain, tls.cert)
    where, path = ("tls.key", tls.key) if tls.key else ("tls.cert", tls.cert)
    if b" PRIVATE KEY-----" not in (_content(where, path) if tls.key else chain):
        also = "" if tls.key else "; name the file that holds it in tls.key"
        raise Unusable(where, f"there is no private key (PEM) in {path}{also}")
    context = _context(tls)
    try:
        context.load_cert_chain(_path(tls.cert), _path(path), lambda: _password(tls, path))
    except ssl.SSLError as error:
        raise Unusable(where, _in_words(error, path, bool(tls.password))) from error
    except OSError as error:  # it was there a moment ago
        raise Unusable(where, f"{path} cannot be read: {error.strerror or error}") from error
    open_to_all = os.stat(_path(path)).st_mode & (stat.S_IROTH | stat.S_IWOTH)
    return Certificate(context, begins_at, expires_at, path if open_to_all else "")


class Encryption:
    """What connections to the public address begin with: pass `context` to the event loop.

    Each handshake is shown the certificate that was read last. It is swapped as a whole: loading
    new files into a context that is in use would leave it with the certificate of one and the key
    of the other when they do not fit.
    """

    def __init__(self, tls: Tls) -> None:
        """Raises `Unusable`."""
        self._tls = tls
        self.certificate = read(tls)
        self._handshakes = dict.fromkeys((*TLS_HANDSHAKES, "other"), 0)
        self.context = self.certificate.context
        self.context.sslobject_class = _counted(self._count)
        # called in every handshake, also of clients that name no server
        self.context.sni_callback = self._show

    def reload(self) -> None:
        """Read the files again, for the connections to come. Raises `Unusable`, and then the old
        certificate stays."""
        self.certificate = read(self._tls)

    def expires_at(self) -> float:
        """When the certificate expires, in seconds since 1970."""
        return self.certificate.expires_at

    def handshakes(self) -> Mapping[str, int]:
        """How many have ended, by `TLS_HANDSHAKES`."""
        return self._handshakes

    def _show(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        if self.certificate.context is not context:
            connection.context = self.certificate.context

    def _count(self, what: str) -> None:
        self._handshakes[what] += 1


def _counted(count: Any) -> type[ssl.SSLObject]:
    class Counted(ssl.SSLObject):
        """Event loops keep silent about handshakes that fail, as they should (anybody can make
        them); so this is the place to count them."""

        _under_way = False

        def do_handshake(self) -> None:
            self._under_way = True
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as error:
                self._under_way = False
                reason = error.reason or ""
                count(next((name for sign, name in _FAILURES if reason.startswith(sign)), "other"))
                log.debug("a TLS handshake failed: %s", reason)
                raise
            self._under_way = False
            count("done")

        def __del__(self) -> None:
            # who goes away or lets the time run out is told to nobody: the event loop drops this
            if self._under_way:
                count("unfinished")

    return Counted


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[tls.min_version]
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def _path(path: str) -> Path:
    return Path(path).expanduser()


def _content(key: str, path: str) -> bytes:
    try:
        with _path(path).open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except (OSError, RuntimeError, ValueError) as error:  # no such home; a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise Unusable(key, f"{path} cannot be read: {reason}") from error
    if len(content) > LARGEST_FILE:
        raise Unusable(key, f"{path} has more than {LARGEST_FILE} bytes")
    return content


def _validity(chain: bytes, path: str) -> tuple[float, float]:
    """From when to when the first certificate is valid, which is the server's own."""
    if b"-----BEGIN CERTIFICATE-----" not in chain:
        remedy = f"; make it so with: openssl x509 -inform der -in {path} -out {path}.pem"
        der = chain.startswith(b"\x30\x82")
        raise Unusable(
            "tls.cert", f"there is no certificate (PEM) in {path}{remedy if der else ''}"
        )
    try:
        own = x509.load_pem_x509_certificates(chain)[0]
    except ValueError as error:
        raise Unusable("tls.cert", f"the certificates in {path} are damaged: {error}") from error
    return own.not_valid_before_utc.timestamp(), own.not_valid_after_utc.timestamp()


def _password(tls: Tls, path: str) -> str:
    # without an answer of ours, OpenSSL would ask at the terminal
    if not tls.password:
        raise Unusable("tls.password", f"the key in {path} is encrypted: set its password")
    return tls.password


def _in_words(error: ssl.SSLError, path: str, password: bool) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return (
            f"the key in {path} belongs to another certificate than the first in tls.cert; the "
            "server's own has to stand first, then those that it was signed with"
        )
    if password:
        return f"{path} cannot be used, perhaps tls.password is wrong: {error.reason or error}"
    return f"{path} cannot be used: {error.reason or error}"


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
