"""Every state × every input: a legal step or one error (row B30)."""

import itertools

import pytest

from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.registry import CODES, NAMES
from norc_actors.protocol.states import NOT_SERVED, STATES, TABLE, Link, Sender, State, after

SENDERS: tuple[Sender, ...] = ("client", "server")


def test_the_sweep() -> None:
    for sender, state, code in itertools.product(SENDERS, STATES, range(256)):
        try:
            following = after(sender, state, code)
        except ProtocolError as error:
            known = any((s, t, code) in TABLE for s in SENDERS for t in STATES)
            assert error.code is (Code.WRONG_STATE if known else Code.UNKNOWN_TYPE)  # noqa: PT017 - one of two outcomes
            assert (sender, state, code) not in TABLE
        else:
            assert following in STATES
            assert NAMES[code]


@pytest.mark.parametrize("role", SENDERS)
def test_link_moves_on_legal_steps_only(role: Sender) -> None:
    for state, code, received in itertools.product(STATES, range(256), (True, False)):
        link = Link(role)
        link.state = state
        peer: Sender = "server" if role == "client" else "client"
        legal = TABLE.get((peer if received else role, state, code))
        step = link.received if received else link.sent
        if legal is None or (received and code in NOT_SERVED):
            with pytest.raises(ProtocolError):
                step(code)
            assert link.state == state
        else:
            step(code)
            assert link.state == legal


def test_what_nobody_serves_yet_is_unknown() -> None:
    """It is in the table, since the protocol has it, and ends the connection all the same."""
    for role, code in itertools.product(SENDERS, NOT_SERVED):
        link = Link(role)
        link.state = "active"
        assert any((sender, "active", code) in TABLE for sender in SENDERS)
        with pytest.raises(ProtocolError) as caught:
            link.received(code)
        assert caught.value.code is Code.UNKNOWN_TYPE


def test_the_way_through() -> None:
    client, server = Link("client"), Link("server")
    for sender, name, expected in (
        (client, "connection_request", "handshaking"),
        (server, "connection_accepted", "unauthenticated"),
        (client, "device_register", "unauthenticated"),
        (server, "registration_challenge", "unauthenticated"),
        (client, "registration_response", "unauthenticated"),
        (server, "registration_success", "unauthenticated"),
        (client, "auth_request", "unauthenticated"),
        (server, "auth_response", "active"),
        (client, "message_send", "active"),
        (server, "message_received", "active"),
    ):
        other = server if sender is client else client
        sender.sent(CODES[name])
        other.received(CODES[name])
        assert client.state == server.state == expected


def test_nothing_before_authentication_and_nothing_after_the_end() -> None:
    before: tuple[State, ...] = ("connecting", "handshaking", "unauthenticated", "closed")
    for state in before:
        for name in ("message_send", "key_request", "conversation_create", "prekey_upload", "message_ack"):
            with pytest.raises(ProtocolError):
                after("client", state, CODES[name])
    link = Link("server")
    link.close()
    for code in range(256):
        with pytest.raises(ProtocolError):
            link.received(code)


def test_both_ends_see_every_type_that_the_connection_has() -> None:
    """What needs a sealed connection is never legal before; rekeys are not the application's."""
    assert not any(code == CODES["session_rekey"] for _, _, code in TABLE)
    assert {state for _, state, code in TABLE if NAMES[code].startswith("connection_")} == {"connecting", "handshaking"}
