"""Listening for TCP connections, and surviving a shortage of file descriptors."""

import errno
import socket
from collections.abc import Awaitable, Callable

import trio

from norc_actors import limits
from norc_actors.config import parse_address
from norc_actors.net.errors import ListenError

_SHORTAGE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


async def open_listeners(address: str) -> list[trio.SocketListener]:
    """Listen on `HOST:PORT` (`[::1]:8443`, `:8443` for all interfaces, port 0 for any free one).

    Raises `ListenError`: the port is in use, needs privileges, or the address is not this machine's.
    """
    try:
        host, port = parse_address(address)
    except ValueError as error:
        raise ListenError(str(error)) from error
    try:
        # trio sets SO_REUSEADDR, so that a restart need not wait for old connections to time out
        return await trio.open_tcp_listeners(port, host=host, backlog=limits.LISTEN_BACKLOG)
    except OSError as error:
        raise ListenError(f"cannot listen on {address}: {_advice(error, port)}") from error


def bound_address(listener: trio.SocketListener) -> tuple[str, int]:
    """The (host, port) that a listener got."""
    host, port, *_ = listener.socket.getsockname()
    return str(host), int(port)


async def accept_forever(
    listener: trio.SocketListener, accepted: Callable[[trio.SocketStream], Awaitable[None]]
) -> None:
    """Hand every accepted stream, TCP_NODELAY set, to `accepted`, which must return soon; runs until cancelled.

    Out of file descriptors or memory (EMFILE, ENFILE, ENOBUFS, ENOMEM) it waits `ACCEPT_RETRY_SECONDS` and goes on.
    """
    while True:
        try:
            stream = await listener.accept()
        except OSError as error:
            if error.errno not in _SHORTAGE:
                raise
            await trio.sleep(limits.ACCEPT_RETRY_SECONDS)
        else:
            await accepted(stream)


def _advice(error: OSError, port: int) -> str:
    if isinstance(error, socket.gaierror):
        return "no such host: write an address of this machine"
    match error.errno:
        case errno.EADDRINUSE:
            return "the port is in use: is a node running already? Stop it, or set `listen` to another port"
        case errno.EACCES | errno.EPERM:
            return f"no permission for port {port}: ports below 1024 need privileges; set `listen` to a higher one"
        case errno.EADDRNOTAVAIL:
            return "the address is not one of this machine's: set `listen` to one that is, or to :PORT for all"
        case _:
            return error.strerror or str(error)
