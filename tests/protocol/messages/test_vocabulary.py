"""Words that several families share."""

import pytest

from norc_actors.protocol import messages as m
from norc_actors.protocol.errors import ProtocolError
from norc_actors.protocol.messages import vocabulary
from norc_actors.protocol.schema import Map
from tests.support.rules import Broken, accepted, each, keeps_to_its_form, refused, types_of

BROKEN: list[Broken] = [
    (m.Period, {"start_time": 2, "end_time": 1}),
    (m.RateLimits, {"bandwidth_mbps": -1}),
]


@types_of(vocabulary)
def test_every_type_keeps_to_its_form(kind: type[Map]) -> None:
    assert keeps_to_its_form(kind)


@each(BROKEN)
def test_a_broken_rule(kind: type[Map], changes: dict[str, object]) -> None:
    assert refused(kind, changes)


def test_order() -> None:
    vocabulary.check_order("x", 1, 1)
    vocabulary.check_order("x", 1, 2)
    with pytest.raises(ProtocolError, match="x ends before it begins"):
        vocabulary.check_order("x", 2, 1)


@pytest.mark.parametrize(
    ("date", "fits"),
    [("2026-11-20", True), ("2026-12-31", True), ("2026-13-01", False), ("2026-00-01", False), ("2026-01-32", False),
     ("2026-1-01", False), ("2026-01-01\n", False), ("02026-01-01", False), ("", False)],
)  # fmt: skip
def test_dates(date: str, fits: bool) -> None:
    """As `audit_root_query` has them."""
    if fits:
        accepted(m.AuditRootQuery, date=date)
    else:
        assert refused(m.AuditRootQuery, {"date": date})
