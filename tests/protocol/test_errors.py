"""The registry of error codes: complete, consistent, and the only thing that leaves."""

import re

import pytest

from norc_actors.protocol.errors import ERRORS, Code, PeerError, ProtocolError, info_of, malformed, outward
from norc_actors.protocol.messages import ErrorMessage

FIELDS_PAGE = """
1001 invalid_device, 1002 invalid_signature, 1003 device_revoked, 1004 session_expired
2001 invalid_recipient, 2002 stale_devices, 2003 too_large, 2004 conversation_not_found, 2005 not_permitted, 2006 classification
3001 malformed, 3002 wrong_state, 3003 no_compatible_version, 3004 unknown_type
4001 key_not_found, 4002 key_expired, 4003 key_revoked, 4004 algorithm_unsupported, 4005 downgrade
5001 server_not_trusted, 5002 trust_expired, 5003 trust_revoked, 5004 insufficient_trust, 5005 permission_denied, 5006 classification_exceeded
5201 no_route, 5202 ttl_expired, 5203 loop_detected, 5204 user_not_found, 5205 stale_devices, 5206 wrong_target
5401 rate_exceeded, 5402 bandwidth_exceeded, 5403 quota_exceeded
5601 protocol_version, 5602 message_too_large, 5603 capability_missing, 5604 bad_signature, 5605 clock_skew, 5606 bad_sequence, 5607 pq_required
6001 messages, 6002 calls, 6003 files, 6004 key_lookups, 6005 registrations
1000 authentication, 2000 authorization, 3000 protocol, 4000 crypto, 5000 federation, 6000 rate_limit, 9000 server
"""  # noqa: E501 - the lists as published


def test_the_registry_is_the_published_list() -> None:
    published = {int(code): name for code, name in re.findall(r"(\d{4}) (\w+)", FIELDS_PAGE)}
    assert {int(info.code): info.name for info in ERRORS.values()} == published
    assert set(ERRORS) == set(Code)


def test_category_follows_from_the_number() -> None:
    for code, info in ERRORS.items():
        assert info.category == ERRORS[Code(code // 1000 * 1000)].category
        assert info.code is code


def test_texts_are_safe() -> None:
    for info in ERRORS.values():
        assert re.fullmatch(r"[A-Z][a-z -]+\.", info.text), info


def test_what_is_told_to_the_unauthenticated() -> None:
    for code in Code:
        told = outward(code, authenticated=False)
        assert told == (Code.AUTHENTICATION if 1000 <= code < 2000 else code)
        assert outward(code, authenticated=True) is code


def test_the_detail_never_leaves() -> None:
    error = ProtocolError(Code.DEVICE_REVOKED, "device of alice", retry_after=7)
    assert "alice" in str(error)
    message = ErrorMessage.for_error(error, now=5.9, authenticated=False)
    assert (message.error_code, message.error_category, message.retry_after) == (1000, "authentication", 7)
    assert message.timestamp == 5
    assert "alice" not in repr(message)


@pytest.mark.parametrize(("number", "code"), [(3001, 3001), (3999, 3000), (7123, 9000), (0, 9000)])
def test_a_number_of_a_newer_peer_counts_as_its_category(number: int, code: int) -> None:
    assert info_of(number).code == code
    assert PeerError(number).info.code == code
    assert str(number) in str(PeerError(number))


def test_an_error_says_its_code_and_name() -> None:
    assert str(ProtocolError(Code.DOWNGRADE)) == "4005 downgrade"
    assert str(ProtocolError(Code.DOWNGRADE, "x")) == "4005 downgrade: x"


def test_malformed_is_3001() -> None:
    assert malformed("x").code == 3001
    assert malformed("x").info.action == "close"
