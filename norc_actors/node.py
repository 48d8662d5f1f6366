"""`python -m norc_actors.node`: one node of an organisation's home server, and the place where everything is put
together.

    python -m norc_actors.node --config norc.toml     runs what the file says (config.py)
    python -m norc_actors.node --dev DIR              makes keys, certificates and a database in DIR, and runs

Ends in order on SIGTERM or SIGINT: listeners first, then connections, with their last acknowledgements, then the
stores. SIGKILL loses nothing that was acknowledged. Exit codes: 0 ended as asked; 1 the tree gave up; 2 wrong
arguments; 78 wrong configuration, key, certificate or database; 75 the address is taken.
"""

import argparse
import os
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

import structlog
import trio

from norc_actors import limits
from norc_actors.actors.connections.connection_worker import Door
from norc_actors.actors.federation.parts import FederationParts
from norc_actors.actors.tree import Parts, node
from norc_actors.config import Config, ConfigError, load
from norc_actors.crypto.signatures import SigningKey
from norc_actors.devpki import KeyFileError, load_audit_key, load_identity_key, make_dev
from norc_actors.federation_parts import Outward
from norc_actors.ids import InvalidIdError, parse_server_id
from norc_actors.logs import setup_logs
from norc_actors.net.errors import ListenError, TLSConfigurationError
from norc_actors.net.listener import bound_address, open_listeners
from norc_actors.net.tls import CertificateReloader
from norc_actors.protocol.handshake import ServerOffer
from norc_actors.store.accounts import AccountStore
from norc_actors.store.audit import AuditStore
from norc_actors.store.database import Database
from norc_actors.store.errors import StoreError
from norc_actors.store.messages import MessageStore
from norc_actors.trust_parts import trust_parts
from supervision import RootDown, StartError, System, start_tree

EXIT_OK, EXIT_GAVE_UP, EXIT_USAGE, EXIT_ADDRESS, EXIT_CONFIG = 0, 1, 2, 75, 78

_WHAT_A_PERSON_MENDS = (ConfigError, KeyFileError, TLSConfigurationError, StoreError, InvalidIdError)
_EXIT_CODES: tuple[tuple[tuple[type[Exception], ...], int], ...] = (
    ((ListenError,), EXIT_ADDRESS),
    (_WHAT_A_PERSON_MENDS, EXIT_CONFIG),
    ((StartError, RootDown), EXIT_GAVE_UP),
)

log = structlog.get_logger("norc.node")


class Node:
    """A node that is put together and not yet running. Raises what is wrong with its files when it is made."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.system = System()
        self.certificate = CertificateReloader(config.tls.certificate, config.tls.key)
        self._identity = SigningKey("ed25519", load_identity_key(config.identity_key))
        key, clock, random = self._identity.public_key, time.time, secrets.token_bytes
        outward = config.federation.listen is not None
        self._outward = Outward(config, key, clock=clock, random=random) if outward else None
        self._trust = trust_parts(config, key, clock=clock, random=random)
        self._audit_key = load_audit_key(config.audit_key)
        config.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        Database.open(
            config.database
        ).close()  # the schema comes forward here, in the foreground, or the node does not start

    def refresh(self) -> bool:
        """Take over renewed certificates, for devices and for other servers; whether there were any. Raises
        `TLSConfigurationError`: the old ones stay."""
        renewed = self.certificate.refresh()
        return (self._outward is not None and self._outward.refresh()) or renewed

    async def run(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; `task_status` tells the address. Raises `ListenError`, `StartError`, `RootDown`."""
        listeners = await open_listeners(self.config.listen)
        host, port = bound_address(listeners[0])
        address = f"{host}:{port}"
        outside = await self._listen_outside(listeners)
        parts = self._parts(listeners, address, outside)
        try:
            async with start_tree(node(parts), self.system, stop_within=limits.SHUTDOWN_SECONDS):
                log.info("serving", server_id=self.config.server_id, address=address, pid=os.getpid())
                task_status.started(address)
                await trio.sleep_forever()
        finally:
            for listener in (*listeners, *(() if outside is None else outside.listeners)):
                listener.socket.close()

    async def _listen_outside(self, listeners: list[trio.SocketListener]) -> FederationParts | None:
        """The door to other organisations, if the configuration has one."""
        if self._outward is None or self.config.federation.listen is None:
            return None
        try:
            outside = await open_listeners(self.config.federation.listen)
        except ListenError:
            for listener in listeners:
                listener.socket.close()
            raise
        return self._outward.parts(outside, bound_address(outside[0]))

    def _parts(self, listeners: list[trio.SocketListener], address: str, federation: FederationParts | None) -> Parts:
        config, rates = self.config, self.config.limits
        offer = ServerOffer(
            server_id=config.server_id,
            public_keys={"ed25519": self._identity.public_key},
            max_frame=rates.max_frame,
        )
        door = Door(
            ssl_context=self.certificate.context, offer=offer, rates=rates, clock=time.time, random=secrets.token_bytes
        )
        database = config.database
        return Parts(
            server_id=config.server_id,
            identity=self._identity,
            audit_key=self._audit_key,
            open_messages=lambda: MessageStore(Database.open(database), config.server_id),
            open_accounts=lambda: AccountStore(Database.open(database)),
            open_audit=lambda: AuditStore(Database.open(database), config.node_id),
            listeners=listeners,
            door=door,
            federation=federation,
            trust=self._trust,
            control_socket=config.control_socket,
            open_difficulty=config.registration.difficulty if config.registration.open else None,
            about={
                "server_id": config.server_id,
                "address": address,
                "version": version("norc-actors"),
                "federation": "" if federation is None else ":".join(map(str, bound_address(federation.listeners[0]))),
            },
        )


