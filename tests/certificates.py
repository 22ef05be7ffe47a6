"""Throw-away certificates in files, as an operator has them, and clients that trust them."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import trustme

HOSTS = ("localhost", "127.0.0.1", "::1")
DAY = 86400.0


class Certificates:
    """An authority of our own, and the files of a server in a directory; each `issue` replaces
    them."""

    def __init__(self, directory: Path) -> None:
        self.ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.cert = directory / "server.pem"
        self.key = directory / "server.key"
        self.authority = directory / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.authority))
        self.issue()

    def issue(
        self,
        *hosts: str,
        begins_at: float | None = None,
        expires_at: float | None = None,
        key_type: trustme.KeyType = trustme.KeyType.ECDSA,
    ) -> trustme.LeafCert:
        """A new certificate with a new key; times are seconds since 1970."""
        leaf = self.ca.issue_cert(
            *(hosts or HOSTS),
            not_before=_moment(begins_at),
            not_after=_moment(expires_at),
            key_type=key_type,
        )
        self.cert.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        self.key.write_bytes(leaf.private_key_pem.bytes())
        self.key.chmod(0o600)
        return leaf

    @property
    def settings(self) -> dict[str, object]:
        """What `sioserver serve` is told of the files."""
        return {"tls.cert": self.cert, "tls.key": self.key}

    def client(
        self,
        oldest: ssl.TLSVersion | None = None,
        newest: ssl.TLSVersion | None = None,
    ) -> ssl.SSLContext:
        """A client that trusts the authority, and speaks these versions."""
        context = ssl.create_default_context(cafile=str(self.authority))
        if oldest is not None:
            context.minimum_version = oldest
        if newest is not None:
            context.maximum_version = newest
        return context


def _moment(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)
