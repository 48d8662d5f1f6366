#!/usr/bin/env python3
"""Write docs/protocol/fields.md (grammars, every member of every message) and docs/protocol/tables.md (types, labels,
errors, versions, states), both from the code, so that they cannot say anything else than it does. `--check` writes
nothing and fails if a file is not what would be written."""

import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from types import UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

import msgspec

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from norc_actors.crypto.labels import KDF_LABELS, SIGN_LABELS  # noqa: E402 - after the path is set
from norc_actors.protocol import (  # noqa: E402
    messages,
    registry,
    sealed,
    states,
    translation,
    versions,
)
from norc_actors.protocol.errors import ERRORS  # noqa: E402
from norc_actors.protocol.schema import (  # noqa: E402
    Bound,
    Length,
    Map,
    Message,
    Pattern,
    Plain,
    Range,
    SignedMap,
    Unit,
    Variant,
    rule_of,
    strip,
    type_name,
)
from norc_actors.protocol.signed import signed_as  # noqa: E402
from tools import state_tables  # noqa: E402

FOLDER = ROOT / "docs" / "protocol"
MADE = "<!-- made by tools/make_fields_doc.py from the code; do not edit -->\n"
BIG = 2**32
FEDERATION = 0x70
"""The first code of NORC-F."""

FIELDS_HEAD = """# Fields of every message

A map whose section begins with a name and a code is a message and has `type` besides, that name, wherever it stands.
*Optional* members are absent, never null; unknown members are kept. Lists and maps have at most 4096 entries,
integers lie within ±(2⁵³−1) and are not negative unless said, a message is at most 16 deep and has at most 65,536
lists and maps; `text` and `bytes` without a length are bounded by the frame alone, lengths of text are in characters.
A member that is a *map as received* keeps its unknown members, because another signed it; what it must hold is
described under its own name.
*Since* is the first version of its protocol (NORC-C, NORC-F, NORC-T) that has a member. *Signed* says whether a
change of it breaks the signature that is named, which stands in the map itself or beside it; what a message's own
signature does not cover, the sealed frame or the batch around it does. What exactly is signed:
[values](values.md#signatures) and the pages that it leads to. What breaks a *rule* under a table is malformed, like a
member of another type.

"""
TABLES_HEAD = """# Tables of the protocol

"""


def described(annotation: object) -> str:
    """A member's type in words."""
    bare, marks, _ = strip(annotation)
    by_kind = {type(mark): mark for mark in marks}
    return _in_words(bare, by_kind)


def _in_words(bare: object, marks: dict[type, object]) -> str:
    origin, parts = get_origin(bare), get_args(bare)
    pattern, plain = marks.get(Pattern), marks.get(Plain)
    if isinstance(pattern, Pattern):
        return pattern.name
    if bare == SignedMap:
        what = plain.what if isinstance(plain, Plain) else "free"
        return "map, free" if what in {"free", "body"} else f"map as received: {_link(what)}"
    if bare is bytes:
        return f"bytes{_size(marks)}"
    if bare is str:
        return f"text{_size(marks)}"
    if bare is bool:
        return "boolean"
    if bare is int:
        return _integer(marks)
    if origin is Literal:
        return " · ".join(f"`{atom}`" for atom in parts)
    if origin in (Union, UnionType):
        return " or ".join(described(part) for part in parts)
    if origin is tuple:
        return f"list of {described(parts[0])}{_size(marks)}"
    if origin is dict:
        return f"map from {described(parts[0])} to {described(parts[1])}"
    assert isinstance(bare, type)
    return f"map: {_link(bare.__name__)}"


def _size(marks: dict[type, object]) -> str:
    length, bound = marks.get(Length), marks.get(Bound)
    if isinstance(length, Length):
        return f" ({' or '.join(map(str, length.allowed))})"
    if isinstance(bound, Bound):
        if bound.least == bound.most:
            return f" ({bound.least})"
        return f" ({bound.least} or more)" if bound.most >= BIG - 1 else f" ({bound.least} to {bound.most})"
    return ""


