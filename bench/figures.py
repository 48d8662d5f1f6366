"""What a benchmark says: medians with their range, and the ratio to a baseline of the same run."""

from collections.abc import Sequence
from statistics import median

Figure = dict[str, float]
Figures = dict[str, Figure]


def figure(samples: Sequence[float], *, baseline: Sequence[float] | None = None) -> Figure:
    """Median, minimum and maximum; with a baseline the ratio of the medians."""
    result = {"median": median(samples), "min": min(samples), "max": max(samples)}
    if baseline is not None:
        result["ratio"] = result["median"] / median(baseline)
    return result


def table(title: str, figures: Figures) -> str:
    """The figures as aligned text."""
    width = max(len(name) for name in figures)
    lines = [title, f"{'':{width}}  {'median':>10} {'min':>10} {'max':>10}  ratio"]
    for name, values in figures.items():
        ratio = f"{values['ratio']:.2f}" if "ratio" in values else ""
        row = " ".join(f"{values[key]:10.2f}" for key in ("median", "min", "max"))
        lines.append(f"{name:{width}}  {row}  {ratio}")
    return "\n".join(lines)
