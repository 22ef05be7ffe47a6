"""Certificates and keys: read, looked at, shown to clients, replaced."""

from __future__ import annotations

import errno
import gc
import os
import ssl
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from sioserver.config.schema import Tls
from sioserver.metrics.labels import TLS_HANDSHAKES
from sioserver.tls import LARGEST_FILE, Encryption, Unusable, read

from .certificates import DAY, Certificates

NOW = 1_800_000_000.0
PASSWORD = "open sesame"


@pytest.fixture
def files(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def of(files: Certificates, **more: str) -> Tls:
    given = {"cert": str(files.cert), "key": str(files.key), **more}
    return msgspec.convert(given, Tls)


class Handshake:
    """A client and a server that meet without a network."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext, host: str | None) -> None:
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        if host is None:
            client.check_hostname = False
        self.up = up
        self.client = client.wrap_bio(down, up, server_hostname=host)
        self.server = server.wrap_bio(up, down, server_side=True)

    def run(self) -> None:
        """Raises what the server's side raises, or else the client's."""
        ends = [self.client, self.server]
        failed: dict[ssl.SSLObject, ssl.SSLError] = {}
        for _ in range(8):
            for end in list(ends):
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                except ssl.SSLError as error:
                    failed[end] = error
                ends.remove(end)
        for error in (failed.get(self.server), failed.get(self.client)):
            if error is not None:
                raise error
        assert not ends

    @property
    def shown(self) -> x509.Certificate:
        """The certificate that the client has seen."""
        der = self.client.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der)


def meet(server: Encryption, client: ssl.SSLContext, host: str | None = "localhost") -> Handshake:
    handshake = Handshake(server.context, client, host)
    handshake.run()
    return handshake


# ---------------------------------------------------------------------------- the files


@pytest.mark.parametrize("kind", trustme.KeyType)
def test_a_certificate_and_its_key(files: Certificates, kind: trustme.KeyType) -> None:
    files.issue(begins_at=NOW, expires_at=NOW + 90 * DAY, key_type=kind)
    found = read(of(files))
    assert (found.begins_at, found.expires_at) == (NOW, NOW + 90 * DAY)
    assert found.exposed == ""
    assert found.day == "2027-04-15 08:00 UTC"


def test_both_in_one_file(files: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    both = files.cert.read_bytes() + files.key.read_bytes()
    files.cert.write_bytes(both)
    files.cert.chmod(0o600)
    monkeypatch.setenv("HOME", str(files.cert.parent))
    assert read(Tls(cert=f"~/{files.cert.name}")).exposed == ""


def encrypt(files: Certificates) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    hidden = serialization.BestAvailableEncryption(PASSWORD.encode())
    form = serialization.PrivateFormat.PKCS8
    files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, hidden))


def test_an_encrypted_key(files: Certificates) -> None:
    encrypt(files)
    assert read(of(files, password=PASSWORD)).expires_at
    with pytest.raises(Unusable, match=r"^tls\.password: the key in .*server.key is encrypted"):
        read(of(files))
    with pytest.raises(Unusable, match=r"^tls\.key: .*perhaps tls.password is wrong") as error:
        read(of(files, password="another"))
    assert "another" not in str(error.value)


def test_a_file_that_is_missing(files: Certificates, tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere.pem")
    for key in ("cert", "key"):
        with pytest.raises(Unusable) as found:
            read(of(files, **{key: missing}))
        assert str(found.value) == f"tls.{key}: {missing} cannot be read: No such file or directory"
        assert found.value.key == f"tls.{key}"
    with pytest.raises(Unusable, match="Is a directory"):
        read(of(files, cert=str(tmp_path)))
    with pytest.raises(Unusable, match=r"^tls\.cert: ~nobody-of-this-name/x cannot be read"):
        read(of(files, cert="~nobody-of-this-name/x"))


def test_a_key_that_may_not_be_read(files: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    really = Path.open

    def forbidden(path: Path, *options: Any) -> Any:
        if path == files.key:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return really(path, *options)

    monkeypatch.setattr(Path, "open", forbidden)  # root may read everything
    with pytest.raises(Unusable, match=r"^tls\.key: .* cannot be read: Permission denied$"):
        read(of(files))


def test_something_else_than_pem(files: Certificates) -> None:
    pem = files.cert.read_bytes()
    files.cert.write_bytes(
        x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    )
    with pytest.raises(Unusable, match=r"no certificate .* with: openssl x509 -inform der -in "):
        read(of(files))
    files.cert.write_text("hello")
    with pytest.raises(Unusable, match=r"^tls\.cert: there is no certificate \(PEM\) in [^;]*$"):
        read(of(files))
    files.cert.write_bytes(pem[:200] + pem[300:])
    with pytest.raises(Unusable, match=r"^tls\.cert: the certificates in .* are damaged"):
        read(of(files))
    files.cert.write_bytes(pem + bytes(LARGEST_FILE))
    with pytest.raises(Unusable, match="has more than 1000000 bytes"):
        read(of(files))
    files.cert.write_bytes(pem)
    with pytest.raises(Unusable, match=r"^tls\.key: there is no private key \(PEM\) in [^;]*$"):
        read(of(files, key=str(files.cert)))
    with pytest.raises(Unusable, match=r"^tls\.cert: .*; name the file that holds it in tls\.key$"):
        read(of(files, key=""))
    key = files.key.read_bytes()
    files.key.write_bytes(key.replace(b"\nM", b"\n!", 1))
    with pytest.raises(Unusable, match=r"^tls\.key: .*server\.key cannot be used"):
        read(of(files))


def test_a_key_of_another_certificate(files: Certificates) -> None:
    cert = files.cert.read_bytes()
    files.issue()
    files.cert.write_bytes(cert)
    with pytest.raises(Unusable, match=r"^tls\.key: .* belongs to another certificate than the fi"):
        read(of(files))


def test_the_servers_own_certificate_has_to_stand_first(files: Certificates) -> None:
    files.cert.write_bytes(files.authority.read_bytes() + files.cert.read_bytes())
    with pytest.raises(Unusable, match="the server's own has to stand first"):
        read(of(files))


@pytest.mark.parametrize(
    ("begins", "ends", "warning"),
    [
        (-10, 80, None),
        (-89, -1, "the certificate expired on 2027-01-14 08:00 UTC: clients refuse it"),
        (-80, 10, "the certificate expires on 2027-01-25 08:00 UTC"),
        (-75, 15.1, None),
        (-3000, 14.1, None),
        (-3000, 13.9, "the certificate expires on 2027-01-29 05:36 UTC"),
        (-4, 2, None),  # one of those that live for six days
        (-5.5, 0.5, "the certificate expires on 2027-01-15 20:00 UTC"),
        (1, 90, "the certificate is not valid before 2027-01-16 08:00 UTC"),
    ],
)
def test_what_is_said_of_its_dates(
    files: Certificates, begins: float, ends: float, warning: str | None
) -> None:
    files.issue(begins_at=NOW + begins * DAY, expires_at=NOW + ends * DAY)
    assert read(of(files)).warnings(NOW) == ([] if warning is None else [warning])


@pytest.mark.parametrize(("mode", "exposed"), [(0o640, False), (0o644, True), (0o602, True)])
def test_a_key_that_everybody_may_read(files: Certificates, mode: int, exposed: bool) -> None:
    files.key.chmod(mode)
    said = [line for line in read(of(files)).warnings(time.time()) if str(files.key) in line]
    assert [line.startswith("every user of this machine may read") for line in said] == (
        [True] * exposed
    )


# ---------------------------------------------------------------------------- handshakes


def test_a_client_is_shown_the_certificate(files: Certificates) -> None:
    server = Encryption(of(files))
    client = files.client()
    client.set_alpn_protocols(["h2", "http/1.1"])
    handshake = meet(server, client)
    assert handshake.client.version() == "TLSv1.3"
    assert handshake.client.selected_alpn_protocol() == "http/1.1"
    assert server.handshakes() == {**dict.fromkeys((*TLS_HANDSHAKES, "other"), 0), "done": 1}
    assert server.expires_at() == handshake.shown.not_valid_after_utc.timestamp()


# the client's own library speaks the old ones only when it is asked to
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
def test_old_versions_are_refused(files: Certificates) -> None:
    server = Encryption(of(files))
    old = files.client(ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        meet(server, old)
    twelve = files.client(newest=ssl.TLSVersion.TLSv1_2)
    assert meet(server, twelve).client.version() == "TLSv1.2"
    modern = Encryption(of(files, min_version="1.3"))
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        meet(modern, twelve)
    assert meet(modern, files.client()).client.version() == "TLSv1.3"
    assert server.handshakes()["version"] == modern.handshakes()["version"] == 1


@pytest.mark.parametrize("kind", trustme.KeyType)
def test_only_ciphers_with_forward_secrecy(files: Certificates, kind: trustme.KeyType) -> None:
    files.issue(key_type=kind)
    server = Encryption(of(files))
    client = files.client(newest=ssl.TLSVersion.TLSv1_2)
    for bad in ("kRSA", "SHA1", "SHA256:!AESGCM:!CHACHA20:!AESCCM", "DHE+AESGCM", "AESCCM"):
        client.set_ciphers(bad)
        with pytest.raises(ssl.SSLError, match="NO_SHARED_CIPHER"):
            meet(server, client)
    assert server.handshakes()["cipher"] == 5
    client.set_ciphers("ALL")
    name, version, bits = meet(server, client).client.cipher() or ("", "", 0)
    assert name.startswith("ECDHE-")
    assert (version, bits >= 128) == ("TLSv1.2", True)


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "plain"),
        (b"\0" * 64, "plain"),
        (b"\x16\x03\x01\x00\x05\x63\x00\x00\x01\x00", "other"),
    ],
)
def test_what_is_no_tls_is_counted(files: Certificates, said: bytes, counted: str) -> None:
    server = Encryption(of(files))
    handshake = Handshake(server.context, files.client(), "localhost")
    handshake.up.write(said)
    with pytest.raises(ssl.SSLError):
        handshake.server.do_handshake()
    assert server.handshakes()[counted] == 1


def test_a_client_that_does_not_trust_it_is_counted(files: Certificates) -> None:
    server = Encryption(of(files))
    stranger = ssl.create_default_context()
    with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
        meet(server, stranger)
    assert server.handshakes()["alert"] == 1


def test_who_goes_away_or_says_nothing_is_counted(files: Certificates) -> None:
    server = Encryption(of(files))
    for begun in (False, True):
        handshake = Handshake(server.context, files.client(), "localhost")
        with pytest.raises(ssl.SSLWantReadError):
            handshake.client.do_handshake()
        if begun:
            with pytest.raises(ssl.SSLWantReadError):
                handshake.server.do_handshake()
        del handshake  # as an event loop does when the time is over
        gc.collect()
        assert server.handshakes()["unfinished"] == begun
    assert sum(server.handshakes().values()) == 1
    meet(server, files.client())
    gc.collect()
    assert server.handshakes()["unfinished"] == server.handshakes()["done"] == 1


# ---------------------------------------------------------------------------- new files


def serial(files: Certificates) -> int:
    return x509.load_pem_x509_certificate(files.cert.read_bytes()).serial_number


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", None])
def test_new_connections_get_the_new_certificate(
    files: Certificates, newest: ssl.TLSVersion, host: str | None
) -> None:
    """Also those of clients that name no host: there is no name in their first message."""
    server = Encryption(of(files))
    first = serial(files)
    old = meet(server, files.client(newest=newest), host)
    for kind in (trustme.KeyType.RSA, trustme.KeyType.ECDSA):
        files.issue(key_type=kind, expires_at=time.time() + 5 * DAY)
        assert meet(server, files.client(newest=newest), host).shown.serial_number == first
        server.reload()
        handshake = meet(server, files.client(newest=newest), host)
        assert handshake.shown.serial_number == serial(files) != first
        assert server.expires_at() == handshake.shown.not_valid_after_utc.timestamp()
        first = serial(files)
    # what was there goes on
    old.client.write(b"still here")
    assert old.server.read(64) == b"still here"


def test_a_handshake_under_way_ends_with_what_it_began_with(files: Certificates) -> None:
    server = Encryption(of(files))
    first = serial(files)
    handshake = Handshake(server.context, files.client(), "localhost")
    with pytest.raises(ssl.SSLWantReadError):
        handshake.client.do_handshake()
    with pytest.raises(ssl.SSLWantReadError):
        handshake.server.do_handshake()  # it has shown its certificate
    files.issue()
    server.reload()
    handshake.run()
    assert handshake.shown.serial_number == first
    assert server.handshakes()["done"] == 1


def test_a_session_is_resumed_after_a_reload(files: Certificates) -> None:
    server = Encryption(of(files))
    client = files.client(newest=ssl.TLSVersion.TLSv1_2)
    session = meet(server, client).client.session
    files.issue()
    server.reload()
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    handshake = Handshake(server.context, client, "localhost")
    handshake.client = client.wrap_bio(down, up, server_hostname="localhost", session=session)
    handshake.server = server.context.wrap_bio(up, down, server_side=True)
    handshake.run()
    assert handshake.client.session_reused


def test_broken_new_files_change_nothing(files: Certificates) -> None:
    server = Encryption(of(files))
    first, expires_at = serial(files), server.expires_at()
    key = files.key.read_bytes()
    files.issue(expires_at=NOW)
    files.key.write_bytes(key)  # as between the two files of a renewal
    with pytest.raises(Unusable, match="belongs to another certificate"):
        server.reload()
    files.cert.unlink()
    with pytest.raises(Unusable, match="No such file"):
        server.reload()
    assert meet(server, files.client()).shown.serial_number == first
    assert server.expires_at() == expires_at
