"""From a path and a secret to an open profile, and from a profile to whom to dial. Blocking parts run in threads."""

import os
import ssl
import time
from functools import partial
from pathlib import Path

import trio

from norc_actors.client.connection import Connection, Dial
from norc_actors.client.errors import KeyFileError, TlsRefusedError
from norc_actors.client.keyring import Where, pin_server, server_pin
from norc_actors.client.options import Tap
from norc_actors.client.profile import Profile, create_profile, open_profile
from norc_actors.client.records import Self, ServerPin
from norc_actors.client.transaction import Transaction
from norc_actors.client.vault import MIN_KEY_FILE_BYTES, Unlock
from norc_actors.crypto.passphrase import ESCROW_COST, Cost
from norc_actors.limits import DEFAULT_CLIENT_PORT
from norc_actors.net.errors import TLSConfigurationError
from norc_actors.net.tls import client_context
from norc_actors.protocol.enrolment import server_key_hash
from norc_actors.protocol.fingerprint import digits, grouped
from norc_actors.protocol.handshake import KnownKeys

StrPath = str | os.PathLike[str]


def make_unlock(passphrase: str | None, key_file: StrPath | None) -> Unlock:
    """What opens a profile; `KeyFileError` unless exactly one is given and the file is of use."""
    if (passphrase is None) == (key_file is None):
        raise KeyFileError("A profile is opened with a passphrase or with a key file.")
    if passphrase is not None:
        if not passphrase:
            raise KeyFileError("The passphrase is empty.", "Choose one of several words.")
        return Unlock(passphrase=passphrase)
    try:
        data = Path(str(key_file)).read_bytes()
    except OSError as error:
        raise KeyFileError(f"The key file {key_file} cannot be read: {error.strerror}.") from error
    if len(data) < MIN_KEY_FILE_BYTES:
        raise KeyFileError(f"The key file {key_file} has fewer than {MIN_KEY_FILE_BYTES} bytes.")
    return Unlock(key_file=data)


async def open_at(path: StrPath, unlock: Unlock) -> Profile:
    """Open a profile in a thread, since the passphrase alone takes about a second."""
    profile = await trio.to_thread.run_sync(open_profile, Path(path), unlock, os.urandom)
    await trio.to_thread.run_sync(profile.prune, int(time.time()) // 86400)
    return profile


async def create_at(path: StrPath, unlock: Unlock, cost: Cost = ESCROW_COST) -> Profile:
    """Make a profile in a thread."""
    return await trio.to_thread.run_sync(partial(create_profile, Path(path), unlock, os.urandom, cost))


def where(server_id: str, host: str | None, port: int | None, ca_file: Path | None) -> Where:
    """Whom to dial, the CA's certificates read; `TlsRefusedError` if they cannot be."""
    pem = b""
    if ca_file is not None:
        try:
            pem = Path(ca_file).read_bytes()
        except OSError as error:
            raise TlsRefusedError(f"The CA file {ca_file} cannot be read: {error.strerror}.") from error
    return Where(server_id=server_id, host=host or server_id, port=port or DEFAULT_CLIENT_PORT, ca_pem=pem)


def tls_for(own: Self) -> ssl.SSLContext:
    """The client's TLS context; `TlsRefusedError` if the CA's certificates are of no use."""
    try:
        return client_context(pem=own.ca_pem.decode() if own.ca_pem else None)
    except (TLSConfigurationError, UnicodeDecodeError) as error:
        raise TlsRefusedError(f"The CA's certificates are of no use: {error}.") from error


def dial_for(own: Self, pin: ServerPin, tls: ssl.SSLContext, tap: Tap | None = None) -> Dial:
    """Whom to dial and what is known of them: a pinned key decides; before there is one, the hashes of the link."""
    pinned = (pin.key,) if pin.key else ()
    hashes = () if pinned else pin.key_hashes
    known = KnownKeys(token_hashes=hashes, pinned=pinned)
    return Dial(host=own.host, port=own.port, server_id=own.server_id, tls=tls, known=known, tap=tap)


def pin_shown(tx: Transaction, connection: Connection) -> str:
    """Pin the server's key if it was not the pinned one; how it was accepted ("" if there was nothing to pin)."""
    established = connection.established
    if established.key_status == "pinned" and server_pin(tx).key:
        return ""
    pin_server(tx, established.server_public_key)
    return established.key_status


def server_fingerprint(key: bytes) -> str:
    """An identity key as people compare it: the first 30 bytes of its hash as six groups of digits."""
    return grouped(digits(server_key_hash(key)[:30]))
