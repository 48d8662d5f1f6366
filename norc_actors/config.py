"""The node's configuration: one TOML file, every key typed, defaults for all but six.

Rules
- A node needs at most 15 lines; `print_defaults` shows every key.
- An unknown key is an error that names it, its line and the nearest key that exists; a bad value says what is
  expected. All that is wrong with a file is one `ConfigError`, the first thing first.
- Paths are relative to the folder of the file; after `load` they are absolute.
- Secrets are files, never values in this file. Where they lie may come from the environment (`ENVIRONMENT`), which
  wins.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec

from norc_actors import limits
from norc_actors.ids import InvalidIdError, ServerId, parse_server_id

Positive = Annotated[int, msgspec.Meta(ge=1)]

ENVIRONMENT = {
    "NORC_TLS_KEY_FILE": ("tls", "key"),
    "NORC_IDENTITY_KEY_FILE": ("identity_key",),
    "NORC_AUDIT_KEY_FILE": ("audit_key",),
    "NORC_DATA": ("data",),
}
"""Variables that replace a key of the file (relative paths: to the file's folder, as in the file)."""

S = TypeVar("S", bound=msgspec.Struct)
_MAX_SOCKET_PATH = 107  # bytes, of a Unix socket's address on Linux
_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]]*):(?P<port>\d{1,5})")


class ConfigError(Exception):
    """The configuration cannot be used; the text names file, line and key, and says what to write."""


class TLSFiles(msgspec.Struct, frozen=True, kw_only=True):
    """`[tls]`: PEM files of the server's certificate chain and of its key."""

    certificate: Path
    key: Path


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """`[limits]`: rates of section 10 and sizes; a demonstration or a benchmark raises them."""

    messages_per_minute: Positive = limits.MESSAGES_PER_MINUTE
    messages_burst: Positive = limits.MESSAGES_BURST
    key_lookups_per_minute: Positive = limits.KEY_LOOKUPS_PER_MINUTE
    registrations_per_hour: Positive = limits.REGISTRATIONS_PER_HOUR
    max_frame: Annotated[int, msgspec.Meta(ge=limits.MIN_MAX_FRAME)] = limits.DEFAULT_MAX_FRAME
    max_connections: Positive = limits.MAX_CONNECTIONS
    unauthenticated_per_source: Positive = limits.UNAUTHENTICATED_PER_SOURCE


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """`[registration]`: with `open`, whoever does the work of `difficulty` bits may take a free name without a
    token."""

    open: bool = False
    difficulty: Annotated[int, msgspec.Meta(ge=1, le=limits.MAX_POW_DIFFICULTY)] = 20


class PeerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """`[federation.peers."b.example"]`: where another server listens, when DNS does not say so; `via` names servers
    that may hand on what is for it while it cannot be reached directly."""

    address: str | None = None
    via: tuple[ServerId, ...] = ()


class Organization(msgspec.Struct, frozen=True, kw_only=True):
    """`[federation.organization]`: who asks others for trust; other operators read it."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] = "An organisation"
    country: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}$")] = "XX"
    contact_email: Annotated[str, msgspec.Meta(min_length=3, max_length=320)] = "postmaster@localhost"


class TrustRoots(msgspec.Struct, frozen=True, kw_only=True):
    """`[federation.trust]`: PEM files of roots by the level that their chains prove, and what they must carry.

    `policy_oids`: of which a chain to a government's or NATO's root needs one; `nato_agreements`: under which NATO's
    level may be granted; `crls`: PEM file of lists of revoked certificates, of any issuers, read when the node starts.
    """

    roots: Path | None = None
    government_roots: Path | None = None
    nato_roots: Path | None = None
    policy_oids: tuple[str, ...] = ()
    nato_agreements: tuple[str, ...] = ()
    crls: Path | None = None
    auto_accept_basic: bool = False
    max_trust_age_days: Positive = 365


class Federation(msgspec.Struct, frozen=True, kw_only=True):
    """`[federation]`: links to other organisations. Without `listen` the node has none.

    `ca`: PEM file of the authorities whose TLS certificates other servers show. `certificate` and `key`: this server's,
    for both directions; without them those of `[tls]`. `dns`: a name server to ask, HOST:PORT, else the system's.
    """

    listen: str | None = None
    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    dns: str | None = None
    advertise: str | None = None
    organization: Organization = Organization()
    trust: TrustRoots = TrustRoots()
    peers: dict[ServerId, PeerEntry] = {}


class Logging(msgspec.Struct, frozen=True, kw_only=True):
    """`[log]`."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A node's configuration. All paths are absolute."""

    server_id: ServerId
    data: Path
    identity_key: Path
    audit_key: Path
    tls: TLSFiles
    listen: str = "127.0.0.1:8443"
    node_id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{1,64}$")] = "node-1"
    control: Path | None = None
    limits: Rates = Rates()
    registration: Registration = Registration()
    federation: Federation = Federation()
    log: Logging = Logging()

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.data / "norc.db"

    @property
    def control_socket(self) -> Path:
        """The Unix socket of the running node's administration."""
        return self.control or self.data / "control.sock"


