"""For those who know Trio: what a callback, a cancelled call, an error, a full mailbox and the end of a tree do."""

from dataclasses import dataclass

import trio

from supervision import (
    NO_REPLY,
    ActorRef,
    Call,
    ChildSpec,
    ExitReason,
    From,
    GenServer,
    Mailbox,
    MailboxFull,
    Supervisor,
    System,
    start_tree,
)


# region: requests
@dataclass(frozen=True)
class Look(Call[str]):
    """Look a person up; that takes 0.3 s."""

    name: str


@dataclass(frozen=True)
class Count(Call[int]):
    """How many look-ups are done?"""


# endregion


# region: slow
class SlowDirectory(GenServer):
    """Waits inside the callback: meanwhile no other message is handled."""

    def __init__(self) -> None:
        self.done = 0

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Look(name):
                await trio.sleep(0.3)
                self.done += 1
                return f"{name}@example.org"
            case Count():
                return self.done
            case _:
                return await super().handle_call(request, caller)


# endregion


# region: spawning
class Directory(SlowDirectory):
    """Waits in a task of its own, and answers from there."""

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Look(name):
                self.spawn(self.look, name, caller)
                return NO_REPLY
            case _:
                return await super().handle_call(request, caller)

    async def look(self, name: str, caller: From) -> None:
        await trio.sleep(0.3)
        self.done += 1
        caller.reply(f"{name}@example.org")


# endregion


# region: three
async def three(directory: type[SlowDirectory]) -> None:
    async with start_tree(ChildSpec("directory", directory)) as (_, ref):
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            for name in ("alice", "bob", "carol"):
                nursery.start_soon(ref.call, Look(name))
        print(f"  three look-ups took {trio.current_time() - begun:.1f} s")


# endregion


# region: cancelled
async def cancelled() -> None:
    print("a cancelled call")
    async with start_tree(ChildSpec("directory", Directory)) as (_, ref):
        with trio.move_on_after(0.1):
            await ref.call(Look("alice"))
        print(f"  0.1 s: we stopped waiting; done: {await ref.call(Count())}")
        await trio.sleep(0.3)
        print(f"  0.4 s: the server went on; done: {await ref.call(Count())}")


# endregion


# region: order
class Closing(GenServer):
    """Needs a moment to close its file."""

    def __init__(self, what: str) -> None:
        self.what = what

    async def terminate(self, reason: ExitReason) -> None:
        await trio.sleep(0.1)
        print(f"  {self.what} closed: {reason}")


def closing_house() -> ChildSpec:
    children = [ChildSpec("archive", lambda: Closing("archive")), ChildSpec("room", lambda: Closing("room"))]
    return Supervisor.child_spec("house", children)


async def ends_in_order() -> None:
    print("a block that is cancelled")
    with trio.move_on_after(0.1):
        async with start_tree(closing_house()):
            await trio.sleep_forever()


# endregion


# region: pressure
async def pressure() -> None:
    print("a mailbox for three messages")
    for mailbox in (Mailbox(3, "block"), Mailbox(3, "refuse"), Mailbox(3, "drop_oldest")):
        spec = ChildSpec("sleepy", Sleepy, mailbox=mailbox, shutdown="brutal_kill")
        async with start_tree(spec, System(log=False)) as (_, ref):
            await trio.sleep(0.1)
            print(f"  {mailbox.overflow}: {await five_casts(ref)}")


class Sleepy(GenServer):
    """Is at its first message for a long time."""

    async def init(self) -> None:
        self.set_timeout(0)

    async def handle_info(self, message: object) -> None:
        await trio.sleep_forever()


async def five_casts(ref: ActorRef) -> str:
    for number in range(1, 6):
        try:
            with trio.fail_after(1):
                await ref.cast(number)
        except trio.TooSlowError:
            return f"message {number} waited for room"
        except MailboxFull:
            return f"message {number} was refused"
    return "all five were taken, two are lost"


# endregion


async def main() -> None:
    print("broken: waiting inside a callback")
    await three(SlowDirectory)
    print("fixed: waiting in a task of the actor's own")
    await three(Directory)
    await cancelled()
    await ends_in_order()
    await pressure()


if __name__ == "__main__":
    trio.run(main)
