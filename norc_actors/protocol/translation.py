"""Translation 2.0 ↔ 1.2 ↔ 1.1 ↔ 1.0: what each older form of a message keeps, drops and renames (section 2; §7.1.2; row
B11).

Rules
- `SINCE` and `UNTIL` say in which versions of its protocol a type exists, `FORMS` how a type looks below 2.0. What
  stands in none of them is the same in every version. The documents print these tables.
- Down: what a form drops is dropped; a type that is younger than the version is not sent (`None`), since a 1.x peer
  would ignore it. Unknown members are passed on, as a reader of any version keeps them.
- Up: the blobs hold what the outer map lost. All blobs of a message agree, and agree with the map around them, or it is
  malformed: a server that changes either is found out. So N → N−1 → N loses exactly what `Form.lost` lists.
- The content is the same at every version. A blob is built by the *sender* (`make_blobs`), from the ciphertext, wraps
  and signature of the 2.0 form; servers translate the map around it and never the blob.
- What is signed as a whole map is not translated: no such type has another form. `message_relay` is signed anew by its
  origin, over the form that it sends; a transit server passes it on as it is, or not at all.
- Each down-conversion is logged with `compatibility_mode=true`, by the caller; `Translated.dropped` says what went.

At 1.x an unknown type is ignored (`decode_at` gives None), a server counts as `basic` at most (`HIGHEST_LEVEL_1X`), and
a 1.x form from a device whose record lists 2.0 is discarded by whoever is connected at 2.0 (`accepts_1x_form`): the
sender's own claim would else decide how its message is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from norc_actors.ids import DeviceId, UserId

from .canonical import Value
from .codec import Received, convert, decode, decode_as, decode_map, encode, to_map
from .errors import Code, ProtocolError, malformed
from .messages import Blob, DeliveryAck, MessageSend, RelayAck
from .registry import CODES, LEGACY, NAMES
from .schema import Message
from .versions import parse_version

HIGHEST_LEVEL_1X = "basic"
"""The trust level above which no server of 1.x rises."""

SINCE: dict[str, str] = {
    "device_revoke": "1.1",
    "time_sync": "1.1",
    "audit_root_query": "1.1",
    "audit_root": "1.1",
    "session_rekey": "2.0",
    "relay_ack": "2.0",
}
"""The first version of its protocol that has a type; every other is in 1.0 already."""

UNTIL: dict[str, str] = {"delivery_ack": "1.2"}
"""The last version that has a type; every other is in the newest."""

_IN_THE_BLOB = ("epoch", "suite", "chain_id", "sequence_number", "prev_message_hash", "key_commitment", "ciphertext")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A type below 2.0. `restored` members are in the blobs instead, `lost` ones nowhere; `blobs` and `wraps` are the
    members that have the blobs at 1.x and the wraps at 2.0."""

    blobs: str
    wraps: str
    restored: tuple[str, ...]
    lost: tuple[str, ...]


FORMS: dict[str, Form] = {
    "message_send": Form(
        blobs="encrypted_content", wraps="encrypted_keys", restored=_IN_THE_BLOB, lost=("supplement", "more")
    ),
    "message_received": Form(
        blobs="encrypted_content", wraps="encrypted_keys", restored=_IN_THE_BLOB, lost=("supplement",)
    ),
    "message_relay": Form(
        blobs="encrypted_payloads",
        wraps="encrypted_payloads",
        restored=(*_IN_THE_BLOB, "expires_at"),
        lost=("supplement", "route_signatures", "link_epoch", "link_sequence", "signature"),
    ),
}
"""The types whose map is another one at 1.x."""

BECOMES: dict[str, str] = {"relay_ack": "delivery_ack"}
"""Types that another type stands for at 1.x."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """A map of the older version, and which members of the newer one it lacks."""

    map: dict[str, Value]
    dropped: tuple[str, ...] = ()


def exists(name: str, version: str) -> bool:
    """Whether a version of its protocol has this type."""
    spoken = parse_version(version)
    if name not in CODES or spoken < parse_version(SINCE.get(name, "1.0")):
        return False
    return name not in UNTIL or spoken <= parse_version(UNTIL[name])


def decode_at(version: str, code: int, data: bytes) -> Received[Message] | None:
    """The message of type `code` as `version` has it. What the version does not have: None at 1.x, where it is ignored;
    `ProtocolError` 3004 from 2.0 on."""
    name = NAMES.get(code, "")
    if not exists(name, version):
        if _is_1x(version):
            return None
        raise ProtocolError(Code.UNKNOWN_TYPE, f"type {code:#04x} ({name or 'in no registry'}) at {version}")
    if _is_1x(version) and code in LEGACY:
        return decode_as(LEGACY[code], data)
    return decode(code, data)


def _is_1x(version: str) -> bool:
    return parse_version(version)[0] == 1


def accepts_1x_form(sender_e2e_version: str, own_version: str) -> bool:
    """Whether a message in a 1.x form counts, by the `e2e_version` of its sender's record and our own connection."""
    return _is_1x(sender_e2e_version) or _is_1x(own_version)


# --- Down ---


