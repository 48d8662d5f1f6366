"""Groups, partitions, and streams of events."""

from collections.abc import Awaitable

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervision import (
    ChildSpec,
    Diverted,
    InvalidSpecError,
    Mailbox,
    MailboxFull,
    ServerDown,
    start_child,
)
from supervision.event_stream import (
    EventStream,
    HandlerExists,
    HandlerFailed,
    add_handler,
    notify,
    remove_handler,
    sync_notify,
    which_handlers,
)
from supervision.groups import Groups
from supervision.introspect import resume, suspend
from supervision.partition import PartitionSupervisor, partition_of, route
from supervision.process import Process
from supervision.testing import Probe, assert_tree, clean_tree
from tests.support.actors import Boom, Get, Puppet, boom, doze, puppet, quiet, root

# Groups


async def test_publish_reaches_all_members_and_names_those_who_are_full() -> None:
    async with clean_tree(root(), quiet()) as (system, supervisor):
        groups = Groups(system)
        box = Mailbox(capacity=1, high_water=1)
        a, b, c = [await start_child(supervisor, puppet(name, restart="temporary", mailbox=box)) for name in "abc"]
        for ref in (a, b, c, a):
            groups.join("room", ref)
        await c.cast(doze(5))
        await wait_all_tasks_blocked()
        await c.cast("fills it")
        assert groups.publish("room", "hello", but=a) == [c]
        assert (await a.call(Get()), await b.call(Get())) == ([], ["hello"])
        groups.leave("room", b)
        assert groups.members("room") == [a, c]
        a.kill()
        await a.wait_down()
        assert groups.members("room") == [c]
        assert groups.groups() == ["room"]
        assert groups.publish("nowhere", 1) == []
        assert Groups(system).members("room") == [c]


# Partitions


async def test_a_key_always_leads_to_the_same_partition() -> None:
    spec = ChildSpec("parts", lambda: PartitionSupervisor("relay", lambda _number: Puppet(), 4), type="supervisor")
    async with clean_tree(root(spec), quiet()) as (system, _):
        assert_tree(system, {"parts": {f"relay/{number}": None for number in range(4)}})
        for key in ("one", "two", b"one", 7):
            await route(system, "relay", key).cast(key)
            assert key in await route(system, "relay", key).call(Get())
        assert {route(system, "relay", str(number)).id for number in range(100)} == {f"relay/{n}" for n in range(4)}
        system.ref("relay/1").kill()
        await wait_all_tasks_blocked()
        assert system.ref("relay/1").alive
        with pytest.raises(ServerDown):
            await route(system, "unknown", "key").call(Get())


def test_there_is_one_partition_at_least() -> None:
    with pytest.raises(InvalidSpecError, match="one at least"):
        PartitionSupervisor("relay", lambda _number: Puppet(), 0)


def test_partitions_are_the_same_in_every_process() -> None:
    assert [partition_of(key, 10) for key in ("alice@example.org", b"\x00", 5)] == [1, 7, 6]


# Streams of events


