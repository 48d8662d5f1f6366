"""audit_log: the one appender of the node's hash chain (section 10; rows B157, B159).

Events are cast, gathered while the disk works, and appended as a group. `timestamp` and `event_id` are given here,
and a user becomes a pseudonym of the day here: the year's key is this actor's alone. Nobody waits for the append.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog
import trio

from norc_actors import limits
from norc_actors.crypto.hkdf import blake3
from norc_actors.crypto.pseudonym import day_key, pseudonym
from norc_actors.crypto.suites import SUITES
from norc_actors.ids import Clock, Random, new_uuid
from norc_actors.protocol.canonical import Value
from norc_actors.store.audit import AuditBrokenError, AuditStore
from norc_actors.store.errors import StoreRefusedError
from supervision import NO_REPLY, Call, From, GenServer, Timeout

log = structlog.get_logger("norc.audit")


@dataclass(frozen=True, slots=True)
class Audit:
    """Cast: one event. `user` is whom it is about, "" for nobody; `actor` who acted, where it was no user ("operator").
    `target`: the server it is about, "" for this one; `evidence`: bytes that it rests on, of which the hash is kept."""

    event_type: str
    action: str
    result: str
    risk_level: str = "low"
    user: str = ""
    actor: str = ""
    target: str = ""
    parameters: Mapping[str, Value] = field(default_factory=dict)
    evidence: bytes = b""


@dataclass(frozen=True, slots=True)
class VerifyAudit(Call[int]):
    """Walk the chain; answered with the number of entries, or `AuditBrokenError` is raised at the caller."""


class AuditLogActor(GenServer):
    """See the module."""

    def __init__(
        self, *, open_store: Callable[[], AuditStore], server_id: str, k_year: bytes, clock: Clock, random: Random
    ) -> None:
        self._open_store = open_store
        self._server_id = server_id
        self._k_year = k_year
        self._clock = clock
        self._random = random
        self._gathered: list[Mapping[str, Value]] = []
        self._appended = 0

    async def init(self) -> None:
        self._store = await trio.to_thread.run_sync(self._open_store)

    async def handle_cast(self, message: object) -> None:
        if isinstance(message, Audit):
            self._gathered.append(self._event(message))
            self.set_timeout(0)

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Timeout):
            await self._append()

    async def handle_call(self, request: object, caller: From) -> object:
        if not isinstance(request, VerifyAudit):
            raise TypeError(f"audit_log knows no {request!r}")
        await self._append()
        try:
            return await trio.to_thread.run_sync(self._store.verify)
        except AuditBrokenError as broken:
            caller.fail(broken)
            return NO_REPLY

    async def terminate(self, reason: object) -> None:
        await self._append()
        await trio.to_thread.run_sync(self._store.close)

    def statistics(self) -> Mapping[str, int]:
        """Entries that this incarnation appended."""
        return {"appended": self._appended}

    def _event(self, audit: Audit) -> dict[str, Value]:
        now = self._clock()
        date = datetime.fromtimestamp(now, tz=UTC).strftime("%Y-%m-%d")
        return {
            "event_id": new_uuid(self._random),
            "timestamp": int(now),
            "event_type": audit.event_type,
            "source_server": self._server_id,
            "target_server": audit.target or self._server_id,
            "actor": self._pseudonym(audit.user, date) if audit.user else audit.actor,
            "action": audit.action,
            "parameters": dict(audit.parameters),
            "result": audit.result,
            "risk_level": audit.risk_level,
            "evidence_hash": blake3(audit.evidence),
        }

    def _pseudonym(self, user: str, date: str) -> bytes:
        return pseudonym(day_key(SUITES["0001"], self._k_year, date), user)

    async def _append(self) -> None:
        if self._gathered:
            group, self._gathered = self._gathered, []
            try:
                await trio.to_thread.run_sync(self._store.append, group)
            except StoreRefusedError as error:
                log.error("audit entries wait", entries=len(group), why=str(error))
                self._gathered = (group + self._gathered)[-limits.AUDIT_WAITING :]
                self.send_after(limits.DISK_RETRY_SECONDS, Timeout())
                return
            self._appended += len(group)
