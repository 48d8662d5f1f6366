"""One device of the demo, a process of its own: the client library driven by JSON lines.

Commands come on standard input, one object a line, and are done in order; events go out on standard output the same
way. What the application is given (`seen`) is reported from the plain `messages()` loop that any application would
write, before the message is marked as read: the ledger compares that, and nothing that the library counts.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Literal

import trio

from norc_actors.cli.demo.lines import JsonLines, JsonObject
from norc_actors.cli.demo.plan import digest_of
from norc_actors.cli.errors import explain
from norc_actors.cli.output import JsonValue
from norc_actors.client import Address, Client, ClientOptions, Message, Sent
from norc_actors.client.options import Tap

PASSPHRASE = "NORC_PASSPHRASE"


def emit(event: str, **fields: JsonValue) -> None:
    """Report one event."""
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


class DeviceProgram:
    """What this process does with its commands. `profile`: where its keys and messages are."""

    def __init__(self, profile: Path, options: ClientOptions, passphrase: str) -> None:
        self._profile = profile
        self._options = options
        self._passphrase = passphrase
        self._sent: list[Sent] = []

    async def run(self) -> None:
        """Enrol if told so; from `open` on be an open client, until `close`."""
        commands = JsonLines(trio.lowlevel.FdStream(os.dup(0)))
        async for command in commands:
            match command:
                case {"command": "enroll", "user": str(user), "link": str(link)}:
                    await self._enroll(user, link)
                case {"command": "enroll_further", "user": str(user), "link": str(link)}:
                    await self._enroll_further(user, link)
                case {"command": "open"}:
                    await self._open(commands)
                    return
                case _:
                    raise ValueError(f"unknown command {command!r}")

    async def _enroll(self, user: str, link: str) -> None:
        await Client.enroll(self._profile, link, user, passphrase=self._passphrase, options=self._options)
        emit("enrolled")

    async def _enroll_further(self, user: str, link: str) -> None:
        async def show(code: str) -> None:
            emit("code", code=code)

        await Client.enroll_further(
            self._profile, user, on_code=show, passphrase=self._passphrase, link=link, options=self._options
        )
        emit("enrolled")

    async def _open(self, commands: JsonLines) -> None:
        async with Client.open(self._profile, passphrase=self._passphrase, options=self._options) as client:
            await client.wait_connected()
            emit("open", device_id=client.device_id)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._receive, client)
                async for command in commands:
                    if command == {"command": "close"}:
                        break
                    await self._do(client, command)
                nursery.cancel_scope.cancel()
        emit("closed")

    async def _receive(self, client: Client) -> None:
        """The application: take each message, report it, confirm that it was read."""
        async for received in client.messages():
            if not isinstance(received, Message):
                emit("unopened", message_id=received.message_id, cause=received.cause.value)
                continue
            if received.message_type == "text":
                emit("seen", message_id=received.message_id, digest=digest_of(received.text), at=time.time())
            if not received.own:
                await client.read(received)

    async def _do(self, client: Client, command: JsonObject) -> None:
        match command:
            case {"command": "send", "number": int(number), "to": str(to), "text": str(text)}:
                at = time.time()
                sent = await client.send(to, text)
                self._sent.append(sent)
                emit("sent", number=number, message_id=sent.message_id, at=at)
            case {"command": "approve", "code": str(code)}:
                await self._approve(client, code)
            case {"command": "create_group", "name": str(name), "members": list(members)}:
                group = await client.create_group(name, [str(member) for member in members])
                emit("group", conversation_id=group.conversation_id)
            case {"command": "find_group", "name": str(name)}:
                emit("group", conversation_id=await self._find_group(client, name))
            case {"command": "settle", "within": int() | float() as within}:
                await self._settle(within)
            case _:
                raise ValueError(f"unknown command {command!r}")

    async def _approve(self, client: Client, code: str) -> None:
        events = client.events()
        while not client.pending_devices():
            await anext(events)
        await client.approve(client.pending_devices()[0].device_id, code)
        emit("approved")

    async def _find_group(self, client: Client, name: str) -> str:
        """Wait until the group's name, an end-to-end message like any other, has come."""
        while True:
            for group in await client.groups():
                if group.name == name:
                    return group.conversation_id
            await trio.sleep(0.1)

    async def _settle(self, within: float) -> None:
        """Wait until everything sent here was read by its recipients, at most `within` seconds; tell each status."""
        with trio.move_on_after(within):
            for sent in self._sent:
                await sent.wait_read()
        for sent in self._sent:
            emit("status", message_id=sent.message_id, status=sent.status.status.value)
        emit("settled")


def capture_to(folder: Path, device: str) -> Tap:
    """Append every frame, opened, to `DEVICE.sent.frames` or `DEVICE.received.frames` in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names: tuple[Literal["sent", "received"], ...] = ("sent", "received")
    files = {name: (folder / f"{device}.{name}.frames").open("ab", buffering=0) for name in names}

    def tap(way: Literal["sent", "received"], frame: bytes) -> None:
        files[way].write(frame)

    return tap


def main() -> int:
    """`python -m norc_actors.cli.demo.device PROFILE HOST PORT CA [CAPTURE]`, the passphrase in the environment."""
    profile, host, port, ca, *capture = sys.argv[1:]
    tap = capture_to(Path(capture[0]), Path(profile).stem) if capture else None
    options = ClientOptions(address=Address(host=host, port=int(port)), ca_file=Path(ca), tap=tap)
    program = DeviceProgram(Path(profile), options, os.environ[PASSPHRASE])
    try:
        trio.run(program.run)
    except Exception as error:
        failure = explain(error)
        if failure is None:
            raise
        emit("error", what=failure.what, next=failure.next)
        return failure.exit
    return 0


if __name__ == "__main__":
    sys.exit(main())
