"""The table of types is the published one, and structs stand where they belong."""

import re

import pytest

from norc_actors.protocol.messages import Wrap
from norc_actors.protocol.registry import CODES, LEGACY, NAMES, STRUCTS, code_of
from norc_actors.protocol.schema import type_name

# Section 3's table, cell by cell.
PUBLISHED = """
00 connection_request; 01 connection_accepted; 02 device_register; 03 / 04 auth_request / auth_response; 05 device_revoke
06 registration_challenge; 07 registration_response; 08 registration_success; 09 / 0A ping / pong; 0B version_confirmation
0E extension; 0F error; 10 message_send; 11 message_ack; 12 / 13 message_received / read_receipt; 20 presence_update
21 presence_subscribe; 22 presence_notification; 30 / 31 key_request / key_response; 32 session_key_exchange; 33 time_sync
34 session_rekey; 35 / 36 prekey_upload / prekey_status; 40 file_manifest; 41 file_upload_request; 42 file_chunk
43 file_upload_complete; 44 file_download_request; 45 file_chunk_ack; 50 conversation_create; 51 conversation_join
52 conversation_leave; 53 conversation_state; 54 conversation_update; 60 call_invite; 61 call_response; 62 call_update
63 call_end; 70 / 71 federation_hello / …_response; 72 / 73 federation_handshake / …_response
74 / 75 trust_status / …_response; 76 / 77 user_lookup / …_response; 78 presence_federation
79 / 7A archive_sync / …_response; 7B call_invite_federation; 7C media_relay_info; 7D cluster_member_info
7E / 7F health_check / health_status; 80 message_relay; 81 delivery_ack; 82 relay_ack; 83 rate_limit_exceeded
84 federation_error; 85 batch; 90 / 91 server_discovery / server_info; 9F trust_capabilities
A0 / A1 trust_request / trust_challenge; A2 / A3 trust_response / trust_revoke
A4 / A5 trust_decision / trust_acknowledgment; A6 revocation_acknowledgment; A7 / A8 crl_request / trust_crl
A9 / AA trust_recommendation / …_response; AB gov_pki_trust_request; AC / AD trust_health_check / trust_health_report
AE trust_renewal; AF / B0 compliance_report / …_response; B1 / B2 audit_root_query / audit_root
"""  # noqa: E501 - cells as published


def _published() -> dict[int, str]:
    table = {}
    for cell in re.split(r"[;\n]", PUBLISHED):
        words = [word for word in cell.split() if word != "/"]
        codes, names = words[: len(words) // 2], words[len(words) // 2 :]
        for code, name in zip(codes, names, strict=True):
            table[int(code, 16)] = name.replace("…", names[0])
    return table


def test_the_table_is_the_published_one() -> None:
    assert _published() == NAMES


def test_codes_and_names_are_unique() -> None:
    assert len(CODES) == len(NAMES)
    assert all(0 <= code < 256 for code in NAMES)


def test_structs_stand_under_their_names() -> None:
    for code, shapes in STRUCTS.items():
        for kind in shapes.all:
            assert type_name(kind) == NAMES[code]
            assert code_of(kind) == code
            assert type_name(kind) not in kind.__struct_fields__


def test_a_map_without_type_has_no_code() -> None:
    with pytest.raises(TypeError):
        code_of(Wrap)  # type: ignore[arg-type]


def test_two_shapes_share_no_way_to_be_read() -> None:
    for shapes in STRUCTS.values():
        if shapes.with_member is not None:
            assert shapes.member in shapes.with_member.__struct_fields__
            assert shapes.member not in shapes.usual.__struct_fields__
            assert shapes.of({shapes.member: 1}) is shapes.with_member
        assert shapes.of({}) is shapes.usual


def test_every_type_has_its_struct() -> None:
    assert list(STRUCTS) == sorted(NAMES)


def test_forms_of_1x_stand_beside_the_registry() -> None:
    for code, kind in LEGACY.items():
        assert type_name(kind) == NAMES[code]
        assert kind not in STRUCTS[code].all
