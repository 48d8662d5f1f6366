"""What every struct of a module of messages has to keep to, and how one of its rules is broken alone."""

from types import ModuleType
from typing import Any

import pytest

from norc_actors.protocol import codec
from norc_actors.protocol.canonical import canonical
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.json_form import decode_json_as
from norc_actors.protocol.schema import Map, Message, Variant
from tests.support.samples import sample

Broken = tuple[type[Map], dict[str, Any]]
FREE = {("RequestedChange", "new_value"), ("RequestedChange", "old_value")}
"""Members that take more than one kind of value."""


def types_of(module: ModuleType) -> pytest.MarkDecorator:
    """Parametrize `kind` by every struct that a module defines."""
    kinds = [one for one in vars(module).values() if isinstance(one, type) and issubclass(one, Map)]
    own = [kind for kind in kinds if kind.__module__ == module.__name__]
    return pytest.mark.parametrize("kind", own, ids=[kind.__name__ for kind in own])


def each(broken: list[Broken]) -> pytest.MarkDecorator:
    """Parametrize `kind` and `changes` by rows that break one rule each."""
    ids = [f"{kind.__name__}-{','.join(changes)}-{n}" for n, (kind, changes) in enumerate(broken)]
    return pytest.mark.parametrize(("kind", "changes"), broken, ids=ids)


def members_of(value: Map) -> dict[str, Any]:
    """A struct's members by name."""
    return {name: getattr(value, name) for name in value.__struct_fields__}


def keeps_to_its_form(kind: type[Map]) -> bool:
    """Both encodings give the struct back, with all members and with the least; what is unknown is kept beside it; no
    member that is required may be missing, and none may be of another kind."""
    for full in (True, False):
        example = sample(kind, full=full)
        plain = codec.to_map(example)
        assert codec.decode_as(kind, codec.encode(example)).message == example
        assert decode_json_as(kind, canonical(plain)).message == example
        received = codec.decode_as(kind, codec.encode_map({**plain, "zzz_unknown": [b"kept"]}))
        assert received.message == example
        assert received.extra == {"zzz_unknown": [b"kept"]}
        for name in plain if not full else ():
            if name == "type" and not issubclass(kind, Message | Variant):
                continue  # a state's own `type` is its conversation's
            _refused(kind, {key: value for key, value in plain.items() if key != name})
        for name in plain.keys() - {name for owner, name in FREE if owner == kind.__name__}:
            _refused(kind, {**plain, name: "" if isinstance(plain[name], int) else -1})
    return True


def refused(kind: type[Map], changes: dict[str, Any]) -> bool:
    """The full example with these changes can neither be built nor read, in MessagePack or in JSON."""
    example = sample(kind, full=True)
    with pytest.raises(ProtocolError) as caught:
        kind(**(members_of(example) | changes))
    assert caught.value.code is Code.MALFORMED
    plain = codec.to_map(example)
    for name, value in changes.items():
        plain.pop(name, None)
        if value is not None:
            plain[name] = _plain(value)
    _refused(kind, plain)
    with pytest.raises(ProtocolError):
        decode_json_as(kind, canonical(plain))
    return True


def accepted(kind: type[Map], **changes: Any) -> Map:
    """The full example with these changes, built and read back."""
    built = kind(**(members_of(sample(kind, full=True)) | changes))
    assert codec.decode_as(kind, codec.encode(built)).message == built
    return built


def _refused(kind: type[Map], plain: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        codec.decode_as(kind, codec.encode_map(plain))
    assert caught.value.code is Code.MALFORMED


def _plain(value: Any) -> Any:
    if isinstance(value, Map):
        return codec.to_map(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
