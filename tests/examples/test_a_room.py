"""How one tests one's own actors with `supervision.testing`; shown in docs/learn/testing.md."""

from dataclasses import dataclass

import pytest
import trio

from supervision import (
    ActorRef,
    Call,
    CallTimeout,
    ChildSpec,
    Down,
    From,
    GenServer,
    Killed,
    ServerDown,
    Shutdown,
    StartError,
    Supervisor,
    System,
    start_child,
    terminate_child,
)
from supervision.testing import (
    CrashesOnCue,
    HangsOnStop,
    LeftOver,
    Probe,
    RefusesToStart,
    Simulation,
    assert_tree,
    clean_tree,
    run_seeded,
    simulate,
)
from supervision.testing.probe import Asked


# region: room
@dataclass(frozen=True)
class Join(Call[int]):
    """Come in; answered by how many are here."""

    member: ActorRef


@dataclass(frozen=True)
class Keep(Call[None]):
    line: str


class Room(GenServer):
    """Tells every line to its members, and has an archive keep it first."""

    def __init__(self) -> None:
        self.members: list[ActorRef] = []

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Join(member):
                self.members.append(member)
                self.monitor(member)
                return len(self.members)
            case _:
                return await super().handle_call(request, caller)

    async def handle_cast(self, message: object) -> None:
        await self.system.ref("archive").call(Keep(str(message)))
        for member in self.members:
            await member.cast(message)

    async def handle_info(self, message: object) -> None:
        match message:
            case Down(ref):
                self.members.remove(ref)
            case _:
                await super().handle_info(message)


# endregion


# region: tree
def house(*children: ChildSpec) -> ChildSpec:
    return Supervisor.child_spec("house", children)


def room(name: str = "room") -> ChildSpec:
    return ChildSpec(name, Room, name=name)


# endregion


# region: probe
async def test_a_line_is_kept_before_it_is_told(autojump_clock: trio.testing.MockClock) -> None:
    async with clean_tree(house(room())) as (system, house_ref):
        alice = await Probe.start(house_ref)
        archive = await Probe.start(house_ref, "archive")
        assert await system.ref("room").call(Join(alice.ref)) == 1

        await system.ref("room").cast("hello")
        asked = await archive.next(Asked)
        assert asked.request == Keep("hello")
        await alice.nothing(within=1)  # not told yet: the archive has not answered
        asked.caller.reply(None)
        assert await alice.next(str) == "hello"


# endregion


# region: watch
async def test_who_watches_the_room_learns_of_its_end(autojump_clock: trio.testing.MockClock) -> None:
    async with clean_tree(house(room()), System(log=False)) as (system, house_ref):
        first_life = system.whereis("room")
        assert first_life is not None
        probe = await Probe.start(house_ref)
        await probe.watch(first_life, "the room")
        first_life.kill()
        assert await probe.next(Down) == Down(first_life, Killed(), "the room")


# endregion


# region: again
async def test_the_room_is_there_again(autojump_clock: trio.testing.MockClock) -> None:
    async with clean_tree(house(room()), System(log=False)) as (system, _):
        first_life = await system.wait_up("room")
        first_life.kill()
        await first_life.wait_down()
        assert await system.wait_up("room") is not first_life


# endregion


# region: crash
async def test_the_room_ends_when_its_archive_does(autojump_clock: trio.testing.MockClock) -> None:
    archive = ChildSpec("archive", CrashesOnCue, name="archive")
    async with clean_tree(house(archive, room()), System(log=False)) as (system, _):
        first_life = system.whereis("room")
        assert first_life is not None
        await system.ref("archive").cast(OSError("the disk is full"))
        await first_life.cast("hello")
        reason = await first_life.wait_down()
        assert "ServerDown" in str(reason)


# endregion


