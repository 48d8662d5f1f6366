"""Names and units (row B23): what counts time says in what, ids are UUIDs, bytes have their length."""

import re
from typing import get_type_hints

import pytest

from norc_actors.protocol import messages as m
from norc_actors.protocol.schema import Length, Map, Pattern, Unit, strip
from tests.support.messages import LEGACY, MAPS, MESSAGES

KINDS: list[type[Map]] = [*MESSAGES, *LEGACY, *MAPS]
TIME = re.compile(
    r"(timestamp|_at|_date|deadline|not_before|not_after|_time|expires|this_update|next_update|last_seen|idle_since|ttl"
    r"|_us|_ms|_days|grace_period|retry_after|max_duration|max_trust_age|last_tested|assessment_period|effective)$"
)
MICROS = {
    (m.Metadata, "timestamp"), (m.MessageAck, "timestamp"), (m.ReadReceipt, "timestamp"), (m.Blob, "timestamp"),
    (m.RouteSignature, "federation_timestamp"), (m.RelayMetadata, "original_timestamp"),
    (m.RelayMetadata, "federation_timestamp"), (m.Delivered, "timestamp"), (m.FailedDelivery, "timestamp"),
    (m.RelayAck, "timestamp"), (m.TimeSync, "server_time_us"),
}  # fmt: skip
OTHER = {(m.TimeSync, "uncertainty_ms"): "ms", (m.ValidationRequirements, "max_age_days"): "days"}
NOT_UUIDS = {"user_id", "server_id", "cluster_id", "node_id", "extension_id", "prekey_id", "one_time_id", "control_id"}


def _members(kind: type[Map]) -> dict[str, tuple[object, tuple[object, ...]]]:
    hints = get_type_hints(kind, include_extras=True)
    return {name: strip(hints[name])[:2] for name in kind.__struct_fields__}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_time_has_its_unit(kind: type[Map]) -> None:
    for name, (bare, marks) in _members(kind).items():
        unit = next((mark.name for mark in marks if isinstance(mark, Unit)), None)
        if bare is int and TIME.search(name):
            assert unit == OTHER.get((kind, name), "µs" if (kind, name) in MICROS else "s"), name
        else:
            assert (kind, name) not in MICROS


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_ids_keys_hashes_and_signatures(kind: type[Map]) -> None:
    for name, (bare, marks) in _members(kind).items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        if bare is str and name.endswith("_id") and name not in NOT_UUIDS:
            pattern = next((mark for mark in marks if isinstance(mark, Pattern)), None)
            named = pattern is not None and pattern.name in ("UUID", "user_id")
            assert named or (kind, name) == (m.ComplianceAttestation, "certificate_id"), name
        if re.search(r"(_hash|_key|signature|fingerprint|commitment|nonce)$", name):
            assert bare is bytes, name
            assert any(isinstance(mark, Length) for mark in marks), name
