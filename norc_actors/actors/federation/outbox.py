"""Putting a NORC-C map in the outbox of other servers (section 8, *Other traffic*): committed when this returns."""

from collections.abc import Mapping, Sequence

from norc_actors.actors import names
from norc_actors.actors.federation.requests import Pump
from norc_actors.actors.storage.message_store import CommitNow
from norc_actors.ids import ServerId, UserId
from norc_actors.protocol.batches import to_link
from norc_actors.protocol.codec import Received, encode_map
from norc_actors.protocol.messages.relay import Priority
from norc_actors.protocol.registry import code_of
from norc_actors.protocol.schema import Message
from norc_actors.protocol.turns import LEVEL_OF
from norc_actors.store.messages import Enqueue
from supervision import System
from supervision.partition import route


async def post(
    system: System,
    received: Received[Message],
    targets: Mapping[ServerId, Sequence[UserId]],
    *,
    own: ServerId,
    priority: Priority,
    key: str,
    now: int,
    lifetime: int,
) -> None:
    """Have a message, with all members that it came with, sent to each of these servers, for these users of theirs,
    within `lifetime` seconds.

    Once per server and `key`, however often it is asked for. Raises `StoreRefusedError`, `ServerDown`.
    """
    level = LEVEL_OF[priority]
    operations = tuple(
        Enqueue(
            target=server,
            priority=level,
            created_at=now,
            expires_at=now + lifetime,
            code=code_of(type(received.message)),
            body=encode_map(to_link(received.map, own, server, users)),
            key=key,
        )
        for server, users in targets.items()
    )
    if operations:
        await system.ref(names.MESSAGE_STORE).call(CommitNow(operations))
    for server in targets:
        await route(system, names.RELAYS, server).cast(Pump(server))