async def test_a_handler_that_fails_is_removed_and_the_others_are_told(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[object] = []

    async def listen(event: object) -> None:
        heard.append(event)

    async def fail(event: object) -> None:
        boom()

    stream_spec = ChildSpec("stream", EventStream, name="stream")
    async with clean_tree(root(stream_spec), quiet()) as (system, _):
        stream = system.ref("stream")
        await add_handler(stream, "fails", fail)
        await add_handler(stream, "listens", listen)
        with pytest.raises(HandlerExists):
            await add_handler(stream, "fails", listen)
        await sync_notify(stream, 1)
        await notify(stream, 2)
        assert await which_handlers(stream) == ["listens"]
        assert [type(each) for each in heard] == [HandlerFailed, int, int]
        assert isinstance(heard[0], HandlerFailed)
        assert isinstance(heard[0].exception, Boom)
        assert await remove_handler(stream, "listens")
        assert not await remove_handler(stream, "listens")
    assert "the handler fails" in caplog.text


async def test_a_name_used_again_is_not_the_first_ones() -> None:
    """The handler that has the name now stays when the owner of the one before ends."""
    heard: list[object] = []

    async def listen(event: object) -> None:
        heard.append(event)

    async with clean_tree(root(ChildSpec("stream", EventStream, name="stream")), quiet()) as (system, supervisor):
        stream, first = system.ref("stream"), await Probe.start(supervisor)
        await add_handler(stream, "name", first.ref.cast, first.ref)
        await remove_handler(stream, "name")
        assert isinstance(first.ref, Process)
        assert not first.ref.watched
        await add_handler(stream, "name", first.ref.cast, first.ref)
        await suspend(stream)
        async with trio.open_nursery() as nursery:
            for ask in (remove_handler(stream, "name"), add_handler(stream, "name", listen)):
                nursery.start_soon(wait_for, ask)
                await wait_all_tasks_blocked()
            first.ref.kill()
            await first.ref.wait_down()  # its end is behind both in the mailbox
            await resume(stream)
        await sync_notify(stream, 1)
    assert heard == [1]


async def wait_for(what: Awaitable[object]) -> None:
    await what


async def test_a_handler_that_fails_at_the_news_of_another_fails_once() -> None:
    heard: list[object] = []

    async def fail(event: object) -> None:
        boom()

    async def listen(event: object) -> None:
        heard.append(event)

    async with clean_tree(root(ChildSpec("stream", EventStream, name="stream")), quiet()) as (system, _):
        stream = system.ref("stream")
        for name, handler in (("one", fail), ("two", fail), ("listens", listen)):
            await add_handler(stream, name, handler)
        await sync_notify(stream, "event")
        assert await which_handlers(stream) == ["listens"]
    assert [each.name if isinstance(each, HandlerFailed) else each for each in heard] == ["two", "one", "event"]


async def test_a_handler_goes_with_its_owner() -> None:
    async with clean_tree(root(ChildSpec("stream", EventStream)), quiet()) as (_, supervisor):
        stream = await start_child(supervisor, ChildSpec("s", EventStream))
        probe = await Probe.start(supervisor)
        await add_handler(stream, "probe", probe.ref.cast, probe.ref)
        await sync_notify(stream, "event")
        assert await probe.next(str) == "event"
        probe.ref.kill()
        await wait_all_tasks_blocked()
        assert await which_handlers(stream) == []


# Diverted messages


async def test_what_finds_no_room_goes_to_another_actor() -> None:
    box = Mailbox(capacity=1, overflow="divert", divert_to="overflow", high_water=1)
    async with clean_tree(root(puppet("busy", mailbox=box)), quiet()) as (system, supervisor):
        busy = system.whereis("busy")
        assert busy is not None
        await busy.cast(doze(5))
        await wait_all_tasks_blocked()
        await busy.cast(1)
        with pytest.raises(MailboxFull):
            await busy.cast(2)
        probe = await Probe.start(supervisor, "overflow")
        await busy.cast(3)
        busy.cast_nowait(4)
        assert [await probe.next(Diverted) for _ in range(2)] == [Diverted(busy, 3), Diverted(busy, 4)]
        with pytest.raises(MailboxFull):
            await busy.call(Get())
        await trio.sleep(10)
        assert await busy.call(Get()) == [1]


async def test_what_is_diverted_in_a_circle_is_refused() -> None:
    def to(name: str) -> Mailbox:
        return Mailbox(capacity=1, overflow="divert", divert_to=name)

    specs = [puppet("a", mailbox=to("b")), puppet("b", mailbox=to("c")), puppet("c", mailbox=to("a"))]
    async with clean_tree(root(*specs), quiet()) as (system, _):
        for name in "abc":
            await system.ref(name).cast(doze(5))
            await wait_all_tasks_blocked()
            await system.ref(name).cast(name)
        with pytest.raises(MailboxFull) as caught:
            await system.ref("a").cast("more")
        assert caught.value.ref is system.whereis("c")
        await trio.sleep(10)
        assert [await system.ref(name).call(Get()) for name in "abc"] == [["a"], ["b"], ["c"]]


@pytest.mark.parametrize("wrong", [{"overflow": "divert"}, {"divert_to": "x"}])
def test_diverting_needs_a_name_and_a_name_needs_diverting(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="go together"):
        Mailbox(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidSpecError):
        ChildSpec("", Puppet)
