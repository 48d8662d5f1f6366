"""`python -m tests.support.http2_child CERTIFICATE KEY CA`: an echoing server as a process of its own, whose memory a
test can measure. Prints its port; ends with its standard input."""

import sys
from contextlib import suppress
from pathlib import Path

import trio

from norc_actors import limits
from norc_actors.net.errors import ClosedError, ConnectError
from norc_actors.net.http2 import serve_http2
from norc_actors.net.listener import accept_forever, bound_address, open_listeners
from norc_actors.net.tls import peer_contexts
from tests.support.http2 import ALPN, MAX_BODY, echo


async def main(certificate: str, key: str, ca: str) -> None:
    limits.CLOSE_SECONDS = 0.2  # attackers do not say goodbye
    server, _ = peer_contexts(Path(certificate), Path(key), Path(ca))
    [listener] = await open_listeners("127.0.0.1:0")

    async def one(stream: trio.SocketStream) -> None:
        with suppress(ConnectError, ClosedError):
            await serve_http2(stream, echo, context=server, alpn=ALPN, max_body=MAX_BODY)

    async with trio.open_nursery() as nursery:

        async def accepted(stream: trio.SocketStream) -> None:
            nursery.start_soon(one, stream)

        nursery.start_soon(accept_forever, listener, accepted)
        print(bound_address(listener)[1], flush=True)
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
