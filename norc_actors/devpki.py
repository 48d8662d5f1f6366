"""Keys and certificates for `--dev` and for tests: a private CA, a server certificate, the server's identity key, a
configuration.

Never for production: the CA's key lies beside the server's.
"""

from pathlib import Path

import msgspec

from norc_actors.ids import Clock, Random, ServerId


class DevFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything lies. `ca` is what a client trusts."""

    config: Path
    ca: Path
    certificate: Path
    key: Path
    identity_key: Path
    audit_key: Path
    data: Path


def make_dev(
    folder: Path, server_id: ServerId, *, random: Random, clock: Clock, listen: str = "127.0.0.1:8443", extra: str = ""
) -> DevFiles:
    """Make in `folder` whatever is missing (a second call changes nothing that is valid) and return where it lies.

    `extra` is appended to a newly written configuration (TOML). Raises `DevError`.
    """
    raise NotImplementedError


def load_identity_key(path: Path) -> bytes:
    """The 32-byte Ed25519 seed of the server's identity key. Raises `DevError` if the file is missing, damaged or
    open to others."""
    raise NotImplementedError


def load_audit_key(path: Path) -> bytes:
    """The 32 bytes of k_year (section 10). Raises like `load_identity_key`."""
    raise NotImplementedError


class DevError(Exception):
    """A key file cannot be made or used; the text says which and what to do."""