def load(path: Path, environment: Mapping[str, str]) -> Config:
    """Read and check the file. Raises `ConfigError`."""
    try:
        text = path.read_text("utf-8")
        values = tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file: `norc init` makes a folder with one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: this is not TOML: {error}") from error
    for variable, keys in ENVIRONMENT.items():
        if variable in environment:
            _put(values, keys, environment[variable])
    where = _Where(path, text)
    _check_keys(values, Config, (), where)
    config = _convert(values, where)
    _check_values(config, where)
    return _absolute(config, path.resolve().parent)


def parse_address(text: str) -> tuple[str | None, int]:
    """(host, port) of `HOST:PORT`, `[v6]:PORT` or `:PORT` (host None: all interfaces). Raises `ValueError`."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise ValueError(f"{text!r} is no address: write HOST:PORT, for example 127.0.0.1:8443 or [::1]:8443")
    return match["host"].strip("[]") or None, int(match["port"])


def print_defaults() -> str:
    """A TOML text with every key: those that are needed as comments, the others with their default."""
    return "\n".join(
        [
            "# Needed:",
            '# server_id = "chat.example.org"   # the DNS name that clients dial',
            '# data = "/var/lib/norc"           # a folder for the database',
            '# identity_key = "identity.pem"    # the server\'s Ed25519 key',
            '# audit_key = "audit.key"          # the key of the audit log\'s pseudonyms',
            "# [tls]",
            '# certificate = "server.pem"',
            '# key = "server.key"',
            "",
            "# Defaults:",
            *_lines(Config),
            '# control = "DATA/control.sock"',
            *(
                line
                for name, kind in (("limits", Rates), ("registration", Registration), ("log", Logging))
                for line in ("", f"[{name}]", *_lines(kind))
            ),
            "",
            "# Other organisations: with `listen` the node has links to them.",
            "# [federation]",
            '# listen = "0.0.0.0:8843"',
            '# ca = "federation-ca.pem"          # the authorities of other servers\' TLS certificates',
            '# certificate = "server.pem"        # for both directions; without them those of [tls]',
            '# key = "server.key"',
            '# advertise = "HOST:PORT"           # what server_info says, where it is not the address above',
            '# dns = "127.0.0.1:53"              # the name server to ask',
            '# [federation.peers."b.example"]',
            '# address = "b.example:8843"        # where DNS does not say it',
            '# via = ["t.example"]               # who may hand on what is for it while it is away',
            "",
            "[federation.organization]",
            *_lines(Organization),
            "",
            "[federation.trust]",
            '# roots = "roots.pem"               # and government_roots, nato_roots, policy_oids, crls',
            *_lines(TrustRoots),
            "",
        ]
    )


def _lines(kind: type[msgspec.Struct]) -> list[str]:
    fields = msgspec.structs.fields(kind)
    plain = [field for field in fields if isinstance(field.default, str | int)]
    return [f"{field.name} = {msgspec.json.encode(field.default).decode()}" for field in plain]


class _Where:
    """Finds the line of a key, for messages."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()

    def error(self, keys: tuple[str, ...], what: str) -> ConfigError:
        line = self._line(keys)
        name = ".".join(keys)
        return ConfigError(f"{self._path}{f', line {line}' if line else ''}: {name + ': ' if name else ''}{what}")

    def _line(self, keys: tuple[str, ...]) -> int | None:
        """The line where `keys` is assigned, as far as plain TOML goes; None for inline tables and the like."""
        section: tuple[str, ...] = ()
        for number, line in enumerate(self._lines, 1):
            header = re.match(r"\s*\[\s*([\w.-]+)\s*\]", line)
            assigned = re.match(r"\s*([\w.-]+)\s*=", line)
            if header:
                section = tuple(header[1].split("."))
                if section == keys:
                    return number
            elif assigned and section + tuple(assigned[1].split(".")) == keys:
                return number
        return None


