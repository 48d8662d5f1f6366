"""A supervision tree as text, from the node's snapshot."""

from norc_actors.cli.output import JsonValue


def draw(tree: JsonValue) -> str:
    """One line per actor, indented as in a folder listing: name, kind or strategy, restarts, mailbox."""
    return "\n".join(_lines(tree, "", ""))


def _lines(node: JsonValue, first: str, rest: str) -> list[str]:
    if not isinstance(node, dict):
        return [first + str(node)]
    lines = [first + _label(node)]
    children = node.get("children")
    if not isinstance(children, list):
        return lines
    for number, child in enumerate(children):
        last = number == len(children) - 1
        lines += _lines(child, rest + ("└── " if last else "├── "), rest + ("    " if last else "│   "))
    return lines


def _label(node: dict[str, JsonValue]) -> str:
    name = str(node.get("name") or node.get("id") or "?")
    parts = [str(node[key]) for key in ("strategy", "status") if node.get(key) not in (None, "", "running")]
    restarts = node.get("restarts")
    if restarts:
        parts.append(f"{restarts} restart{'s' if restarts != 1 else ''}")
    depth = node.get("mailbox_depth")
    if depth:
        parts.append(f"{depth} waiting")
    return f"{name}  ({', '.join(parts)})" if parts else name
