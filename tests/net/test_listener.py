"""Listening: clear errors, and life goes on without file descriptors."""

import errno
import os
import socket

import pytest
import trio
import trio.testing

from norc_actors import limits
from norc_actors.net.errors import ListenError
from norc_actors.net.listener import accept_forever, bound_address, open_listeners


async def test_any_free_port() -> None:
    [listener] = await open_listeners("127.0.0.1:0")
    host, port = bound_address(listener)
    assert (host, port > 0) == ("127.0.0.1", True)
    assert listener.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
    await listener.aclose()


async def test_ipv6() -> None:
    [listener] = await open_listeners("[::1]:0")
    assert bound_address(listener)[0] == "::1"
    await listener.aclose()


async def test_a_port_in_use_is_said() -> None:
    [listener] = await open_listeners("127.0.0.1:0")
    async with listener:
        with pytest.raises(ListenError, match=r"in use.*`listen`"):
            await open_listeners(f"127.0.0.1:{bound_address(listener)[1]}")


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        ("192.0.2.1:0", "not one of this machine"),
        ("localhost", "HOST:PORT"),
        ("127.0.0.1:99999", "HOST:PORT"),
        ("no-such-host.invalid:1", "no such host"),
    ],
)
async def test_a_bad_address_is_said(address: str, advice: str) -> None:
    with pytest.raises(ListenError, match=advice):
        await open_listeners(address)


@pytest.mark.parametrize(("number", "advice"), [(errno.EACCES, "privileges"), (errno.EIO, os.strerror(errno.EIO))])
async def test_other_failures(monkeypatch: pytest.MonkeyPatch, number: int, advice: str) -> None:
    async def refuse(*_: object, **__: object) -> list[trio.SocketListener]:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(trio, "open_tcp_listeners", refuse)
    with pytest.raises(ListenError, match=advice):
        await open_listeners("127.0.0.1:80")


class Failing:
    """A listener whose accept fails with the given numbers, then waits."""

    def __init__(self, *numbers: int) -> None:
        self._numbers = list(numbers)
        self.times: list[float] = []

    async def accept(self) -> trio.SocketStream:
        self.times.append(trio.current_time())
        if not self._numbers:
            await trio.sleep_forever()
        number = self._numbers.pop(0)
        raise OSError(number, os.strerror(number))


async def ignore(stream: trio.SocketStream) -> None:
    await stream.aclose()


async def test_out_of_descriptors_it_waits_and_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    listener = Failing(errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
    with trio.move_on_after(10):
        await accept_forever(listener, ignore)
    assert len(listener.times) == 5
    steps = [after - before for before, after in zip(listener.times, listener.times[1:], strict=False)]
    assert steps == pytest.approx([limits.ACCEPT_RETRY_SECONDS] * 4)


async def test_any_other_failure_ends_it() -> None:
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        await accept_forever(Failing(errno.EINVAL), ignore)


async def test_every_stream_is_handed_over() -> None:
    got = trio.Event()

    async def take(stream: trio.SocketStream) -> None:
        assert stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await stream.aclose()
        got.set()

    [listener] = await open_listeners("127.0.0.1:0")
    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(accept_forever, listener, take)
        async with await trio.open_tcp_stream(*bound_address(listener)):
            await got.wait()
        nursery.cancel_scope.cancel()