def _integer(marks: dict[type, object]) -> str:
    limits, unit = marks.get(Range), marks.get(Unit)
    words = f"integer ({unit.name})" if isinstance(unit, Unit) else "integer"
    if not isinstance(limits, Range) or (limits.least, limits.most >= BIG) == (0, True):
        return words
    if limits.least == limits.most:
        return f"{words}, {limits.least}"
    if limits.most == BIG - 1:
        return f"{words}, {limits.least} to 2³²−1"
    return f"{words}, {limits.least} or more" if limits.most >= BIG else f"{words}, {limits.least} to {limits.most}"


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _grammars(kinds: Iterable[type[Map]]) -> str:
    """Every grammar that a member's type names, as a regular expression that has to match the whole text."""
    found = {mark.name: mark.regex.pattern for kind in kinds for mark in _marks(kind) if isinstance(mark, Pattern)}
    rows = ["| Type | Regular expression, of the whole text |", "|---|---|"]
    rows += [
        f"| {name} | `{_escaped(regex)}` |" for name, regex in sorted(found.items(), key=lambda item: item[0].lower())
    ]
    words = "`\\Z` is the end of the text. A user_id's second half is the user's home server.\n\n"
    return "## Grammars\n\n" + words + "\n".join(rows) + "\n\n"


def _marks(kind: type[Map]) -> Iterator[object]:
    """All marks in the annotations of a struct, nested ones too."""
    waiting = list(get_type_hints(kind, include_extras=True).values())
    while waiting:
        bare, marks, _ = strip(waiting.pop())
        yield from marks
        waiting += get_args(bare) if get_origin(bare) is not Literal else ()


def _escaped(regex: str) -> str:
    """For a cell of a table."""
    return regex.replace("|", "\\|")


def _rule(kind: type[Map]) -> str:
    rule = rule_of(kind)
    return f"\nRule: {rule}\n" if rule else ""


def _members(kind: type[Map]) -> str:
    rows = ["| Member | Type | Required | Since | Signed |", "|---|---|---|---|---|"]
    hints = get_type_hints(kind, include_extras=True)
    signed = signed_as(kind)
    for field in msgspec.structs.fields(kind):
        required = "yes" if field.required else "optional"
        covered = "yes" if signed is not None and signed.covers(field.name) else ""
        since = _since(kind, field.name)
        rows.append(f"| `{field.name}` | {described(hints[field.name])} | {required} | {since} | {covered} |")
    return "\n".join(rows)


def _since(kind: type[Map], member: str) -> str:
    """The first version of its protocol that has a member; `1.x` for the forms that 2.0 replaced."""
    name = type_name(kind) or ""
    form = translation.FORMS.get(name)
    if kind in registry.LEGACY.values() or kind is messages.Blob or name in translation.UNTIL:
        return "1.x"
    if form is not None and member in {*form.restored, *form.lost, form.wraps, "encrypted_content"} - {
        form.blobs,
        "signature",
    }:
        return "2.0"
    return translation.SINCE.get(name, "1.0")


def _structs() -> list[type[Map]]:
    kinds = [getattr(messages, name) for name in messages.__all__]
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Map)]


def _section(kind: type[Map]) -> str:
    name = type_name(kind)
    summary = " ".join((kind.__doc__ or "").split())
    if name is None:
        return f"### {kind.__name__}\n\n{summary}{_label(kind)}\n\n{_members(kind)}\n{_rule(kind)}"
    if issubclass(kind, Variant):
        return f"### {kind.__name__}\n\nMap with `type` {name}. {summary}\n\n{_members(kind)}\n{_rule(kind)}"
    title = f"### {kind.__name__}\n\n`{name}`, {registry.CODES[name]:02X}. "
    return f"{title}{summary}{_label(kind)}\n\n{_members(kind)}\n{_rule(kind)}"


def _label(kind: type[Map]) -> str:
    signed = signed_as(kind)
    return "" if signed is None else f" Signed as `{signed.label}`."


def fields() -> str:
    """The text of fields.md."""
    kinds = sorted(_structs(), key=lambda kind: (kind.__module__, kind.__name__))
    text = MADE + FIELDS_HEAD + _grammars(kinds)
    for module, group in groupby(kinds, key=lambda kind: kind.__module__):
        doc = (sys.modules[module].__doc__ or "").strip().splitlines()[0]
        members = sorted(group, key=lambda kind: (issubclass(kind, Message), kind.__name__))
        text += f"## {doc.split(' (')[0].rstrip('.')}\n\n" + "\n".join(map(_section, members)) + "\n"
    return text.rstrip() + "\n"


