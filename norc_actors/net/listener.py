"""Listening for TCP connections, and surviving a shortage of file descriptors."""

from collections.abc import Awaitable, Callable

import trio


async def open_listeners(address: str) -> list[trio.SocketListener]:
    """Listen on `HOST:PORT` (`[::1]:8443`, `:8443` for all interfaces, port 0 for any free one).

    Raises `ListenError`: the port is in use, needs privileges, or the address is not this machine's.
    """
    raise NotImplementedError


def bound_address(listener: trio.SocketListener) -> tuple[str, int]:
    """The (host, port) that a listener got."""
    raise NotImplementedError


async def accept_forever(
    listener: trio.SocketListener, accepted: Callable[[trio.SocketStream], Awaitable[None]]
) -> None:
    """Hand every accepted stream, TCP_NODELAY set, to `accepted`, which must return soon; runs until cancelled.

    Out of file descriptors or memory (EMFILE, ENFILE, ENOBUFS, ENOMEM) it waits `ACCEPT_RETRY_SECONDS` and goes on.
    """
    raise NotImplementedError
