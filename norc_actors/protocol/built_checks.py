"""The check of what our own code builds: every member, and the first that breaks a rule by its name.

From a struct's annotations `compile_built` writes one function, once, as source text (as `dataclasses` does): a loop
over generic checks would cost three times as much. It looks at the struct's own members; the maps inside were checked
when they were built. Every refusal is `ProtocolError(MALFORMED)` whose detail names struct and member, not the value.
"""

from collections.abc import Callable
from types import UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from norc_actors.limits import MAX_ENTRIES, MAX_INTEGER

from .canonical import check_value
from .errors import malformed
from .marks import Bound, Length, Pattern, Range, SignedMap, strip


class _Writer:
    """Collects the lines of one check and the names that they use."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.lines: list[str] = []
        self.names: dict[str, object] = {"refuse": _refuse, "check_value": check_value, "check_text": _check_text}
        self._count = 0

    def name(self, value: object) -> str:
        """A name for `value` inside the generated source."""
        self._count += 1
        name = f"v{self._count}"
        self.names[name] = value
        return name

    def refuse_if(self, indent: int, condition: str, member: str, why: str) -> None:
        """`if condition: raise …`."""
        self.lines.append(f"{' ' * indent}if {condition}: refuse({self.owner!r}, {member!r}, {why!r})")


def compile_built(kind: type[msgspec.Struct], depth: int) -> Callable[[Any], None]:
    """The check of one struct, whose members stand below `depth`; `TypeError` for a member that nothing can check."""
    writer = _Writer(kind.__name__)
    for member, annotation in get_type_hints(kind, include_extras=True).items():
        if get_origin(annotation) is ClassVar:
            continue
        bare, marks, optional = strip(annotation)
        writer.lines.append(f" x = self.{member}")
        if optional:
            writer.lines.append(" if x is not None:")
        _emit(writer, 2 if optional else 1, bare, marks, "x", member, depth + 1)
    if hasattr(kind, "_rule"):
        writer.lines.append(" self._rule()")
    source = "def check(self):\n" + ("\n".join(writer.lines) or " pass") + "\n"
    namespace = dict(writer.names)
    exec(compile(source, f"<check of {kind.__name__}>", "exec"), namespace)
    check: Callable[[Any], None] = namespace["check"]  # type: ignore[assignment]
    return check


def _emit(w: _Writer, indent: int, bare: object, marks: tuple[object, ...], var: str, member: str, depth: int) -> None:
    """Write the check of `var`, a value of type `bare` with `marks`, standing at `depth`."""
    origin = get_origin(bare)
    if bare is str:
        w.refuse_if(indent, f"type({var}) is not str", member, "is no text")
        _emit_text(w, indent, marks, var, member)
    elif bare is int:
        limits = next((m for m in marks if isinstance(m, Range)), Range(-MAX_INTEGER, MAX_INTEGER))
        condition = f"type({var}) is not int or not {limits.least} <= {var} <= {limits.most}"
        w.refuse_if(indent, condition, member, "is no integer in its range")
    elif bare is bool:
        w.refuse_if(indent, f"type({var}) is not bool", member, "is no boolean")
    elif bare is bytes:
        w.refuse_if(indent, f"type({var}) is not bytes", member, "is no bytes")
        _emit_size(w, indent, marks, var, member)
    elif origin is Literal:
        atoms = w.name(frozenset(get_args(bare)))
        w.refuse_if(indent, f"type({var}) is not str or {var} not in {atoms}", member, "is none of its atoms")
    elif origin is tuple:
        _emit_list(w, indent, bare, marks, var, member, depth)
    elif origin is dict:
        _emit_map(w, indent, bare, marks, var, member, depth)
    elif origin in (Union, UnionType):
        _emit_union(w, indent, bare, var, member, depth)
    elif isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        w.refuse_if(indent, f"type({var}) is not {w.name(bare)}", member, f"is no {bare.__name__}")
    else:
        raise TypeError(f"{w.owner}.{member}: no check for {bare!r}")


def _emit_text(w: _Writer, indent: int, marks: tuple[object, ...], var: str, member: str) -> None:
    pattern = next((m for m in marks if isinstance(m, Pattern)), None)
    if pattern is not None:
        w.refuse_if(indent, f"not {w.name(pattern.regex.fullmatch)}({var})", member, f"is no {pattern.name}")
        return
    w.lines.append(f"{' ' * indent}if not {var}.isascii(): check_text({w.owner!r}, {member!r}, {var})")
    _emit_size(w, indent, marks, var, member)


def _emit_size(w: _Writer, indent: int, marks: tuple[object, ...], var: str, member: str) -> None:
    for mark in marks:
        if isinstance(mark, Length):
            condition = " and ".join(f"len({var}) != {length}" for length in mark.allowed)
            w.refuse_if(indent, condition, member, "has a wrong length")
        elif isinstance(mark, Bound):
            w.refuse_if(indent, f"not {mark.least} <= len({var}) <= {mark.most}", member, "has a wrong size")


def _emit_list(
    w: _Writer, indent: int, bare: object, marks: tuple[object, ...], var: str, member: str, depth: int
) -> None:
    item, item_marks, _ = strip(get_args(bare)[0])
    bound = next((m for m in marks if isinstance(m, Bound)), Bound(0, MAX_ENTRIES))
    condition = f"type({var}) is not tuple or not {bound.least} <= len({var}) <= {bound.most}"
    w.refuse_if(indent, condition, member, "is no list in its bounds")
    inner = f"{var}i"
    w.lines.append(f"{' ' * indent}for {inner} in {var}:")
    _emit(w, indent + 1, item, item_marks, inner, member, depth + 1)


def _emit_map(
    w: _Writer, indent: int, bare: object, marks: tuple[object, ...], var: str, member: str, depth: int
) -> None:
    w.refuse_if(indent, f"type({var}) is not dict or len({var}) > {MAX_ENTRIES}", member, "is no map in its bounds")
    if bare == SignedMap:
        w.lines.append(f"{' ' * indent}check_value({var}, {depth})")
        return
    (key, key_marks, _), (item, item_marks, _) = (strip(part) for part in get_args(bare))
    inner_key, inner = f"{var}k", f"{var}i"
    w.lines.append(f"{' ' * indent}for {inner_key}, {inner} in {var}.items():")
    _emit(w, indent + 1, key, key_marks, inner_key, member, depth)
    _emit(w, indent + 1, item, item_marks, inner, member, depth + 1)


def _emit_union(w: _Writer, indent: int, bare: object, var: str, member: str, depth: int) -> None:
    """Alternatives that Python's types tell apart: text, integer, boolean, list, map, variants."""
    word = "if"
    for alternative in get_args(bare):
        kind, marks, _ = strip(alternative)
        origin = get_origin(kind)
        python = str if origin is Literal else (origin or kind)
        w.lines.append(f"{' ' * indent}{word} type({var}) is {w.name(python)}:")
        _emit(w, indent + 1, kind, marks, var, member, depth)
        word = "elif"
    w.lines.append(f"{' ' * indent}else: refuse({w.owner!r}, {member!r}, 'is of no type that it may have')")


def _refuse(owner: str, member: str, why: str) -> None:
    raise malformed(f"{owner}.{member} {why}")


def _check_text(owner: str, member: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        _refuse(owner, member, "has a lone surrogate")
