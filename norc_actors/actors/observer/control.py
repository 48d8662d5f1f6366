"""control: the operator's door, a Unix socket that only the node's own account may open.

One JSON object a line each way; every answer has `ok`, and a refusal says what went wrong and what to do next:

    {"command": "status"}                                     version, server, listening address, sessions, uptime
    {"command": "tree"}                                       the running supervision tree
    {"command": "invite", "user_id": "a@b", "expires_s": 3600}  a one-time enrolment link
    {"command": "kill", "name": "message_router"}             end an actor brutally; its supervisor brings it back
    {"command": "kill", "kind": "connection_worker", "seed": 7}   one of the dynamic children, chosen by the seed
    {"command": "audit"}                                      walk the audit chain
    {"command": "peers"} …                                    other servers: see federation_desk.py
    {"command": "trust_list"} …                               trust in them: see trust_desk.py

A crash here touches nobody else: the supervisor opens the door again.
"""

import contextlib
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path

import trio

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.connections.directory import Directory
from norc_actors.actors.crypto.registrar import Invite
from norc_actors.actors.federation.parts import FederationParts
from norc_actors.actors.observer.answers import Answer, RefusedError
from norc_actors.actors.observer.federation_desk import FederationDesk
from norc_actors.actors.observer.trust_desk import TrustDesk
from norc_actors.actors.storage.audit_log import VerifyAudit
from norc_actors.ids import Clock, InvalidIdError, parse_user_id
from norc_actors.store.audit import AuditBrokenError
from supervision import ActorRef, CallTimeout, From, GenServer, ServerDown, which_children

COMMANDS = "commands: status, tree, invite, kill, audit, peers, peer_check, peer_retry, trust_…"


class Control(GenServer):
    """See the module. `about` is what `status` tells of the node besides its life signs."""

    def __init__(
        self, *, path: Path, about: Mapping[str, str], federation: FederationParts | None, clock: Clock
    ) -> None:
        self._path = path
        self._federation = federation
        self._about = dict(about)
        self._clock = clock
        self._since = clock()

    async def init(self) -> None:
        self._desk = FederationDesk(self.system, self._federation)
        self._trust = TrustDesk(self.system)
        self.spawn(self._listen, _open_socket(self._path))

    async def handle_call(self, request: object, caller: From) -> object:
        raise TypeError(f"control knows no {request!r}")

    async def terminate(self, reason: object) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    async def _listen(self, listener: trio.socket.SocketType) -> None:
        with listener:
            while True:
                connection, _ = await listener.accept()
                self.spawn(self._serve, trio.SocketStream(connection))

    async def _serve(self, stream: trio.SocketStream) -> None:
        """Answer the lines of one operator until it leaves."""
        buffer = b""
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with stream:
                while chunk := await stream.receive_some(limits.CONTROL_LINE_BYTES):
                    buffer += chunk
                    *lines, buffer = buffer.split(b"\n")
                    for line in lines:
                        await stream.send_all(json.dumps(await self._respond(line)).encode() + b"\n")
                    if len(buffer) > limits.CONTROL_LINE_BYTES:
                        return

    async def _respond(self, line: bytes) -> Answer:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise RefusedError("a request is a JSON object", 'send {"command": "status"}')
            return {"ok": True, **await self._do(request)}
        except RefusedError as refused:
            return {"ok": False, "error": refused.error, "next": refused.next}
        except ValueError as error:  # not UTF-8, or not JSON
            return {"ok": False, "error": f"not JSON: {error}", "next": "send one JSON object a line"}
        except (ServerDown, CallTimeout) as error:
            return {
                "ok": False,
                "error": f"the part that answers is restarting ({error})",
                "next": "try again in a second",
            }

    async def _do(self, request: Mapping[str, object]) -> Answer:
        match request.get("command"):
            case "status":
                return self._status()
            case "tree":
                return {"tree": self.system.snapshot().as_json()}
            case "invite":
                return await self._invite(request)
            case "kill":
                return await self._kill(request)
            case "audit":
                try:
                    return {"entries": await self.system.ref(names.AUDIT_LOG).call(VerifyAudit(), timeout=60)}
                except AuditBrokenError as broken:
                    raise RefusedError(str(broken), "keep the database as it is and look for who changed it") from None
            case "peers":
                return await self._desk.peers()
            case "peer_check":
                return await self._desk.check(request)
            case "peer_retry":
                return await self._desk.retry(request)
            case str(command) if command.startswith("trust_"):
                return await self._trust.do(command.removeprefix("trust_"), request)
            case other:
                raise RefusedError(f"unknown command {other!r}", COMMANDS)

    def _status(self) -> Answer:
        return {
            **self._about,
            "uptime_s": round(self._clock() - self._since),
            "pid": os.getpid(),
            "connected": len(Directory(self.system)),
        }

    async def _invite(self, request: Mapping[str, object]) -> Answer:
        expires = request.get("expires_s", limits.INVITE_SECONDS)
        if not isinstance(expires, int) or not 0 < expires <= limits.INVITE_SECONDS_MOST:
            raise RefusedError(f"expires_s must be 1 to {limits.INVITE_SECONDS_MOST}", "leave it out for the default")
        try:
            user_id = parse_user_id(str(request.get("user_id")))
        except InvalidIdError as error:
            raise RefusedError(str(error), "give the whole name, like alice@example.org") from None
        if not user_id.endswith("@" + self._about["server_id"]):
            raise RefusedError(f"{user_id} is not of this server", f"invite NAME@{self._about['server_id']}")
        invited = await self.system.ref(names.REGISTRAR).call(Invite(user_id, expires))
        return {"link": invited.link, "expires_at": invited.expires_at}

    async def _kill(self, request: Mapping[str, object]) -> Answer:
        target = await self._victim(request)
        if target is self.ref:
            raise RefusedError("control does not end itself", "name another actor")
        target.kill()
        await target.wait_down()
        return {"killed": target.id}

    async def _victim(self, request: Mapping[str, object]) -> ActorRef:
        if request.get("kind") == "connection_worker":
            workers = self.system.whereis(names.CONNECTION_WORKERS)
            children = [] if workers is None else await which_children(workers)
            alive = [child.ref for child in children if child.ref is not None]
            if not alive:
                raise RefusedError("nobody is connected", "connect a client first")
            seed = request.get("seed", 0)
            return alive[(seed if isinstance(seed, int) else 0) % len(alive)]
        target = self.system.whereis(str(request.get("name")))
        if target is None:
            raise RefusedError(f"no actor is named {request.get('name')!r}", "see the names in `norc node tree`")
        return target


def _open_socket(path: Path) -> trio.socket.SocketType:
    """A listening Unix socket at `path`, for this account alone; one that a killed node left behind is replaced."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(limits.CONTROL_BACKLOG)
    return trio.socket.from_stdlib_socket(listener)
