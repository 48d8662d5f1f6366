"""What a benchmark says: medians, ratios, and whether a bound was kept."""

import pytest

from bench.figures import bound, figure, table
from bench.runtime import TIMED, WEIGHED


def test_a_ratio_is_of_the_medians() -> None:
    assert figure([3.0, 1.0, 8.0], baseline=[2.0, 1.0, 1.5]) == {"median": 3.0, "min": 1.0, "max": 8.0, "ratio": 2.0}


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({}, ""),
        ({"at_most": 3}, "median at most 3: kept"),
        ({"at_most": 2.5}, "median at most 2.5: MISSED"),
        ({"ratio_at_most": 2}, "ratio at most 2: kept"),
        ({"ratio_at_most": 1.9}, "ratio at most 1.9: MISSED"),
    ],
)
def test_a_bound_stands_beside_its_figure(bounds: dict[str, float], said: str) -> None:
    values = figure([3.0, 1.0, 8.0], baseline=[1.5], **bounds)
    assert bound(values) == said
    (*_, line) = table("title", {"name": values}).splitlines()
    assert line.split() == ["name", "3.00", "1.00", "8.00", "2.00", *said.split()]


def test_what_is_compared_is_asked_before() -> None:
    asked: list[str] = []
    for name, question in (TIMED | WEIGHED).items():
        assert question.baseline is None or question.baseline in asked
        assert question.ratio_at_most is None or question.baseline is not None
        asked.append(name)
