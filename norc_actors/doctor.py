"""What is wrong with a node's folder, in words (rows E4, E15). Looks and changes nothing; needs no running node.

Each check looks at one thing and says, if it is not well, what to do next. A check that cannot be made because an
earlier one failed is left out: one cause, one finding.
"""

import datetime
import json
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from norc_actors import limits
from norc_actors.config import Config, ConfigError, load, parse_address
from norc_actors.crypto import kem
from norc_actors.crypto.kem_providers import DEFAULT, find_liboqs
from norc_actors.devpki import CONFIG_NAME, KeyFileError, load_audit_key, load_identity_key
from norc_actors.net.errors import TLSConfigurationError
from norc_actors.net.tls import server_context
from norc_actors.store.database import Database
from norc_actors.store.errors import StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at: well, or what is wrong with it and what to do."""

    name: str
    good: bool
    what: str
    next: str = ""


def examine(directory: Path, now: datetime.datetime | None = None) -> list[Finding]:
    """Every finding about the node in `directory`; `now` is the time by which certificates are judged."""
    try:
        config = load(directory / CONFIG_NAME, os.environ)
    except ConfigError as error:
        return [Finding(name="configuration", good=False, what=str(error), next="mend it, then ask again")]
    found = [Finding(name="configuration", good=True, what=f"{directory / CONFIG_NAME} is complete.")]
    found += _keys(config)
    found += _certificate(config, now or datetime.datetime.now(datetime.UTC))
    found.append(_post_quantum())
    found += _disk(config)
    found += _database(config)
    found.append(_node(config))
    return found


def _keys(config: Config) -> Iterator[Finding]:
    for name, path, loader in (
        ("identity key", config.identity_key, load_identity_key),
        ("audit key", config.audit_key, load_audit_key),
    ):
        try:
            loader(path)
        except KeyFileError as error:
            yield Finding(name=name, good=False, what=str(error), next="restore the file, or its permissions")
        else:
            yield Finding(name=name, good=True, what=f"{path.name} can be read, and by nobody else.")


def _certificate(config: Config, now: datetime.datetime) -> Iterator[Finding]:
    name = "certificate"
    try:
        server_context(config.tls.certificate, config.tls.key)
        leaf = x509.load_pem_x509_certificates(config.tls.certificate.read_bytes())[0]
    except (TLSConfigurationError, OSError, ValueError) as error:
        yield Finding(name=name, good=False, what=str(error), next="put certificate and key in place, in PEM")
        return
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    days = (leaf.not_valid_after_utc - now).days
    if config.server_id not in names.get_values_for_type(x509.DNSName):
        yield Finding(
            name=name,
            good=False,
            what=f"it is not for {config.server_id}.",
            next=f"get a certificate whose subject alternative names have {config.server_id}",
        )
    elif not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        yield Finding(
            name=name,
            good=False,
            what=f"valid from {leaf.not_valid_before_utc:%Y-%m-%d} to {leaf.not_valid_after_utc:%Y-%m-%d}, not today.",
            next="renew it, and look at this machine's clock",
        )
    else:
        soon = days < limits.CERTIFICATE_WARNING_DAYS
        hint = "renew it, then: kill -HUP the node" if soon else ""
        yield Finding(name=name, good=not soon, what=f"for {config.server_id}, {days} days left.", next=hint)


def _post_quantum() -> Finding:
    """ML-KEM-768 as it is used, beside another library's where there is one."""
    other = find_liboqs()
    if kem.agree(DEFAULT, other or DEFAULT, kem.mlkem_seed(os.urandom)):
        beside = "liboqs computes the same" if other is not None else "liboqs is not installed to check it against"
        return Finding(name="post-quantum", good=True, what=f"ML-KEM-768 by {DEFAULT.name} works; {beside}.")
    return Finding(
        name="post-quantum",
        good=False,
        what=f"ML-KEM-768 by {DEFAULT.name} and by {(other or DEFAULT).name} differ.",
        next="install both libraries again; until they agree, sessions may not open elsewhere",
    )


def _disk(config: Config) -> Iterator[Finding]:
    folder = config.data if config.data.exists() else config.data.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Finding(
            name="disk",
            good=False,
            what=f"{folder} cannot be written.",
            next=f"give it to the node's account: chown {folder}",
        )
        return
    free = shutil.disk_usage(folder).free
    enough = free >= limits.DISK_WARNING_BYTES
    yield Finding(
        name="disk",
        good=enough,
        what=f"{free // 2**20} MiB free for {folder}.",
        next="" if enough else "free some space: a full disk stops the node from accepting messages",
    )


def _database(config: Config) -> Iterator[Finding]:
    if not config.database.exists():
        yield Finding(name="database", good=True, what="none yet; the node makes it when it starts.")
        return
    try:
        Database.open(config.database).close()
    except StoreError as error:
        yield Finding(name="database", good=False, what=str(error), next="do what it says, or restore a backup")
    else:
        yield Finding(name="database", good=True, what=f"{config.database} opens, its schema is current.")


def _node(config: Config) -> Finding:
    """Running and answering, or free to start, or something else in its place."""
    status = _status(config.control_socket)
    if status is not None:
        what = f"running as process {status.get('pid')} on {status.get('address')} for {status.get('uptime_s')} s."
        return Finding(name="node", good=True, what=what)
    host, port = parse_address(config.listen)
    family = socket.AF_INET6 if host is not None and ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host or "", port))
        except OSError as error:
            return Finding(
                name="node",
                good=False,
                what=f"not running, and {config.listen} cannot be listened on: {error.strerror}.",
                next="end the other program, or choose another `listen`",
            )
    return Finding(name="node", good=True, what=f"not running; {config.listen} is free.", next="norc node")


def _status(path: Path) -> dict[str, object] | None:
    """What a running node says of itself, None if none answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.settimeout(limits.DOCTOR_SECONDS)
        try:
            control.connect(str(path))
            control.sendall(b'{"command": "status"}\n')
            answer = json.loads(control.makefile("rb").readline())
        except (OSError, ValueError):
            return None
    return answer if isinstance(answer, dict) and answer.get("ok") else None