def down(plain: Mapping[str, Value], version: str) -> Translated | None:
    """A map of 2.0, or of a version in between, as `version` has it; None if it has no such type.

    `ProtocolError` NO_COMPATIBLE_VERSION if its sender added no blobs: nobody else can make them.
    """
    name = str(plain.get("type"))
    if name in BECOMES and _is_1x(version):
        ack = delivery_ack(convert(plain, RelayAck))
        return Translated(map=to_map(ack), dropped=tuple(key for key in plain if key not in ack.__struct_fields__))
    if not exists(name, version):
        return None
    form = FORMS.get(name)
    if form is None or not _is_1x(version) or "ciphertext" not in plain:  # already a form of 1.x
        return Translated(map=dict(plain))
    blobs = plain.get("encrypted_content")
    if not isinstance(blobs, dict) or not blobs:
        raise ProtocolError(Code.NO_COMPATIBLE_VERSION, f"{name} without blobs for {version}")
    gone = {*form.restored, *form.lost, form.wraps, "encrypted_content"}
    kept = {key: value for key, value in plain.items() if key not in gone}
    dropped = tuple(key for key in plain if key in gone and key != form.blobs)
    return Translated(map=kept | {form.blobs: blobs}, dropped=dropped)


def delivery_ack(ack: RelayAck) -> DeliveryAck:
    """A relay_ack as 1.x has it: devices alone, unsigned, in seconds. Its reader knows the relay by message_id."""
    return DeliveryAck(
        message_id=ack.message_id,
        delivered_to=tuple(device for user in ack.delivered_to for device in user.device_ids),
        failed_devices=tuple(device for user in ack.failed_deliveries for device in user.device_ids),
        timestamp=ack.timestamp // 1_000_000,
    )


def make_blobs(message: MessageSend, sender_user: UserId, sender_device: DeviceId) -> dict[DeviceId, bytes]:
    """The sender's blobs for the devices that `encrypted_keys` names; those whose record lists 2.0 need none."""
    metadata = message.metadata
    return {
        device: encode(
            Blob(
                v=1,
                suite=message.suite,
                sender_user=sender_user,
                sender_device=sender_device,
                epoch=message.epoch,
                chain_id=message.chain_id,
                sequence_number=message.sequence_number,
                prev_message_hash=message.prev_message_hash,
                key_commitment=message.key_commitment,
                classification=metadata.classification,
                timestamp=metadata.timestamp,
                expires_at=metadata.expires_at,
                ciphertext=message.ciphertext,
                wrap=wrap,
            )
        )
        for device, wrap in message.encrypted_keys.items()
    }


# --- Up ---


def up(plain: Mapping[str, Value], sender: tuple[str, str] | None = None) -> dict[str, Value]:
    """A map of 1.x as 2.0 has it, less what the form lost; what has one form alone comes back as it is.

    `sender` is the (user, device) that a `message_send` came from, which no member says; the blobs have to name it.
    A `message_relay` has no signature of 2.0 afterwards: verify that of the 1.x map before.
    """
    name = str(plain.get("type"))
    form = FORMS.get(name)
    if form is None or "ciphertext" in plain:
        return dict(plain)
    blobs = plain.get(form.blobs)
    if not isinstance(blobs, dict) or not blobs:
        raise malformed(f"{name} without blobs")
    opened = {device: _open(blob) for device, blob in blobs.items()}
    first = next(iter(opened.values()))
    content = {key: value for key, value in first.items() if key != "wrap"}
    if any({key: value for key, value in blob.items() if key != "wrap"} != content for blob in opened.values()):
        raise malformed(f"{name} with blobs of different messages")
    _check_around(name, plain, content, sender)
    wraps: dict[str, Value] = {device: blob["wrap"] for device, blob in opened.items()}
    restored = {key: content[key] for key in form.restored if key in content}
    around = {key: value for key, value in plain.items() if key != form.blobs}
    return around | restored | {form.wraps: wraps, "encrypted_content": blobs}


def _open(blob: Value) -> dict[str, Value]:
    if not isinstance(blob, bytes):
        raise malformed("a blob that is no bytes")
    plain = decode_map(blob)
    convert(plain, Blob)
    return plain


def _check_around(
    name: str, plain: Mapping[str, Value], content: Mapping[str, Value], sender: tuple[str, str] | None
) -> None:
    """The map around the blobs says the same as they do, wherever it says it too."""
    metadata = plain.get("metadata")
    if not isinstance(metadata, dict):
        raise malformed(f"{name} without metadata")
    told: dict[str, Value | None] = dict(plain)
    if name == "message_relay":
        told["timestamp"] = metadata.get("original_timestamp", content["timestamp"])
        told.setdefault("expires_at", content.get("expires_at"))
    else:
        told.update({key: metadata.get(key) for key in ("timestamp", "classification", "expires_at")})
    if sender is not None and sender != (content["sender_user"], content["sender_device"]):
        raise malformed(f"{name} with blobs in another's name")
    for key in (*_IN_THE_BLOB, "sender_user", "sender_device", "timestamp", "classification", "expires_at"):
        if key in told and told[key] != content.get(key):
            raise malformed(f"{name} and its blobs disagree on {key}")
