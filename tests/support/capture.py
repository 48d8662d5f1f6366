"""A TCP connection recorded by a relay on loopback, and written as a capture file that packet analysers read."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

_RAW_IP = 101  # link type
_MOST = 1400  # bytes of one packet
CLIENT, SERVER = (bytes((192, 0, 2, 1)), 40000), (bytes((192, 0, 2, 2)), 8843)


@dataclass
class Recording:
    """`passed`: (from the client, bytes), in the order in which they passed."""

    port: int = 0
    passed: list[tuple[bool, bytes]] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """As a pcap file: a TCP connection with its opening, between two addresses of documentation."""
        packets: list[bytes] = []
        sequence = {True: 1000, False: 2000}

        def packet(from_client: bool, flags: int, payload: bytes = b"") -> None:
            source, target = (CLIENT, SERVER) if from_client else (SERVER, CLIENT)
            acknowledged = sequence[not from_client] if flags & 0x10 else 0
            tcp = struct.pack(
                "!HHIIBBHHH", source[1], target[1], sequence[from_client], acknowledged, 5 << 4, flags, 65535, 0, 0
            )
            size = 20 + len(tcp) + len(payload)
            ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size, 0, 0, 64, 6, 0, source[0], target[0])
            packets.append(ip + tcp + payload)
            sequence[from_client] += len(payload) + bool(flags & 3)

        packet(True, 0x02)
        packet(False, 0x12)
        packet(True, 0x10)
        for from_client, data in self.passed:
            for at in range(0, len(data), _MOST):
                packet(from_client, 0x18, data[at : at + _MOST])
        packet(True, 0x11)
        packet(False, 0x11)
        head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, _RAW_IP)
        records = [
            struct.pack("<IIII", 1_700_000_000, number, len(one), len(one)) + one for number, one in enumerate(packets)
        ]
        path.write_bytes(head + b"".join(records))


@asynccontextmanager
async def recording(port: int) -> AsyncIterator[Recording]:
    """A relay in front of 127.0.0.1:`port` that records one connection."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    state = Recording(listener.socket.getsockname()[1])

    async def one_way(source: trio.SocketStream, target: trio.SocketStream, from_client: bool) -> None:
        try:
            while data := await source.receive_some():
                state.passed.append((from_client, bytes(data)))
                await target.send_all(data)
            await target.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def relay(client: trio.SocketStream) -> None:
        async with client, await trio.open_tcp_stream("127.0.0.1", port) as server, trio.open_nursery() as nursery:
            nursery.start_soon(one_way, client, server, True)
            nursery.start_soon(one_way, server, client, False)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, relay, [listener])
        yield state
        nursery.cancel_scope.cancel()