def _check_keys(values: Mapping[str, Any], kind: type[msgspec.Struct], above: tuple[str, ...], where: _Where) -> None:
    """Refuse keys that `kind` does not have, here and in the tables below."""
    known = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
            raise where.error((*above, key), f"unknown key; {hint}")
        table = known[key]
        if isinstance(value, dict) and isinstance(table, type) and issubclass(table, msgspec.Struct):
            _check_keys(value, table, (*above, key), where)


def _convert(values: dict[str, Any], where: _Where) -> Config:
    try:
        return msgspec.convert(values, Config, dec_hook=_path)
    except msgspec.ValidationError as error:
        text, _, at = str(error).partition(" - at `$")
        keys = tuple(at.strip("`.").split(".")) if at.strip("`.") else ()
        missing = re.fullmatch(r"Object missing required field `(\w+)`", text)
        if missing:
            raise where.error((*keys, missing[1]), "needed, but not there; `norc init` writes a whole file") from None
        found: Any = values
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        expected = _choices(keys) or text.partition(", got ")[0].replace("`", "").replace("Expected", "expected")
        raise where.error(keys, f"{expected}, not {found!r}") from None


def _choices(keys: tuple[str, ...]) -> str | None:
    """What a key of few possible values expects."""
    kind: Any = Config
    for key in keys:
        kind = next((field.type for field in msgspec.structs.fields(kind) if field.name == key), None)
    values = get_args(kind) if get_origin(kind) is Literal else ()
    return f"expected one of {', '.join(map(str, values))}" if values else None


def _path(kind: type, value: object) -> Path:
    if kind is not Path or not isinstance(value, str):
        raise ValueError("expected a path as text")  # msgspec adds where
    return Path(value)


def _check_values(config: Config, where: _Where) -> None:
    try:
        parse_server_id(config.server_id)
    except InvalidIdError as error:
        raise where.error(("server_id",), str(error)) from error
    federation = config.federation
    addresses: dict[tuple[str, ...], str | None] = {
        ("listen",): config.listen,
        ("federation", "listen"): federation.listen,
        ("federation", "dns"): federation.dns,
        ("federation", "advertise"): federation.advertise,
        **{("federation", "peers", name): peer.address for name, peer in federation.peers.items()},
    }
    for keys, address in addresses.items():
        try:
            parse_address(address or ":0")
        except ValueError as error:
            raise where.error(keys, str(error)) from error
    for name in (*federation.peers, *(via for peer in federation.peers.values() for via in peer.via)):
        try:
            parse_server_id(name)
        except InvalidIdError as error:
            raise where.error(("federation", "peers"), str(error)) from error
    if federation.listen is not None and federation.ca is None:
        raise where.error(("federation", "ca"), "needed with `listen`: whose TLS certificates other servers may show")


def _absolute(config: Config, base: Path) -> Config:
    """`config` with its paths below `base`."""
    tls = TLSFiles(certificate=base / config.tls.certificate, key=base / config.tls.key)
    trust = _below(config.federation.trust, base, "roots", "government_roots", "nato_roots", "crls")
    federation = msgspec.structs.replace(_below(config.federation, base, "certificate", "key", "ca"), trust=trust)
    own = _below(config, base, "data", "identity_key", "audit_key", "control")
    result = msgspec.structs.replace(own, tls=tls, federation=federation)
    if len(bytes(result.control_socket)) > _MAX_SOCKET_PATH:
        text = f"{result.control_socket} is longer than {_MAX_SOCKET_PATH} bytes, which a Unix socket cannot be"
        raise ConfigError(f"control: {text}: set `control` to a shorter path")
    return result


def _below(values: S, base: Path, *names: str) -> S:
    """`values` with those of its paths that are set below `base`."""
    paths = {name: base / getattr(values, name) for name in names if getattr(values, name) is not None}
    return msgspec.structs.replace(values, **paths)


def _put(values: dict[str, Any], keys: tuple[str, ...], value: str) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
    values[keys[-1]] = value
