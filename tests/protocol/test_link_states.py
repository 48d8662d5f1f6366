"""Links: every state, every input, from either end: a legal result or one error."""

import itertools

import pytest

from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.link_states import (
    ENDS,
    EVENTS,
    LINK_STATES,
    LINK_TABLE,
    LINK_TYPES,
    after_event,
    after_message,
)
from norc_actors.protocol.registry import CODES


def test_the_sweep():
    for end, state, code, pinned in itertools.product(ENDS, LINK_STATES, range(256), (True, False)):
        try:
            following = after_message(end, state, code, pinned=pinned)
        except ProtocolError as error:
            expected = Code.WRONG_STATE if code in LINK_TYPES else Code.UNKNOWN_TYPE
            assert error.code is expected  # noqa: PT017 - one of two outcomes
            assert (end, state, code) not in LINK_TABLE
        else:
            assert following in LINK_STATES


def test_events():
    for state, event in itertools.product(LINK_STATES, {event for _, event in EVENTS} | {"closed", "nonsense"}):
        if event == "closed":
            assert after_event(state, event) == "closed"
        elif (state, event) in EVENTS:
            assert after_event(state, event) == EVENTS[state, event]
        else:
            with pytest.raises(ProtocolError):
                after_event(state, event)


@pytest.mark.parametrize(("pinned", "end"), [(True, "trusted"), (False, "untrusted")])
def test_the_way_through(pinned, end):
    state = "opening"
    for sender, name in zip(
        itertools.cycle(ENDS),
        ("federation_hello", "federation_hello_response", "federation_handshake", "federation_handshake_response"),
        strict=False,
    ):
        state = after_message(sender, state, CODES[name], pinned=pinned)
    assert state == end


def test_what_moves_users_data_wants_trust():
    for name in ("message_relay", "user_lookup", "conversation_update", "file_chunk", "archive_sync"):
        for end in ENDS:
            assert after_message(end, "trusted", CODES[name]) == "trusted"
            for state in set(LINK_STATES) - {"trusted"}:
                with pytest.raises(ProtocolError) as refused:
                    after_message(end, state, CODES[name])
                assert refused.value.code is Code.WRONG_STATE


def test_nothing_of_the_handshake_comes_again_and_nothing_comes_before_it():
    for name in ("federation_hello", "federation_hello_response", "federation_handshake"):
        for end, state in itertools.product(ENDS, ("untrusted", "trusted", "suspended", "closed")):
            with pytest.raises(ProtocolError):
                after_message(end, state, CODES[name])
    for end, state in itertools.product(ENDS, LINK_STATES[:4]):
        with pytest.raises(ProtocolError):
            after_message(end, state, CODES["trust_request"])


def test_no_type_of_a_client_alone_comes_on_a_link():
    for name in ("auth_request", "device_register", "message_send", "message_received", "ping", "batch", "call_invite"):
        with pytest.raises(ProtocolError) as refused:
            after_message("initiator", "trusted", CODES[name])
        assert refused.value.code is Code.UNKNOWN_TYPE
