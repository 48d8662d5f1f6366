"""How a received message and an event look: as a line for a person, as a record for a script."""

import time
from collections.abc import Mapping

from norc_actors.cli.output import JsonValue, printable
from norc_actors.client import Group, Received, Undecryptable

CAUSES = {
    "unknown_session": "its keys are not here; the sender was asked for new ones",
    "key_used": "its key was used already",
    "not_opened": "it was altered on the way",
    "bad_signature": "it is not signed by the device that it names",
    "untrusted_device": "its device is not vouched for by its user",
    "key_changed": "its user's key is another one: compare fingerprints (norc verify)",
    "wrong_audience": "it was made for other members",
    "unknown_conversation": "its conversation cannot be verified",
    "broken_chain": "something was inserted, replaced or reordered before it",
    "replayed": "another message came under the same id",
    "stale": "it is too old",
    "malformed": "what is inside is no message",
}


def message_record(received: Received) -> dict[str, JsonValue]:
    """What `--json` gives for a received message."""
    record: dict[str, JsonValue] = {
        "event": "undecryptable" if isinstance(received, Undecryptable) else "message",
        "message_id": received.message_id,
        "conversation_id": received.conversation_id,
        "sender": received.sender,
        "sender_device": received.sender_device,
        "accepted_at": received.accepted_at,
    }
    if isinstance(received, Undecryptable):
        return record | {"cause": received.cause.value}
    return record | {
        "type": received.message_type,
        "text": received.text,
        "sent_us": received.sent_us,
        "classification": received.classification,
        "own": received.own,
        "group": received.group,
        "gap": received.gap,
        "new_chain": received.new_chain,
        "verified": received.verified,
    }


def message_line(received: Received, groups: Mapping[str, Group]) -> str:
    """What a person sees; nothing that another person wrote can move the cursor."""
    when = time.strftime("%H:%M", time.localtime(received.accepted_at))
    group = groups.get(received.conversation_id)
    where = f" ({printable(group.name, keep='') or 'unnamed group'})" if group is not None else ""
    if isinstance(received, Undecryptable):
        cause = CAUSES.get(received.cause.value, received.cause.value)
        return f"[{when}]{where} {received.sender}: could not be opened: {cause}"
    who = "you, on another device" if received.own else received.sender + (" ✓" if received.verified else "")
    level = "" if received.classification == "unclassified" else f" [{received.classification.upper()}]"
    marks = " (earlier messages are missing)" if received.gap else ""
    text = printable(received.text) if received.message_type == "text" else f"<{printable(received.message_type)}>"
    return f"[{when}]{where}{level} {who}: {text}{marks}"
