"""TLS contexts: 1.3 only, no session tickets, no early data (section 3).

Clients of a home server trust a CA and show no certificate. Between servers (section 8) both sides show one, and both
check the other's chain and its key usage, the one that connects also the name; the one that accepts learns the name
from the hello. Protocols (ALPN) are set per connection, see `TLSStream`.
"""

import ssl
from collections.abc import Sequence
from pathlib import Path

from norc_actors.net.errors import TLSConfigurationError


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's context. Raises `TLSConfigurationError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _only_tls13(context)
    context.num_tickets = 0  # nobody resumes: a ticket would be a second life of the handshake's secrets
    _load_chain(context, certificate, key)
    return context


def client_context(ca: Path | None = None, *, pem: str | None = None) -> ssl.SSLContext:
    """A client's context: trusts the CA certificates in the file `ca` or in the text `pem` alone, without both the
    system's.

    Raises `TLSConfigurationError`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks name and chain
    _only_tls13(context)
    _trust(context, ca, pem)
    return context


def peer_contexts(
    certificate: Path, key: Path, ca: Path | None = None, *, pem: str | None = None
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server's, client's) contexts of a server towards other servers: the same certificate in both directions, the
    peer's required, and issued under the CA certificates in `ca` or `pem` (without both the system's).

    Raises `TLSConfigurationError`.
    """
    server, client = server_context(certificate, key), client_context(ca, pem=pem)
    server.verify_mode = ssl.CERT_REQUIRED
    _trust(server, ca, pem)
    client.hostname_checks_common_name = False
    _load_chain(client, certificate, key)
    return server, client


def _trust(context: ssl.SSLContext, ca: Path | None, pem: str | None) -> None:
    purpose = ssl.Purpose.CLIENT_AUTH if context.protocol is ssl.PROTOCOL_TLS_SERVER else ssl.Purpose.SERVER_AUTH
    try:
        if pem is not None:
            context.load_verify_locations(cadata=pem)
        elif ca is None:
            context.load_default_certs(purpose)
        else:
            context.load_verify_locations(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise TLSConfigurationError(f"{ca}: no CA certificates can be read there ({_why(error)})") from error


class CertificateReloader:
    """A server context that follows its files: new connections use what `refresh` has loaded."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self.context = server_context(certificate, key)
        self._loaded = _state(self._files)

    def refresh(self) -> bool:
        """Load the files into the context if they changed; whether they had.

        Raises `TLSConfigurationError`: the context then keeps the old ones.
        """
        state = _state(self._files)
        if state == self._loaded:
            return False
        server_context(*self._files)  # tried on a context of its own: a half-loaded pair must not reach the real one
        _load_chain(self.context, *self._files)
        self._loaded = state
        return True


class PeerContexts:
    """`peer_contexts` that follow their files, in both directions (row B167): ask for `server` or `client` for each
    new connection. A CA that is taken out of its file is not trusted by the next."""

    def __init__(self, certificate: Path, key: Path, ca: Path | None = None, *, pem: str | None = None) -> None:
        self._files = (certificate, key, *(() if ca is None else (ca,)))
        self._sources = (certificate, key, ca, pem)
        self._loaded = _state(self._files)
        self.server, self.client = self._make()

    def refresh(self) -> bool:
        """Load the files if they changed; whether they had.

        Raises `TLSConfigurationError`: both contexts then stay as they are.
        """
        state = _state(self._files)
        if state == self._loaded:
            return False
        self.server, self.client = self._make()
        self._loaded = state
        return True

    def _make(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        certificate, key, ca, pem = self._sources
        return peer_contexts(certificate, key, ca, pem=pem)


def _state(files: Sequence[Path]) -> tuple[tuple[int, int, int], ...]:
    try:
        found = [path.stat() for path in files]
    except OSError as error:
        raise TLSConfigurationError(f"{error.filename}: cannot be read ({error.strerror})") from error
    return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in found)


def _only_tls13(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_COMPRESSION


def _load_chain(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    for path in (certificate, key):
        try:
            path.open("rb").close()
        except OSError as error:
            raise TLSConfigurationError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        context.load_cert_chain(str(certificate), str(key), password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise TLSConfigurationError(
            f"{certificate} and {key}: not a PEM certificate chain and its unencrypted key ({_why(error)})"
        ) from error


def _no_password() -> str:
    """OpenSSL would ask on the terminal."""
    raise ValueError("the key is encrypted")


def _why(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
