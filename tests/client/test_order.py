"""Order within a chain holds while device lists change under it: a device that joins in mid-flow sees no overtaking."""

from pathlib import Path

import pytest
import trio

from norc_actors.client import Client, Message
from tests.support.clients import Town, town

ALICE, BOB = "alice@localhost", "bob@localhost"
COUNT = 150


class Seen:
    """What one device's application was given, as numbers per sender and conversation kind."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[str, bool], list[int]] = {}

    async def follow(self, client: Client) -> None:
        async for received in client.messages():
            assert isinstance(received, Message), received
            self.numbers.setdefault((received.sender_device, received.group), []).append(int(received.text))


async def _flow(client: Client, to: str) -> None:
    for number in range(COUNT):
        await client.send(to, str(number))
        await trio.sleep(0.004)


async def _join(built: Town, name: str, user: str, approver: Client, seen: Seen, nursery: trio.Nursery) -> None:
    """A further device of a user comes in while messages flow."""
    await built.enroll_further(name, user, approver)

    async def run() -> None:
        async with built.open(name) as client:
            await seen.follow(client)

    nursery.start_soon(run)


@pytest.mark.parametrize("attempt", range(1))
async def test_devices_that_join_in_mid_flow_see_everything_in_order(tmp_path: Path, attempt: int) -> None:
    async with town(tmp_path, "alice", "bob", "carol") as built:
        devices = {name: Seen() for name in ("bob", "carol", "bob2", "alice2")}
        async with (
            built.open("alice") as alice,
            built.open("bob") as bob,
            built.open("carol") as carol,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(devices["bob"].follow, bob)
            nursery.start_soon(devices["carol"].follow, carol)
            group = await alice.create_group("team", [BOB, "carol@localhost"])
            async with trio.open_nursery() as acts:
                acts.start_soon(_flow, alice, BOB)
                acts.start_soon(_flow, alice, group.conversation_id)
                acts.start_soon(_join, built, "bob2", "bob", bob, devices["bob2"], nursery)
                await trio.sleep(0.2)
                acts.start_soon(_join, built, "alice2", "alice", alice, devices["alice2"], nursery)
            with trio.fail_after(20):
                await alice.wait_outbox_empty()
                for name in ("bob", "carol"):
                    while any(numbers[-1] < COUNT - 1 for numbers in devices[name].numbers.values()):  # noqa: ASYNC110
                        await trio.sleep(0.05)
            await trio.sleep(0.5)
            nursery.cancel_scope.cancel()
    for name, seen in devices.items():
        for chain, numbers in seen.numbers.items():
            assert numbers == sorted(set(numbers)), f"{name} saw {chain} as {numbers}"
            assert numbers == list(range(numbers[0], COUNT)), f"{name} misses some of {chain}: {numbers}"
    assert all(numbers[0] == 0 for name in ("bob", "carol") for numbers in devices[name].numbers.values())
    assert devices["bob2"].numbers or devices["alice2"].numbers
