"""TLS contexts: 1.3 only, no session tickets, no early data (section 3)."""

import ssl
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
    try:
        if pem is not None:
            context.load_verify_locations(cadata=pem)
        elif ca is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise TLSConfigurationError(f"{ca}: no CA certificates can be read there ({_why(error)})") from error
    return context


class CertificateReloader:
    """A server context that follows its files: new connections use what `refresh` has loaded."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self.context = server_context(certificate, key)
        self._loaded = self._state()

    def refresh(self) -> bool:
        """Load the files into the context if they changed; whether they had.

        Raises `TLSConfigurationError`: the context then keeps the old ones.
        """
        state = self._state()
        if state == self._loaded:
            return False
        server_context(*self._files)  # tried on a context of its own: a half-loaded pair must not reach the real one
        _load_chain(self.context, *self._files)
        self._loaded = state
        return True

    def _state(self) -> tuple[tuple[int, int, int], ...]:
        try:
            found = [path.stat() for path in self._files]
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
