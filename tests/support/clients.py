"""People with enrolled devices at a real node, for tests of the client library."""

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import trio

from norc_actors.client import Address, Client, ClientOptions, Enrolled, Message, Undecryptable
from norc_actors.client.events import Event
from norc_actors.crypto.passphrase import Cost
from tests.support.house import House, house

E = TypeVar("E", bound=Event)

CHEAP = Cost(memory_kib=64, passes=1, lanes=1)


@dataclass(frozen=True)
class Town:
    """A node and a folder of profiles."""

    house: House
    folder: Path

    @property
    def options(self) -> ClientOptions:
        """How to reach the node."""
        served = self.house.served
        address = Address(host=served.host, port=served.port)
        return ClientOptions(address=address, ca_file=served.ca, request_timeout=10, passphrase_cost=CHEAP)

    def path(self, name: str) -> Path:
        """Where a profile lies."""
        return self.folder / f"{name}.norc"

    @property
    def key_file(self) -> Path:
        """A key file that opens every profile."""
        path = self.folder / "key"
        if not path.exists():
            path.write_bytes(os.urandom(32))
        return path

    async def invite(self, user: str) -> str:
        """A link for a user's first device."""
        answer = await self.house.served.ask({"command": "invite", "user_id": f"{user}@localhost"})
        assert answer["ok"], answer
        return str(answer["link"])

    async def enroll(self, *users: str) -> None:
        """Enrol a first device of each, its profile named like the user."""
        for user in users:
            link = await self.invite(user)
            await Client.enroll(
                self.path(user), link, f"{user}@localhost", key_file=self.key_file, options=self.options
            )

    async def enroll_further(self, name: str, user: str, approver: Client) -> Enrolled:
        """Enrol a further device of `user`, approved by an open one."""
        codes: list[str] = []
        done: list[Enrolled] = []

        async def on_code(code: str) -> None:
            codes.append(code)

        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                enrolled = await Client.enroll_further(
                    self.path(name),
                    f"{user}@localhost",
                    on_code=on_code,
                    key_file=self.key_file,
                    options=self.options,
                    within=20,
                )
                done.append(enrolled)

            nursery.start_soon(ask)
            while not (waiting := approver.pending_devices()):  # noqa: ASYNC110 - the server pushes it soon
                await trio.sleep(0.01)
            await approver.approve(waiting[0].device_id, codes[0])
        return done[0]

    def open(self, name: str, **changes: object) -> AbstractAsyncContextManager[Client]:
        """An enrolled profile, open."""
        return Client.open(self.path(name), key_file=self.key_file, options=self.options)


@asynccontextmanager
async def town(folder: Path, *users: str, limits: str | None = None) -> AsyncIterator[Town]:
    """A running node with these users enrolled."""
    (folder / "node").mkdir(exist_ok=True)
    async with house(folder / "node") if limits is None else house(folder / "node", limits) as running:
        built = Town(running, folder)
        await built.enroll(*users)
        yield built


async def texts(client: Client, count: int) -> list[str]:
    """The texts of the next messages; what could not be shown counts as its cause."""
    found: list[str] = []
    if count == 0:
        return found
    with trio.fail_after(20):
        async for received in client.messages():
            found.append(received.text if isinstance(received, Message) else f"!{received.cause.value}")
            if len(found) == count:
                break
    return found


async def next_message(client: Client) -> Message:
    """The next message, which must be one."""
    with trio.fail_after(20):
        async for received in client.messages():
            assert not isinstance(received, Undecryptable), received
            return received
    raise AssertionError("the client ended")


async def next_event(events: AsyncIterator[Event], kind: type[E]) -> E:
    """The next event of a kind."""
    with trio.fail_after(20):
        async for event in events:
            if isinstance(event, kind):
                return event
    raise AssertionError("the client ended")
