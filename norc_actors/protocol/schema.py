"""Message structs that cannot be half valid (section 1; style: frozen, keyword-only, checked when built and when read).

Rules
- `Map` is a map inside a message (no `type`), `Message` a message (its `type` is the struct's tag), `Variant` one of
  several maps that a list may hold, told apart by a `type` of their own. All are frozen, keyword-only msgspec structs:
  one declaration gives both encodings, the checks, and the documents' tables.
- An absent member is `None`, and `None` is never written. A received null is refused by the readers before it gets
  here.
- Lists are tuples. A map that carries another's signature is a `SignedMap`, a plain dict: its unknown members must
  survive, and its typed view is reached with `codec.convert`.
- Limits stand in the annotation as marks (`marks.py`). From them come three things: msgspec's own constraints, which
  its C decoder checks; the check of what our code builds (`built_checks.py`), run by calling the class; and the check
  of what msgspec leaves of a message that it decoded (`read_checks.py`), run by the one reader (`codec.py`).
- So a struct is made by calling its class, by `replace`, or by `codec`, by nothing else: `msgspec.structs.replace`,
  `msgspec.convert` and msgspec's decoders alone check less.
- A struct's own cross-member rules stand in its `_rule` method, run last; its docstring says them for the documents.

Every refusal is `ProtocolError(MALFORMED)` whose detail names struct and member, not the value. The structs are without
cyclic garbage collection (`gc=False`): they are frozen, so nothing that they hold can lead back to them.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, TypeVar, cast

import msgspec

from norc_actors.ids import ConversationId, DeviceId, MessageId, ServerId, UserId
from norc_actors.limits import MAX_INTEGER, MAX_VERSIONS

from .built_checks import compile_built
from .marks import Bound as Bound
from .marks import Length as Length
from .marks import Pattern as Pattern
from .marks import Plain as Plain
from .marks import Range as Range
from .marks import SignedMap as SignedMap
from .marks import Unit as Unit
from .marks import constrained
from .marks import strip as strip

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SERVER = rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*"
_UUID = Pattern("UUID", re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"))
_USER = Pattern("user_id", re.compile(rf"[a-z0-9._+-]{{1,64}}@{_SERVER}"))
_VERSION = Pattern("version", re.compile(r"(?:0|[1-9][0-9]{0,4})\.(?:0|[1-9][0-9]{0,4})"))

# --- The types that members are made of ---

Uuid: TypeAlias = Annotated[str, Length(36), _UUID]
MessageUuid: TypeAlias = Annotated[MessageId, Length(36), _UUID]
ConversationUuid: TypeAlias = Annotated[ConversationId, Length(36), _UUID]
DeviceUuid: TypeAlias = Annotated[DeviceId, Length(36), _UUID]
User: TypeAlias = Annotated[UserId, Bound(3, 64 + 1 + 253), _USER]
Server: TypeAlias = Annotated[ServerId, Bound(1, 253), Pattern("server_id", re.compile(_SERVER))]
Version: TypeAlias = Annotated[str, Bound(3, 11), _VERSION]
Versions: TypeAlias = Annotated[tuple[Version, ...], Bound(1, MAX_VERSIONS)]

Bytes12: TypeAlias = Annotated[bytes, Length(12)]
Bytes16: TypeAlias = Annotated[bytes, Length(16)]
Bytes32: TypeAlias = Annotated[bytes, Length(32)]
Bytes48: TypeAlias = Annotated[bytes, Length(48)]
Signature: TypeAlias = Annotated[bytes, Length(64)]
PublicKey: TypeAlias = Annotated[bytes, Length(32, 33)]
KemKey: TypeAlias = Annotated[bytes, Length(1184)]
KemCiphertext: TypeAlias = Annotated[bytes, Length(1088)]

Count: TypeAlias = Annotated[int, Range(0, MAX_INTEGER)]
Uint32: TypeAlias = Annotated[int, Range(0, 2**32 - 1)]
Seconds: TypeAlias = Annotated[int, Range(0, MAX_INTEGER), Unit("s")]
Micros: TypeAlias = Annotated[int, Range(0, MAX_INTEGER), Unit("µs")]

SuiteName: TypeAlias = Literal["0101", "0102", "0001", "0002"]
KeyAlgorithm: TypeAlias = Literal["ed25519", "p256"]
Atoms: TypeAlias = tuple[str, ...]
"""A list of atoms whose unknown entries are ignored (capabilities, suites)."""

RecordMap: TypeAlias = Annotated[SignedMap, Plain("Record")]
CertificateMap: TypeAlias = Annotated[SignedMap, Plain("DeviceCertificate")]
EntryMap: TypeAlias = Annotated[SignedMap, Plain("Entry")]
BundleMap: TypeAlias = Annotated[SignedMap, Plain("Bundle")]
OneTimeKeyMap: TypeAlias = Annotated[SignedMap, Plain("OneTimeKey")]
UserRotationMap: TypeAlias = Annotated[SignedMap, Plain("UserRotation")]
StateMap: TypeAlias = Annotated[SignedMap, Plain("State")]
FreeMap: TypeAlias = Annotated[SignedMap, Plain("free")]

# --- Structs ---


class _Checked(msgspec.StructMeta):
    """What is built by calling a class is checked; what msgspec decodes, its reader checks."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> "_Checked":
        declared = namespace.get("__annotations__", {})
        namespace["__annotations__"] = {member: constrained(annotation) for member, annotation in declared.items()}
        made: Any = super().__new__(mcls, name, bases, namespace, **options)
        made.check = compile_built(made, made.depth)
        return cast("_Checked", made)

    def __call__(cls, *arguments: Any, **members: Any) -> Any:
        made = super().__call__(*arguments, **members)
        type(made).check(made)
        return made


class Map(msgspec.Struct, metaclass=_Checked, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A map inside a message, without `type`."""

    depth: ClassVar[int] = 1
    """How deep this map stands in its message at least; where a `Plain` member begins to count."""

    check: ClassVar[Callable[[Any], None]]
    """Raises `ProtocolError` for the first member that breaks a rule; maps inside are taken as checked."""


class Message(Map, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """A message: a map with `type`, its name in section 3's registry."""


class Variant(Map, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """One of several kinds of map that may stand in one place, told apart by their `type`; no message."""


M = TypeVar("M", bound=Map)


def replace(value: M, **members: Any) -> M:
    """`value` with other members; `ProtocolError` if they break a rule."""
    return type(value)(**{name: getattr(value, name) for name in value.__struct_fields__} | members)


def type_name(kind: type[Map]) -> str | None:
    """The `type` of a message struct or a variant, None for any other map inside messages."""
    tag = kind.__struct_config__.tag
    return tag if isinstance(tag, str) else None


def rule_of(kind: "type[Map]") -> str:
    """What a struct asks of its members together, in words; "" if it asks nothing."""
    rule = getattr(kind, "_rule", None)
    return "" if rule is None else " ".join((rule.__doc__ or "").split())
