"""The server's side: who reads, who closes, whatever the order."""

import pytest
import trio
import trio.testing

from norc_actors import limits
from norc_actors.devpki import DevFiles
from norc_actors.net.errors import ClosedError
from norc_actors.net.websocket import WebSocket
from tests.support.loopback import serving, until


async def test_a_close_from_another_task_ends_the_reader(pki: DevFiles) -> None:
    """The reader reads the peer's half, drops what still comes, and learns the reason."""
    seen: list[ClosedError] = []
    times: list[float] = []

    async def handler(websocket: WebSocket) -> None:
        async def read() -> None:
            with pytest.raises(ClosedError) as caught:
                await websocket.receive()
            seen.append(caught.value)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked(0.01)
            times.append(trio.current_time())
            await websocket.close(4001, "enough")
            times.append(trio.current_time())

    async with serving(pki, handler) as loopback, loopback.connect() as client:
        with pytest.raises(ClosedError) as caught:
            await client.receive()
        await until(lambda: len(times) == 2)
    assert (caught.value.code, caught.value.reason) == (4001, "enough")
    assert times[1] - times[0] < limits.CLOSE_SECONDS / 2
    assert len(seen) == 1


async def test_messages_after_a_goodbye_are_dropped(pki: DevFiles) -> None:
    done = trio.Event()

    async def handler(websocket: WebSocket) -> None:
        await websocket.receive()
        await websocket.close(4001)
        for use in (websocket.receive, lambda: websocket.send(b"x")):
            with pytest.raises(ClosedError) as caught:
                await use()
            assert caught.value.code == 4001
        await websocket.close(4002)
        done.set()

    async with serving(pki, handler) as loopback, loopback.connect() as client:
        await client.send_many([b"first"] + [b"late" * 1000] * 20)
        with pytest.raises(ClosedError):
            await client.receive()
        with trio.fail_after(limits.CLOSE_SECONDS / 2):
            await done.wait()


async def test_two_tasks_cannot_receive(pki: DevFiles) -> None:
    done = trio.Event()

    async def handler(websocket: WebSocket) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.receive)
            await trio.testing.wait_all_tasks_blocked(0.01)
            with pytest.raises(trio.BusyResourceError):
                await websocket.receive()
            nursery.cancel_scope.cancel()
        done.set()

    async with serving(pki, handler) as loopback, loopback.connect():
        await done.wait()


async def test_a_cancelled_receive_loses_nothing(pki: DevFiles) -> None:
    got: list[bytes] = []
    asked, done = trio.Event(), trio.Event()

    async def handler(websocket: WebSocket) -> None:
        with trio.move_on_after(0.02):
            await websocket.receive()
        asked.set()
        while len(got) < 3:
            got.append(await websocket.receive())
            with trio.CancelScope() as scope:
                scope.cancel()
                await trio.lowlevel.checkpoint()
        done.set()

    async with serving(pki, handler) as loopback, loopback.connect() as client:
        await asked.wait()
        await client.send_many([b"1", b"2", b"3"])
        await done.wait()
    assert got == [b"1", b"2", b"3"]


async def test_an_exception_of_the_handler_comes_out_bare_after_a_close(pki: DevFiles) -> None:
    async def handler(_: WebSocket) -> None:
        raise LookupError

    with pytest.RaisesGroup(LookupError, flatten_subgroups=True):
        async with serving(pki, handler) as loopback, loopback.connect() as client:
            with pytest.raises(ClosedError) as caught:
                await client.receive()
            assert caught.value.code == 1000
            await trio.sleep_forever()


async def test_a_peer_that_closes_gets_its_code_back(pki: DevFiles) -> None:
    seen: list[ClosedError] = []

    async def handler(websocket: WebSocket) -> None:
        with pytest.raises(ClosedError) as caught:
            await websocket.receive()
        seen.append(caught.value)

    async with serving(pki, handler) as loopback:
        async with loopback.connect() as client:
            await client.close(4002, "done")
        await until(lambda: seen)
    assert (seen[0].code, seen[0].reason) == (4002, "done")
