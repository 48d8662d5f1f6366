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
    name = str(node.get("spec") or "?")
    parts = [str(node[key]) for key in ("strategy", "status") if node.get(key) not in (None, "", "running")]
    restarts = node.get("restarts")
    if restarts:
        parts.append(f"{restarts} restart{'s' if restarts != 1 else ''}")
    mailbox = node.get("mailbox")
    if isinstance(mailbox, dict) and mailbox.get("depth"):
        parts.append(f"{mailbox['depth']} waiting")
    if node.get("omitted"):
        parts.append(f"{node['omitted']} more not shown")
    return f"{name}  ({', '.join(parts)})" if parts else name
