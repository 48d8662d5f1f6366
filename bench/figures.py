"""What a benchmark says: medians with their range, the ratio to a baseline of the same run, and the bounds of both.

A figure with a bound has `at_most` (of the median) or `ratio_at_most` (of the ratio) beside it; the table says whether
it was kept. A bound that is missed fails nothing: machines have neighbours.
"""

from collections.abc import Sequence
from statistics import median

Figure = dict[str, float]
Figures = dict[str, Figure]


def figure(
    samples: Sequence[float],
    *,
    baseline: Sequence[float] | None = None,
    at_most: float | None = None,
    ratio_at_most: float | None = None,
) -> Figure:
    """Median, minimum and maximum; with a baseline the ratio of the medians; and the bounds, if there are any."""
    result = {"median": median(samples), "min": min(samples), "max": max(samples)}
    if baseline is not None:
        result["ratio"] = result["median"] / median(baseline)
    if at_most is not None:
        result["at_most"] = at_most
    if ratio_at_most is not None:
        result["ratio_at_most"] = ratio_at_most
    return result


def bound(values: Figure) -> str:
    """The figure's bound and whether it was kept, in words; nothing if it has none."""
    for bounded, limit in (("median", "at_most"), ("ratio", "ratio_at_most")):
        if limit in values:
            return f"{bounded} at most {values[limit]:g}: {'kept' if values[bounded] <= values[limit] else 'MISSED'}"
    return ""


def table(title: str, figures: Figures) -> str:
    """The figures as aligned text."""
    width = max(len(name) for name in figures)
    lines = [title, f"{'':{width}}  {'median':>10} {'min':>10} {'max':>10}  {'ratio':>6}  bound"]
    for name, values in figures.items():
        ratio = f"{values['ratio']:6.2f}" if "ratio" in values else ""
        row = " ".join(f"{values[key]:10.2f}" for key in ("median", "min", "max"))
        lines.append(f"{name:{width}}  {row}  {ratio:6}  {bound(values)}".rstrip())
    return "\n".join(lines)
