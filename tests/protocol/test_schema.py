"""A half-valid message cannot exist: what decoding refuses, building refuses too."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norc_actors import ids
from norc_actors.protocol import codec, schema
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.messages import (
    ConnectionAccepted,
    ConversationCreate,
    DeviceInfo,
    DeviceRegister,
    Inner,
    KeyRequest,
    MessageReceived,
    MessageSend,
    OtherKey,
    Ping,
    Platform,
    Record,
    SessionRekey,
    State,
    TimeSync,
    UserInfo,
)
from norc_actors.protocol.schema import Map, Message, Variant, type_name
from tests.support.messages import MAPS, MESSAGES, structs

BAD: list[Any] = [None, 1.5, -1, 2**60, "", "é", b"", b"x" * 31, [], {}, True, object(), ("x",), "\ud800"]


def _members(value: Map) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}


@pytest.mark.parametrize("kind", [*MESSAGES, *MAPS], ids=lambda kind: kind.__name__)
@settings(max_examples=4)
@given(data=st.data())
def test_building_refuses_what_decoding_refuses(kind: type[Map], data: st.DataObject) -> None:
    members = _members(data.draw(structs(kind)))
    name = data.draw(st.sampled_from(sorted(members)))
    members[name] = data.draw(st.sampled_from(BAD))
    try:
        built = kind(**members)
    except ProtocolError as error:
        assert error.code is Code.MALFORMED  # noqa: PT017 - one of two outcomes
        return
    assert codec.decode_as(kind, codec.encode(built)).message == built


@pytest.mark.parametrize("kind", [*MESSAGES, *MAPS], ids=lambda kind: kind.__name__)
def test_every_struct_is_frozen_and_keyword_only(kind: type[Map]) -> None:
    assert kind.__struct_config__.frozen
    assert kind.__struct_config__.omit_defaults
    with pytest.raises(TypeError):
        kind(1)  # type: ignore[call-arg]
    assert (type_name(kind) is not None) == issubclass(kind, Message | Variant)


def test_frozen() -> None:
    with pytest.raises(AttributeError):
        Ping(timestamp=1).timestamp = 2  # type: ignore[misc]


@given(st.text(max_size=20) | st.from_regex(r"[a-z0-9._+-]{0,66}@[a-z0-9.-]{0,260}"))
def test_the_grammar_of_ids_is_that_of_the_ids_module(text: str) -> None:
    def accepts(build: Any) -> bool:
        try:
            build()
        except (ProtocolError, ids.InvalidIdError):
            return False
        return True

    info = {"permissions": ()}
    assert accepts(lambda: UserInfo(user_id=text, **info)) == accepts(lambda: ids.parse_user_id(text))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["a" * 254, ".".join(["a" * 63] * 4), "a.", ".a", "a..b", "-a", "a-", "A", "a_b", "a:1", "é", "", "a\n"]
)
def test_server_names_refused(text: str) -> None:
    with pytest.raises(ids.InvalidIdError):
        ids.parse_server_id(text)
    with pytest.raises(ProtocolError):
        TimeSync(server_id=text, nonce=bytes(16), server_time_us=0, uncertainty_ms=0, signature=bytes(64))  # type: ignore[arg-type]


def _changed(kind: type[Map], example: Map, **changes: Any) -> None:
    with pytest.raises(ProtocolError):
        kind(**(_members(example) | changes))


USER, DEVICE = "alice@a.example", "8730f70d-c056-4103-9108-3d814ee5a7da"
RECORD: Any = {
    "user_id": USER, "device_id": DEVICE, "public_key": bytes(32), "key_algorithm": "ed25519",
    "e2e_suites": ("0101",), "e2e_version": "2.0", "not_before": 1, "not_after": 2,
}  # fmt: skip


def test_rules_of_records() -> None:
    record = Record(**RECORD)
    _changed(Record, record, public_key=bytes(33))
    _changed(Record, record, key_algorithm="p256")
    _changed(Record, record, not_after=1)
    _changed(Record, record, e2e_suites=())
    _changed(OtherKey, OtherKey(public_key=bytes(32), key_algorithm="ed25519"), key_algorithm="p256")


def test_rules_of_enrolment() -> None:
    platform: Any = {"os": "linux", "version": "6", "app_version": "1"}
    info = DeviceInfo(name="laptop", type="desktop", capabilities=(), platform=Platform(**platform))
    register = DeviceRegister(**RECORD, device_info=info)
    assert register.record() == Record(**RECORD)
    _changed(DeviceRegister, register, user_key=bytes(32))
    _changed(DeviceRegister, register, user_device_signature=bytes(64))
    _changed(DeviceRegister, register, replaces=bytes(32))
    _changed(DeviceRegister, register, rotation_signatures=(bytes(64),))
    _changed(DeviceRegister, register, not_after=0)


def test_rules_of_rekeys() -> None:
    for bad in (
        {"mode": "dh"},
        {"mode": "update", "ephemeral_public_key": bytes(32)},
        {"mode": "dh_done", "pq_ciphertext": bytes(1088)},
        {"mode": "dh", "ephemeral_public_key": bytes(32), "pq_public_key": bytes(1184), "pq_ciphertext": bytes(1088)},
        {"mode": "other"},
    ):
        with pytest.raises(ProtocolError):
            SessionRekey(**bad)  # type: ignore[arg-type]


def test_rules_of_bodies() -> None:
    Inner(message_type="text", body="hi")
    Inner(message_type="system", body={"name": "x"})
    for bad in (
        {"message_type": "text", "body": {}},
        {"message_type": "file", "body": "x"},
        {"message_type": "file", "body": {"x": None}},
        {"message_type": "text", "body": b"x"},
    ):
        with pytest.raises(ProtocolError):
            Inner(**bad)  # type: ignore[arg-type]


@settings(max_examples=40)
@given(structs(State))
def test_rules_of_states(state: State) -> None:
    _changed(State, state, members=())
    _changed(State, state, members=state.members * 2)
    _changed(State, state, epoch=0)
    _changed(State, state, prev_state_hash=bytes(32) if state.epoch == 1 else None)
    if len(state.members) > 1:
        _changed(State, state, members=tuple(reversed(state.members)))


@settings(max_examples=8)
@given(structs(ConversationCreate))
def test_rules_of_conversations(create: ConversationCreate) -> None:
    other = next(kind for kind in ("direct", "group") if kind != create.conversation_type)
    _changed(ConversationCreate, create, conversation_type=other)
    _changed(ConversationCreate, create, conversation_id="00000000-0000-4000-8000-000000000000")


@settings(max_examples=8)
@given(structs(MessageReceived), structs(MessageSend), structs(ConnectionAccepted))
def test_rules_of_messages(received: MessageReceived, send: MessageSend, accepted: ConnectionAccepted) -> None:
    _changed(MessageReceived, received, encrypted_keys={})
    _changed(MessageSend, send, ciphertext=bytes(15))
    _changed(MessageSend, send, encrypted_keys={"x": 1})
    _changed(MessageSend, send, recipients=("bob",))
    hybrid = accepted.pq_ciphertext is not None
    _changed(ConnectionAccepted, accepted, pq_ciphertext=None if hybrid else bytes(1088))


def test_rules_of_key_requests() -> None:
    request: Any = {"request_id": DEVICE, "user_ids": (USER,), "device_filter": "all", "include_revoked": False}
    KeyRequest(**request)
    KeyRequest(**(request | {"device_filter": (DEVICE,)}))
    for bad in ({"user_ids": ()}, {"user_ids": (USER,) * 101}, {"device_filter": "some"}, {"device_filter": ("x",)}):
        with pytest.raises(ProtocolError):
            KeyRequest(**(request | bad))


def test_a_member_that_nothing_can_check_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError, match="no check for"):
        type("Odd", (Map,), {"__annotations__": {"value": float}, "__module__": __name__})


def test_a_refusal_names_the_member_and_hides_the_value() -> None:
    plain = codec.to_map(Record(**RECORD))
    for member in ("user_id", "key_algorithm", "device_id"):
        for make in (
            lambda changed: Record(**(RECORD | changed)),
            lambda changed: codec.convert(plain | changed, Record),
        ):
            with pytest.raises(ProtocolError) as caught:
                make({member: "secret-name"})
            assert "Record" in caught.value.detail
            assert member in caught.value.detail
            assert "secret-name" not in caught.value.detail
            assert caught.value.__cause__ is None


def test_nothing_is_built_past_its_checks() -> None:
    """`msgspec.structs.replace` does not call the class, so the protocol has its own."""
    sources = [path.read_text("utf-8") for path in Path(schema.__file__).parent.rglob("*.py")]
    assert not [text for text in sources if "from msgspec.structs import replace" in text or "structs.replace(" in text]
    user = UserInfo(user_id=USER, permissions=())  # type: ignore[arg-type]
    with pytest.raises(ProtocolError):
        schema.replace(user, user_id="x")
