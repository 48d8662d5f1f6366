"""Rung 5: members that come and go. Broken: ghosts in the room, and helpers left behind. Fixed: monitors and links."""

from dataclasses import dataclass

import trio

from supervision import (
    ActorRef,
    Call,
    ChildSpec,
    Down,
    DynamicSupervisor,
    ExitReason,
    From,
    GenServer,
    Shutdown,
    Supervisor,
    System,
    count_children,
    start_child,
    start_tree,
)


# region: requests
@dataclass(frozen=True)
class Join(Call[None]):
    name: str
    member: ActorRef


@dataclass(frozen=True)
class Who(Call[tuple[str, ...]]):
    """Who is in the room?"""


@dataclass(frozen=True)
class Crash:
    """To a member: end with an error."""


@dataclass(frozen=True)
class Leave:
    """To a member: end in good order."""


# endregion


# region: forgetful_room
class ForgetfulRoom(GenServer):
    """Learns who comes, and never who goes."""

    def __init__(self) -> None:
        self.members: dict[ActorRef, str] = {}

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Join(name, member):
                self.members[member] = name
                return None
            case Who():
                return tuple(self.members.values())
            case _:
                return await super().handle_call(request, caller)


# endregion


# region: room
class Room(ForgetfulRoom):
    """Monitors each member: its end comes as a message, whatever it ended of."""

    async def handle_call(self, request: object, caller: From) -> object:
        if isinstance(request, Join):
            self.monitor(request.member)
        return await super().handle_call(request, caller)

    async def handle_info(self, message: object) -> None:
        match message:
            case Down(ref, reason):
                print(f"  the room learns that {self.members.pop(ref)} is gone: {reason}")
            case _:
                await super().handle_info(message)


# endregion


# region: member
class Member(GenServer):
    def __init__(self, name: str) -> None:
        self.name = name

    async def init(self) -> None:
        await self.system.ref("room").call(Join(self.name, self.ref))

    async def handle_cast(self, message: object) -> None:
        match message:
            case Crash():
                raise ConnectionResetError("the cable is out")
            case Leave():
                self.stop(Shutdown("left"))
            case _:
                await super().handle_cast(message)


# endregion


# region: feeds
class Feed(GenServer):
    """Sends the news to one member. Broken: it goes on when the member is gone."""

    def __init__(self, member: ActorRef) -> None:
        self.member = member


class LinkedFeed(Feed):
    """Ends with its member."""

    async def init(self) -> None:
        self.link(self.member)


class WatchfulFeed(LinkedFeed):
    """Is told that its member ended, and decides by itself."""

    async def handle_exit(self, ref: ActorRef, reason: ExitReason) -> None:
        print(f"  the feed closes its file, then ends: {reason}")
        self.stop()


# endregion


# region: tree
def house(room: type[GenServer]) -> ChildSpec:
    """The room first: those who are restarted after it need it."""
    children = [
        ChildSpec("room", room, name="room"),
        ChildSpec("members", DynamicSupervisor, name="members", type="supervisor"),
    ]
    return Supervisor.child_spec("house", children, strategy="rest_for_one")


async def join(system: System, name: str) -> ActorRef:
    """A member is temporary: nobody could restart the person at the other end."""
    return await start_child(system.ref("members"), ChildSpec(name, lambda: Member(name), restart="temporary"))


# endregion


# region: monitors
async def evening(room: type[GenServer]) -> None:
    async with start_tree(house(room), System(log=False)) as (system, _):
        alice = await join(system, "alice")
        bob = await join(system, "bob")
        await join(system, "carol")
        await alice.cast(Leave())
        await alice.wait_down()
        await bob.cast(Crash())
        await bob.wait_down()
        print(f"  who is here: {await system.ref('room').call(Who())}")


# endregion


# region: links
async def feed_for_alice(feed: type[Feed]) -> None:
    async with start_tree(house(ForgetfulRoom), System(log=False)) as (system, _):
        alice = await join(system, "alice")
        await start_child(system.ref("members"), ChildSpec("feed", lambda: feed(alice), restart="temporary"))
        await alice.cast(Leave())
        await alice.wait_down()
        await trio.sleep(0.1)
        print(f"  actors left: {(await count_children(system.ref('members'))).active}")


# endregion


async def main() -> None:
    print("broken: the room is not told")
    await evening(ForgetfulRoom)
    print("fixed: the room monitors its members")
    await evening(Room)
    print("broken: the feed is not told")
    await feed_for_alice(Feed)
    print("fixed: the feed is linked to its member")
    await feed_for_alice(LinkedFeed)
    print("fixed: linked, with something to do first")
    await feed_for_alice(WatchfulFeed)


if __name__ == "__main__":
    trio.run(main)
