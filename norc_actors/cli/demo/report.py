"""The demo's last word: a report for a person, the same facts as a record for a script. Pure up to the rendering."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from norc_actors.cli.demo.ledger import Verdict
from norc_actors.cli.output import JsonValue

SHOWN_FAULTS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Everything that the demo learnt. `trees` are snapshots of the node's tree, one per life of the node."""

    verdict: Verdict
    kills: Sequence[str]
    node_kills: int
    trees: Sequence[JsonValue]
    seed: int
    seconds: float
    wanted_kills: int

    @property
    def good(self) -> bool:
        """Whether the demo succeeded: no fault in the ledger, and every planned kill was carried out."""
        return self.verdict.good and len(self.kills) >= self.wanted_kills and self.node_kills >= 1


def record(outcome: Outcome) -> dict[str, JsonValue]:
    """The report as one JSON object."""
    verdict = outcome.verdict
    return {
        "ok": outcome.good,
        "seed": outcome.seed,
        "seconds": round(outcome.seconds, 1),
        "planned": verdict.planned,
        "sent": verdict.sent,
        "acknowledged": verdict.acknowledged,
        "delivered": verdict.delivered,
        "read": verdict.read,
        "copies": verdict.copies,
        "expected_copies": verdict.expected_copies,
        **{name: len(found) for name, found in verdict.faults.items()},
        "latency_p50_ms": round(verdict.latency_p50 * 1000, 1),
        "latency_p99_ms": round(verdict.latency_p99 * 1000, 1),
        "kills": dict(Counter(outcome.kills)),
        "node_kills": outcome.node_kills,
    }


def render(outcome: Outcome) -> RenderableType:
    """The report as a person likes to read it."""
    parts: list[RenderableType] = [_tree(merge(outcome.trees)), _kills(outcome), _figures(outcome.verdict)]
    for name, found in outcome.verdict.faults.items():
        if found:
            more = f"\n  … {len(found) - SHOWN_FAULTS} more" if len(found) > SHOWN_FAULTS else ""
            parts.append(Text(f"{name}:\n  " + "\n  ".join(found[:SHOWN_FAULTS]) + more, style="red"))
    parts.append(_headline(outcome))
    return Group(*parts)


def _headline(outcome: Outcome) -> RenderableType:
    verdict, killed = outcome.verdict, len(outcome.kills)
    if outcome.good:
        text = (
            f"{verdict.sent} messages, {verdict.copies} copies, {killed} actors and the node itself killed: "
            f"nothing lost, nothing twice, nothing out of order.  ({outcome.seconds:.0f} s, seed {outcome.seed})"
        )
        return Panel(Text(text, style="bold green"), border_style="green")
    wrong = [f"{len(found)} {name}" for name, found in verdict.faults.items() if found]
    if killed < outcome.wanted_kills or not outcome.node_kills:
        wrong.append(f"only {killed} of {outcome.wanted_kills} kills and {outcome.node_kills} of the node")
    return Panel(Text(f"FAILED: {', '.join(wrong)}.  (seed {outcome.seed})", style="bold red"), border_style="red")


def _figures(verdict: Verdict) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 2))
    table.add_column(justify="left")
    table.add_column(justify="right")
    for name in ("sent", "acknowledged", "delivered", "read"):
        count: int = getattr(verdict, name)
        table.add_row(name, f"{count:,} of {verdict.planned:,}", style="" if count == verdict.planned else "yellow")
    table.add_row("copies seen", f"{verdict.copies:,} of {verdict.expected_copies:,}")
    for name, found in verdict.faults.items():
        table.add_row(name, f"{len(found):,}", style="red" if found else "green")
    for name, seconds in (("p50", verdict.latency_p50), ("p99", verdict.latency_p99), ("worst", verdict.latency_max)):
        table.add_row(f"latency {name}", _time(seconds))
    return Group(Text("\nMessages", style="bold"), table)


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _kills(outcome: Outcome) -> RenderableType:
    counts = Counter(outcome.kills)
    told = [f"{name} {count}×" for name, count in sorted(counts.items())]
    told.append(f"the node, by SIGKILL, {outcome.node_kills}×")
    return Group(Text("\nKilled while messages flowed", style="bold"), Text("  " + ", ".join(told)))


# --- The tree ---


@dataclass(frozen=True, slots=True)
class Branch:
    """One actor of the tree over all lives of the node: its restarts added up."""

    name: str
    strategy: str
    restarts: int
    children: tuple["Branch", ...]


def merge(trees: Sequence[JsonValue]) -> Branch | None:
    """One tree of several snapshots: the shape of the last, the restarts of all added up by name and place."""
    totals: Counter[tuple[str, ...]] = Counter()
    for tree in trees:
        _count(tree, (), totals)
    return _branch(trees[-1], (), totals) if trees else None


def _name(node: dict[str, JsonValue]) -> str:
    return str(node.get("spec") or "?")


def _children(node: dict[str, JsonValue]) -> list[dict[str, JsonValue]]:
    children = node.get("children")
    return [child for child in children if isinstance(child, dict)] if isinstance(children, list) else []


def _count(node: JsonValue, path: tuple[str, ...], totals: Counter[tuple[str, ...]]) -> None:
    if isinstance(node, dict):
        path = (*path, _name(node))
        restarts = node.get("restarts")
        totals[path] += restarts if isinstance(restarts, int) else 0
        for child in _children(node):
            _count(child, path, totals)


def _branch(node: JsonValue, path: tuple[str, ...], totals: Counter[tuple[str, ...]]) -> Branch | None:
    if not isinstance(node, dict):
        return None
    path = (*path, _name(node))
    children = [_branch(child, path, totals) for child in _children(node)]
    return Branch(path[-1], str(node.get("strategy") or ""), totals[path], tuple(child for child in children if child))


DYNAMIC_SHOWN = 3


def _tree(branch: Branch | None) -> RenderableType:
    title = Text("Supervision tree, and how often each actor was restarted", style="bold")
    if branch is None:
        return Group(title, Text("  (no snapshot)"))
    drawn = Tree(_label(branch))
    _grow(drawn, branch)
    return Group(title, drawn)


def _grow(drawn: Tree, branch: Branch) -> None:
    for child in branch.children[:DYNAMIC_SHOWN] if branch.strategy == "dynamic" else branch.children:
        _grow(drawn.add(_label(child)), child)
    if branch.strategy == "dynamic" and len(branch.children) > DYNAMIC_SHOWN:
        drawn.add(Text(f"… {len(branch.children) - DYNAMIC_SHOWN} more", style="dim"))


def _label(branch: Branch) -> Text:
    text = Text(branch.name)
    if branch.strategy:
        text.append(f"  {branch.strategy}", style="dim")
    if branch.restarts:
        text.append(f"  {branch.restarts} restart{'s' if branch.restarts > 1 else ''}", style="yellow")
    return text