# region: hang
async def test_a_child_that_hangs_is_ended_after_its_shutdown_time(autojump_clock: trio.testing.MockClock) -> None:
    async with clean_tree(house(ChildSpec("slow", HangsOnStop, shutdown=2.0)), System(log=False)) as (_, house_ref):
        begun = trio.current_time()
        await terminate_child(house_ref, "slow")
        assert trio.current_time() - begun == 2


# endregion


# region: refuse
async def test_a_child_that_starts_at_the_second_try(autojump_clock: trio.testing.MockClock) -> None:
    refusals: list[BaseException] = [OSError("the port is taken")]
    spec = ChildSpec("listener", lambda: RefusesToStart(refusals))
    async with clean_tree(house(), System(log=False)) as (_, house_ref):
        with pytest.raises(StartError, match="the port is taken"):
            await start_child(house_ref, spec)
        assert (await start_child(house_ref, spec)).alive


# endregion


# region: shape
async def test_the_tree_has_the_shape_that_was_meant(autojump_clock: trio.testing.MockClock) -> None:
    upstairs = Supervisor.child_spec("upstairs", [room("tea"), room("music")])
    async with clean_tree(house(room(), upstairs)) as (system, _):
        assert_tree(system, {"room": None, "upstairs": {"tea": None, "music": None}})


# endregion


# region: left_over
class Hoarder(GenServer):
    """Starts a task behind the runtime's back."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery

    async def init(self) -> None:
        self.nursery.start_soon(trio.sleep, 60, name="forgotten")


async def test_what_is_left_behind_fails_the_test(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        with pytest.raises(LeftOver, match="task forgotten"):
            async with clean_tree(ChildSpec("hoarder", lambda: Hoarder(nursery))):
                pass
        nursery.cancel_scope.cancel()


# endregion


# region: seeds
async def two_join_at_once() -> list[int]:
    async with clean_tree(house(room())) as (system, house_ref):
        probes = [await Probe.start(house_ref) for _ in range(2)]
        places: list[int] = []

        async def join(probe: Probe) -> None:
            places.append(await system.ref("room").call(Join(probe.ref)))

        async with trio.open_nursery() as nursery:
            for probe in probes:
                nursery.start_soon(join, probe)
        return places


@pytest.mark.parametrize("seed", range(20))
def test_two_who_join_at_once_both_get_in(seed: int) -> None:
    assert sorted(run_seeded(two_join_at_once, seed)) == [1, 2]


# endregion


# region: simulate
def test_two_who_join_at_once_both_get_in_whatever_the_order() -> None:
    async def scenario(simulation: Simulation) -> None:
        places = await two_join_at_once()
        simulation.record(f"places {places}")
        assert sorted(places) == [1, 2]

    results = simulate(scenario, seeds=range(100))
    assert results.runs == 100


# endregion


# region: network
async def greet(simulation: Simulation) -> None:
    """A greeting crosses a network that is cut for a while."""
    network = simulation.network
    listener = network.listen("server")
    network.partition({"client"}, {"server"})

    async def heal_later() -> None:
        await trio.sleep(simulation.random.uniform(0, 10))
        network.heal()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(heal_later)
        async with await network.connect("client", "server") as client, await listener.accept() as server:
            await client.send_all(b"hello")
            await client.send_eof()
            assert b"".join([part async for part in server]) == b"hello"


def test_a_greeting_arrives_when_the_network_is_whole_again() -> None:
    simulate(greet, seeds=range(50))


# endregion


# region: time
async def test_an_hour_takes_no_time(autojump_clock: trio.testing.MockClock) -> None:
    async with clean_tree(house()) as (_, house_ref):
        silent = await Probe.start(house_ref)
        with pytest.raises(CallTimeout):
            await silent.ref.call(Keep("hello"), timeout=3600)


# endregion


async def test_a_name_that_nobody_holds(autojump_clock: trio.testing.MockClock) -> None:
    async with clean_tree(house()) as (system, house_ref):
        with pytest.raises(ServerDown):
            await system.ref("nobody").call(Keep("hello"))
    assert await house_ref.wait_down() == Shutdown()