async def serve(config: Config) -> None:
    """Run a node until SIGTERM or SIGINT; SIGHUP takes over a renewed certificate."""
    served = Node(config)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(_obey_signals, served, nursery.cancel_scope))
        await nursery.start(served.run)


async def _obey_signals(served: Node, scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
        async for number in received:
            if number != signal.SIGHUP:
                log.info("ending", signal=signal.Signals(number).name)
                scope.cancel()
                return
            try:
                log.info("certificate", renewed=served.refresh())
            except TLSConfigurationError as error:
                log.error("certificate kept", why=str(error))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        config = _config(options)
        setup_logs(config.log.level, config.log.format, sys.stderr)
        trio.run(serve, config)
    except (*_WHAT_A_PERSON_MENDS, BaseExceptionGroup) as raised:
        error = _first(raised)
        for kinds, code in _EXIT_CODES:
            if isinstance(error, kinds):
                print(f"norc node: {error}", file=sys.stderr)
                return code
        raise
    return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m norc_actors.node", description="Run a NORC home server.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", metavar="FILE", type=Path, help="the configuration, a TOML file")
    what.add_argument("--dev", metavar="DIR", type=Path, help="make what is missing in DIR and run from there")
    parser.add_argument("--server-id", default="localhost", help="with --dev: the server's name (default: localhost)")
    parser.add_argument("--listen", default="127.0.0.1:8443", help="with --dev: HOST:PORT (default: 127.0.0.1:8443)")
    return parser


def _config(options: argparse.Namespace) -> Config:
    if options.dev is None:
        return load(options.config, os.environ)
    folder: Path = options.dev
    files = make_dev(
        folder, parse_server_id(options.server_id), random=secrets.token_bytes, clock=time.time, listen=options.listen
    )
    config = load(files.config, os.environ)
    print(_what_next(config, files.ca), file=sys.stderr, flush=True)
    return config


def _what_next(config: Config, ca: Path) -> str:
    return f"""\
Node {config.server_id} on {config.listen}, everything in {config.data.parent}.
Next, in another terminal:
  norc user invite alice --dir {ca.parent}
  norc enroll alice@{config.server_id} LINK --address {config.listen} --ca {ca}
"""


def _first(raised: BaseException) -> BaseException:
    """The error itself, if a nursery wrapped it."""
    while isinstance(raised, BaseExceptionGroup):
        raised = raised.exceptions[0]
    return raised


if __name__ == "__main__":
    sys.exit(main())
