"""The running parts of one open client, put together: who starts, who stops, in which order.

Start: committer → outbox loaded → preparer and link. Stop: what is received is committed and what is put is written
(`CLOSE_FLUSH_SECONDS` at most), then link and preparer, then the committer, which finishes what it has, then the file.
"""

import os
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio

from norc_actors.client.committer import Committer
from norc_actors.client.connection import Connection, Dial
from norc_actors.client.core import Core
from norc_actors.client.engine import make_engine
from norc_actors.client.errors import ClientError
from norc_actors.client.events import ServerKeyPinned
from norc_actors.client.keyring import server_pin
from norc_actors.client.link import Caller, Link
from norc_actors.client.opening import dial_for, pin_shown, server_fingerprint, tls_for
from norc_actors.client.options import ClientOptions
from norc_actors.client.profile import Profile
from norc_actors.client.records import SELF, Self
from norc_actors.client.resolver import Resolver
from norc_actors.client.sent import SentRegister
from norc_actors.client.transaction import Ledger
from norc_actors.client.transmission import Transmission
from norc_actors.limits import CLOSE_FLUSH_SECONDS


class Runtime:
    """One open client's tasks."""

    def __init__(self, ledger: Ledger, own: Self, options: ClientOptions) -> None:
        engine = make_engine(ledger.begin(), own, random=os.urandom, clock=time.time)
        self.own = own
        self.options = options
        self.core = Core(engine, Committer(ledger), request_seconds=options.request_timeout)
        self.sent = SentRegister()
        self.core.statuses = self.sent.update
        self.core.ended = self.sent.wake
        self.resolver = Resolver(self.core)
        self.transmission = Transmission(self.core, self.resolver)
        self.link = Link(self.core, self.resolver, self.transmission, Caller(dial=self._dial, pin=self._pin))
        self._tls: ssl.SSLContext | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run inside the block; what the block raises comes out as it is, in no group."""
        failure: BaseException | None = None
        async with trio.open_nursery() as committing:
            committing.start_soon(self.core.committer.run)
            try:
                await self.transmission.load()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.transmission.prepare)
                    if self.options.auto_connect:
                        nursery.start_soon(self.link.run)
                    try:
                        yield
                    except BaseException as error:  # noqa: BLE001 - raised again below, outside the nurseries
                        failure = error
                    with trio.CancelScope(shield=True), trio.move_on_after(CLOSE_FLUSH_SECONDS):
                        await self._flush()
                    nursery.cancel_scope.cancel()
            finally:
                self.core.close()
                self.core.committer.close()
        if failure is not None:
            raise failure

    async def _flush(self) -> None:
        """Commit what was received, write what answers it."""
        try:
            await self.core.do(lambda tx: None)
            if self.core.connection is not None:
                await self.core.connection.wait_written()
            await self.link.stop()
        except ClientError:
            return  # nothing more can be said; all of it is said again next time

    async def _dial(self) -> Dial:
        if self._tls is None:
            self._tls = await trio.to_thread.run_sync(tls_for, self.own)
        pin = await self.core.do(server_pin)
        return dial_for(self.own, pin, self._tls, self.options.tap)

    async def _pin(self, connection: Connection) -> None:
        status = await self.core.do(partial(pin_shown, connection=connection))
        key = connection.established.server_public_key
        former = (known for known in self.core.engine.directory.server_keys if known != key)
        self.core.engine.directory.server_keys = (key, *former)
        if status in ("first use", "rotated"):
            how = "was pinned at first use" if status == "first use" else "was replaced by one that the old key signed"
            text = f"The key of the server {self.own.server_id} {how}."
            self.core.publish([ServerKeyPinned(text=text, fingerprint=server_fingerprint(key))])


def identity_of(profile: Profile) -> tuple[Ledger, Self | None]:
    """A profile's records, and whose they are."""
    ledger = Ledger(profile)
    return ledger, ledger.begin().get(SELF, "self")
