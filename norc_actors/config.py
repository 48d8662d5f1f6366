"""The node's configuration: one TOML file, every key typed, defaults for all but five (row A…).

Rules
- At most 15 lines are needed; `print_defaults` shows every key with its default.
- An unknown key is an error that names it, its line and the nearest key that exists; a bad value says what is expected.
- Paths are relative to the folder of the file. Secrets may come from the environment instead (`ENVIRONMENT`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from norc_actors import limits


class ConfigError(Exception):
    """The configuration cannot be used; the text names file, line and key, and says what to write."""


class TLSFiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[tls]`: PEM files of the server's certificate chain and key."""

    certificate: Path
    key: Path


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[limits]`: rates of section 10 and sizes; a demo or a benchmark raises them."""

    messages_per_minute: int = 60
    messages_burst: int = 120
    key_requests_per_minute: int = 30
    registrations_per_hour: int = 3
    max_frame: int = limits.DEFAULT_MAX_FRAME
    max_connections: int = 20_000
    max_handshakes_per_source: int = 64


class Logging(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[log]`."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node's configuration. All paths are absolute after `load`."""

    server_id: str
    listen: str = "127.0.0.1:8443"
    data: Path
    tls: TLSFiles
    identity_key: Path
    audit_key: Path
    control: Path | None = None
    node_id: str = "node-1"
    limits: Limits = Limits()
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
    raise NotImplementedError


def print_defaults() -> str:
    """A TOML text with every key: those that are needed as comments, the others with their default."""
    raise NotImplementedError