def _types() -> str:
    rows = ["| Code | Type | Struct | |", "|---|---|---|---|"]
    for code, shapes in registry.STRUCTS.items():
        linked = ", ".join(f"[{kind.__name__}](fields.md#{kind.__name__.lower()})" for kind in shapes.all)
        rows.append(f"| {code:02X} | {registry.NAMES[code]} | {linked} | {_where(code)} |")
    return "## Types\n\n" + "\n".join(rows) + "\n\n"


def _where(code: int) -> str:
    """What a client that sends a type gets, where it is not what the table of states says."""
    if code in states.NOT_SERVED:
        return "not served yet: refused with 3004"
    if code in states.KNOWN or code == sealed.REKEY_CODE:
        return ""
    return "between servers: refused with 3004" if code >= FEDERATION else "never by itself: refused with 3004"


def _labels() -> str:
    trust = [f"`{label}`" for label in sorted(SIGN_LABELS) if label.startswith("trust-")]
    rest = [f"`{label}`" for label in sorted(SIGN_LABELS) if not label.startswith("trust-")]
    derived = [f"`{label.decode()}`" for label in sorted(KDF_LABELS)]
    return (
        "## Labels\n\nOf [signatures](values.md#signatures), `norc:` before them and a zero byte after: "
        f"{' · '.join(rest)}; between servers about trust {' · '.join(trust)}.\n\n"
        f"How the `info` of a key derivation begins: {' · '.join(derived)} "
        "(`norc:profile:v1`: a device's own file).\n\n"
    )


def _errors() -> str:
    rows = ["| Code | Name | Category | Then | Text that is sent |", "|---|---|---|---|---|"]
    rows += [f"| {i.code.value} | {i.name} | {i.category} | {i.action} | {i.text} |" for i in ERRORS.values()]
    words = "*close*: the connection cannot go on; *retry*: the same request may succeed later; *tell*: final.\n\n"
    return "## Errors\n\n" + words + "\n".join(rows) + "\n\n"


def _versions() -> str:
    rows = ["| Client lists only | Server lists only | |", "|---|---|---|"]
    rows += [
        f"| {client} | {server} | {result} |"
        for client, server, result in versions.compatibility_table(versions.NORC_C)
    ]
    spoken = ", ".join(versions.SPOKEN)
    words = f"What `negotiate` gives for NORC-C. This build's client and node list {spoken} alone.\n\n"
    return "## Versions\n\n" + words + "\n".join(rows) + "\n\n" + _translation()


def _translation() -> str:
    def names(members: Iterable[str]) -> str:
        return ", ".join(f"`{member}`" for member in members) or "–"

    rows = ["| Type | At 1.x | In the blobs instead | Nowhere |", "|---|---|---|---|"]
    for name, form in translation.FORMS.items():
        legacy = registry.LEGACY[registry.CODES[name]]
        link = f"[{legacy.__name__}](fields.md#{legacy.__name__.lower()}), blobs in `{form.blobs}`"
        rows.append(f"| {name} | {link} | {names(form.restored)}, the wraps | {names(form.lost)} |")
    for name, other in translation.BECOMES.items():
        rows.append(f"| {name} | [{other}](fields.md#deliveryack), unsigned, in seconds | – | all but the devices |")
    since = "; ".join(f"{name} since {version}" for name, version in translation.SINCE.items())
    until = "; ".join(f"{name} until {version}" for name, version in translation.UNTIL.items())
    words = (
        "What is not listed is the same in every version; a type that a version does not have is not sent to it. "
        f"Not in every version: {since}; {until}.\n\n"
    )
    return "## Translation to 1.x\n\n" + words + "\n".join(rows) + "\n\n"


def tables() -> str:
    """The text of tables.md."""
    return MADE + TABLES_HEAD + _types() + _labels() + _errors() + _versions() + state_tables.drawn()


def main() -> int:
    """Write both files, or with `--check` say which one is out of date."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    stale = []
    for name, text in (("fields.md", fields()), ("tables.md", tables())):
        path = FOLDER / name
        if "--check" in sys.argv:
            stale += [name] if not path.exists() or path.read_text("utf-8") != text else []
        else:
            path.write_text(text, "utf-8")
    if stale:
        print(f"out of date: {', '.join(stale)}; run tools/make_fields_doc.py")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
