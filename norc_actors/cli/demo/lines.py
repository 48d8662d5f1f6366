"""JSON objects, one a line, over a pipe: how the demo's processes talk."""

import json
from collections import deque
from pathlib import Path

import trio

from norc_actors.cli.output import JsonValue

JsonObject = dict[str, JsonValue]


class JsonLines:
    """The objects of a byte stream as they come, until it ends. `journal` is a file that gets a copy of it all."""

    def __init__(self, stream: trio.abc.ReceiveStream, journal: Path | None = None) -> None:
        self._stream = stream
        self._journal = journal
        self._rest = b""
        self._ready: deque[JsonObject] = deque()

    def __aiter__(self) -> "JsonLines":
        return self

    async def __anext__(self) -> JsonObject:
        while not self._ready:
            chunk = await self._stream.receive_some()
            if not chunk:
                raise StopAsyncIteration
            if self._journal is not None:
                with self._journal.open("ab") as file:
                    file.write(chunk)
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            self._ready.extend(json.loads(line) for line in lines)
        return self._ready.popleft()


def encode(record: JsonObject) -> bytes:
    """One object as one line."""
    return json.dumps(record).encode() + b"\n"
