"""Level × permission × classification for every type that travels on a link: nothing passes a cell that forbids it
(rows B133, B144; issue 5)."""

import itertools
from typing import get_args

import pytest

from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.link_states import LINK_TABLE
from norc_actors.protocol.messages import message as message_module
from norc_actors.protocol.registry import CODES, NAMES
from norc_actors.protocol.relay import Relation
from norc_actors.protocol.trust_levels import LEVELS
from norc_actors.trust.policy import NEEDS, PERMISSIONS, check

CLASSIFICATIONS = (*get_args(message_module.Classification), "restricted", "", None)
TRAVELS = {NAMES[code] for _, state, code in LINK_TABLE if state == "trusted"}

# The table once more, as sections 8 and 9 say it and not as the code does: what a hole in one would not hide in both.
EXCHANGE = "trust_capabilities trust_request trust_challenge trust_response trust_decision trust_acknowledgment"
OPEN = set(
    f"{EXCHANGE} trust_revoke revocation_acknowledgment server_discovery server_info rate_limit_exceeded "
    "federation_error".split()
)
BY_PERMISSION = {
    "message_relay": "message_relay device_revoke read_receipt session_key_exchange conversation_create "
    "conversation_join conversation_leave conversation_state conversation_update",
    "user_discovery": "user_lookup",
    "presence_federation": "presence_federation",
    "media_relay": "media_relay_info",
    "archive_sync": "archive_sync",
    "voice_calls": "call_invite_federation call_response call_update call_end",
    "file_transfer": "file_upload_request file_chunk file_upload_complete file_download_request file_chunk_ack",
}
PERMISSION_OF = {name: permission for permission, names in BY_PERMISSION.items() for name in names.split()}
CLASSIFIED = {"message_relay", "archive_sync", "file_upload_request", "call_invite_federation"}
VERIFIED = {"archive_sync", "archive_sync_response", "compliance_report", "compliance_report_response"}
ALLOWED = {
    "untrusted": set(),
    "basic": {"unclassified", "official_use_only"},
    "verified": {"unclassified", "official_use_only", "confidential", "nato_restricted"},
    "classified": {"unclassified", "official_use_only", "confidential", "nato_restricted", "secret", "top_secret"},
    "nato": {
        "unclassified", "official_use_only", "confidential", "nato_restricted", "nato_confidential", "nato_secret",
    },
}  # fmt: skip


def relation(level, permissions=frozenset(PERMISSIONS), agreement=frozenset()):
    return Relation(level=level, permissions=frozenset(permissions), public_key=b"k" * 32, agreement=agreement)


def expected(kind, level, permissions, classification, agreement):
    """The code that this cell must give, None if the message may pass."""
    if kind in OPEN:
        return None
    if level == "untrusted":
        return Code.SERVER_NOT_TRUSTED
    if kind == "cluster_member_info":
        return Code.PERMISSION_DENIED
    if kind in VERIFIED and level == "basic":
        return Code.INSUFFICIENT_TRUST
    if kind in PERMISSION_OF and PERMISSION_OF[kind] not in permissions:
        return Code.PERMISSION_DENIED
    if kind in CLASSIFIED and classification not in ALLOWED[level] | (agreement if level == "nato" else set()):
        return Code.CLASSIFICATION_EXCEEDED
    return None


def outcome(kind, *arguments):
    try:
        check(*arguments[:1], kind, *arguments[1:])
    except ProtocolError as error:
        return error.code
    return None


def test_the_table_has_every_type_of_a_link_and_no_other():
    assert set(NEEDS) == TRAVELS


@pytest.mark.parametrize("kind", sorted(TRAVELS))
def test_every_cell(kind):
    passed = 0
    for level, size in itertools.product(LEVELS, range(len(PERMISSIONS) + 1)):
        for permissions in itertools.combinations(PERMISSIONS, size):
            for agreement in (frozenset(), frozenset({"secret"})):
                under = relation(level, permissions, agreement)
                for classification in CLASSIFICATIONS:
                    code = outcome(kind, under, classification)
                    assert code is expected(kind, level, permissions, classification, agreement)
                    passed += code is None
    assert bool(passed) is (kind != "cluster_member_info")


@pytest.mark.parametrize("kind", sorted(TRAVELS - OPEN))
@pytest.mark.parametrize("absent", [Code.SERVER_NOT_TRUSTED, Code.TRUST_EXPIRED, Code.TRUST_REVOKED])
def test_without_a_relation_nothing_passes_and_the_code_says_why(kind, absent):
    for missing in (None, relation("untrusted")):
        with pytest.raises(ProtocolError) as refused:
            check(missing, kind, "unclassified", absent=absent)
        assert refused.value.code is absent


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_each_permission_is_revocable_alone(permission):
    rest = relation("classified", set(PERMISSIONS) - {permission})
    for kind in TRAVELS - OPEN - {"cluster_member_info"}:
        code = outcome(kind, rest, "unclassified")
        assert code is (Code.PERMISSION_DENIED if PERMISSION_OF.get(kind) == permission else None)


def test_a_higher_level_only_loses_national_secrets_to_the_agreement():
    for low, high in itertools.pairwise(LEVELS):
        for kind, classification in itertools.product(TRAVELS, CLASSIFICATIONS):
            if outcome(kind, relation(low), classification) is None:
                secrets = (high, classification) in {("nato", "secret"), ("nato", "top_secret")}
                assert outcome(kind, relation(high), classification) is (
                    Code.CLASSIFICATION_EXCEEDED if secrets and kind in CLASSIFIED else None
                )


def test_what_no_link_has():
    for name in set(CODES) - TRAVELS:
        with pytest.raises(ProtocolError) as refused:
            check(relation("nato"), name, "unclassified")
        assert refused.value.code is Code.UNKNOWN_TYPE
