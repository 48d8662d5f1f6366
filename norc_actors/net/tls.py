"""TLS contexts: 1.3 only, no session tickets, no early data (section 3)."""

import ssl
from pathlib import Path


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's context. Raises `TLSConfigurationError`."""
    raise NotImplementedError


def client_context(ca: Path | None = None) -> ssl.SSLContext:
    """A client's context: trusts the CA certificates in the file `ca` alone, without one the system's.

    Raises `TLSConfigurationError`.
    """
    raise NotImplementedError


class CertificateReloader:
    """A server context that follows its files: `refresh` loads them anew if they changed; new connections use them."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.context = server_context(certificate, key)

    def refresh(self) -> bool:
        """Load changed files into the context; whether they had changed. Raises `TLSConfigurationError`; the old ones
        stay."""
        raise NotImplementedError
