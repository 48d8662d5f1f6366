"""How a file of test vectors is read: entries, the parts that they consist of, and what comes out.

A file is one JSON object of sections, a section an entry or a list or map of entries, an entry an object of named
members: bytes in hex, a map as `msgpack` with `canonical` (and `json`), all else as itself. Nothing here knows a
section by its name. A *part* is a formula or check that knows which members it needs; every part whose members an entry
has is run on it, under whatever suite the entry names. So an entry is known if some part ran and no member was left
unread; what was left is said.

An entry has to be refused if it says `accept: false`, or if its section's name has the word `refused` and it does not
say `accept: true`. A refused entry has to be refused for the reason that its `why` (or `name`) gives; where those words
are not in the part's table, the reason found is printed for a reader to judge.
"""

import json
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from norc_actors.crypto import kem
from norc_actors.crypto.errors import BadKeyError, BadSignatureError, DecryptionFailedError, UnlabelledError
from norc_actors.crypto.suites import SUITES, Suite
from norc_actors.ids import uuid_bytes
from norc_actors.protocol.canonical import canonical
from norc_actors.protocol.codec import decode_map
from norc_actors.protocol.conversations import StateRefusedError
from norc_actors.protocol.devices import EntryRefusedError, RecordRefusedError
from norc_actors.protocol.errors import ProtocolError
from norc_actors.protocol.json_form import read_json
from norc_actors.protocol.opening import MessageRefusedError
from norc_actors.protocol.prekeys import PrekeyRefusedError
from norc_actors.protocol.revocation import RevocationChainError
from norc_actors.protocol.sessions import OpenRefusedError

COMMENTS = frozenset({"why", "name", "note", "accept", "suite"})
"""Members that are about an entry, or that every part may read."""


class MismatchError(Exception):
    """What is computed differs from what the file states."""


class DiscardedError(Exception):
    """A frame that gets no answer."""


class DeclinedError(Exception):
    """What has no exception of its own: a proof that is none, a version that nobody shares."""


REFUSALS = (
    BadKeyError, BadSignatureError, DecryptionFailedError, DeclinedError, DiscardedError, EntryRefusedError,
    MessageRefusedError, OpenRefusedError, PrekeyRefusedError, ProtocolError, RecordRefusedError, RevocationChainError,
    StateRefusedError, UnlabelledError,
)  # fmt: skip


def reason(error: Exception) -> str:
    """A refusal in one word: what `Part.reasons` has."""
    match error:
        case ProtocolError():
            return error.code.name.lower()
        case OpenRefusedError() | EntryRefusedError():
            return error.fault.value
        case MessageRefusedError():
            return error.cause.value
        case BadSignatureError():
            return "bad_signature"
        case DecryptionFailedError():
            return "not_opened"
        case BadKeyError():
            return "bad_key"
        case DiscardedError() | DeclinedError():
            return str(error)
        case _:
            return re.sub(r"(?<!^)([A-Z])", r"_\1", type(error).__name__.removesuffix("Error")).lower()


class Entry:
    """One entry, or an object inside one; notes which members were read."""

    def __init__(self, members: dict[str, Any], file: "File", where: str, *, refused: bool | None = None) -> None:
        self.members = members
        self.file = file
        self.where = where
        said = members.get("accept")
        if refused is None:
            refused = said is False or (said is not True and "refused" in self.section)
        self.refused = refused
        """Whether a reader must not accept it."""
        self.differs: list[str] = []
        self.read: set[str] = set()
        self._inside: dict[str, list[Entry]] = {}

    @property
    def section(self) -> str:
        """The section that it stands in."""
        return re.split(r"[.\[]", self.where)[0]

    @property
    def label(self) -> str:
        """Where it stands, its suite, and what it shows."""
        return " ".join(filter(None, (self.where, str(self.members.get("suite", "")), self.why)))

    @property
    def why(self) -> str:
        """What it shows."""
        return str(self.members.get("why", self.members.get("name", "")))

    def __contains__(self, name: str) -> bool:
        return name in self.members

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return self.members[name]

    def get(self, name: str) -> Any:
        """A member, None if it is absent."""
        return self[name] if name in self.members else None

    def raw(self, name: str) -> bytes:
        """A hex member."""
        return bytes.fromhex(self[name])

    def uuid(self, name: str) -> bytes:
        """A UUID as its 16 bytes."""
        return uuid_bytes(self[name])

    def has(self, names: str) -> bool:
        """Whether all of these members are there."""
        return set(names.split()).issubset(self.members)

    def map(self, name: str) -> dict[str, Any]:
        """A map, its forms held against one another."""
        return as_map(self[name])

    def inside(self, name: str) -> "list[Entry]":
        """The objects of a list, as entries."""
        self.read.add(name)
        if name not in self._inside:
            listed = enumerate(self.members[name])
            self._inside[name] = [
                Entry(one, self.file, f"{self.where}.{name}[{n}]", refused=self.refused) for n, one in listed
            ]  # fmt: skip
        return self._inside[name]

    @property
    def suite(self) -> Suite:
        """The suite that it names."""
        return SUITES[self["suite"]]

    def equal(self, name: str, value: object) -> None:
        """What is computed has to be what the file states, if it states it."""
        if name not in self.members:
            return
        stated = self[name]
        found = value.hex() if isinstance(value, bytes) else value
        if stated != found:
            self.differ(f"{name}: the file has {_short(stated)}, computed is {_short(found)}")

    def differ(self, what: str) -> None:
        """The file states something else than is computed here."""
        self.differs.append(f"{self.where}: {what}")
        if not self.refused:
            raise MismatchError(self.differs[-1])

    def unread(self) -> list[str]:
        """Members that no part has read, of this entry and of those inside."""
        own = [f"{self.where}.{name}" for name in self.members if name not in self.read | COMMENTS]
        return own + [name for listed in self._inside.values() for one in listed for name in one.unread()]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 70 else f"{text[:67]}…"


def as_map(entry: dict[str, str]) -> dict[str, Any]:
    """The map of an object with `msgpack`, `canonical` and perhaps `json`: all of them have to say the same."""
    value = decode_map(bytes.fromhex(entry["msgpack"]))
    form = canonical(value).decode()
    if "canonical" in entry and form != entry["canonical"]:
        raise MismatchError(f"the canonical form is {_short(form)}, the file has {_short(entry['canonical'])}")
    if "json" in entry and canonical(read_json(entry["json"].encode())).decode() != form:
        raise MismatchError("the JSON form says something else")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A formula or check, the members that it needs, and words of a `why` with the reasons that they stand for."""

    name: str
    needs: frozenset[str]
    check: Callable[[Entry], None]
    reasons: tuple[tuple[str, tuple[str, ...]], ...]
    alone: bool

    def fits(self, entry: Entry) -> bool:
        """Whether it runs on this entry."""
        own = entry.members.keys() - COMMENTS
        return own == self.needs - COMMENTS if self.alone else self.needs <= entry.members.keys()

    def named(self, why: str) -> tuple[str, ...] | None:
        """The reasons that these words stand for, None if the table has none of them."""
        return next((names for words, names in self.reasons if re.search(words, why)), None)


PARTS: list[Part] = []


def part(
    needs: str, *, alone: bool = False, **reasons: str
) -> Callable[[Callable[[Entry], None]], Callable[[Entry], None]]:
    """Register a check. `alone`: only if the entry has no other members. `reasons`: reasons, parted by `__or__`, and a
    regular expression for the words that name them; the first that is found counts."""

    def register(check: Callable[[Entry], None]) -> Callable[[Entry], None]:
        table = tuple((words, tuple(names.split("__or__"))) for names, words in reasons.items())
        PARTS.append(
            Part(name=check.__name__, needs=frozenset(needs.split()), check=check, reasons=table, alone=alone)
        )  # fmt: skip
        return check

    return register


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an entry. `said` is why it fails or was refused; `judged`: its reason was in a table."""

    label: str
    verdict: str
    said: str = ""
    judged: bool = True

    @property
    def holds(self) -> bool:
        """Whether the entry is as the file says, every member of it."""
        return self.verdict == "ok"

    def __str__(self) -> str:
        tail = "" if self.judged or not self.holds else " (no rule for this why: judge by reading)"
        return f"{self.verdict:7} {self.label}{': ' if self.said else ''}{self.said}{tail}"


@dataclass
class File:
    """A file of vectors. What one entry needs of others (a session's key, a KEM seed) is found by value."""

    sections: dict[str, Any]
    seeds: dict[bytes, bytes] = field(default_factory=dict)
    """ML-KEM public key → seed."""
    sessions: dict[str, tuple[Suite, bytes]] = field(default_factory=dict)
    """session_id → its suite and session key."""
    owners: dict[bytes, tuple[str, str]] = field(default_factory=dict)
    """Private prekey → the device that it belongs to."""

    @classmethod
    def load(cls, path: Path) -> "File":
        """The file at `path`."""
        return cls(json.loads(path.read_text()))

    def __post_init__(self) -> None:
        for entry in self.entries():
            members = entry.members
            if {"seed", "ciphertext"} <= members.keys():
                seed = bytes.fromhex(members["seed"])
                self.seeds[kem.mlkem_public(seed)] = seed
            if {"session_key", "open"} <= members.keys() and not entry.refused:
                opened = json.loads(members["open"]["canonical"])
                suite = SUITES[opened["suite"]]
                self.sessions[opened["session_id"]] = suite, bytes.fromhex(members["session_key"])
            if {"prekey_priv", "open"} <= members.keys() and not entry.refused:
                opened = json.loads(members["open"]["canonical"])
                self.owners[bytes.fromhex(members["prekey_priv"])] = opened["target_user"], opened["target_device"]

    def entries(self) -> Iterator[Entry]:
        """Every entry in order; a section that is an object is an entry if a part knows it, else a map of entries."""
        for section, content in self.sections.items():
            if isinstance(content, list):
                for position, one in enumerate(content):
                    yield Entry(one if isinstance(one, dict) else {"": one}, self, f"{section}[{position}]")
            elif isinstance(content, dict) and content and all(isinstance(one, dict) for one in content.values()):
                for name, one in content.items():
                    yield Entry(one, self, f"{section}.{name}")
            else:
                yield Entry(content if isinstance(content, dict) else {"": content}, self, section)

    def run(self) -> Iterator[Outcome]:
        """What becomes of every entry."""
        return map(judge, self.entries())


def judge(entry: Entry) -> Outcome:
    """Run every part that fits."""

    def found(verdict: str, said: str = "", *, judged: bool = True) -> Outcome:
        return Outcome(label=entry.label, verdict=verdict, said=said, judged=judged)

    parts = [one for one in PARTS if one.fits(entry)]
    if not parts:
        return found("UNKNOWN", f"no part has members {sorted(entry.members)}")
    for one in parts:
        try:
            one.check(entry)
        except MismatchError as error:
            return found("FAIL", f"{one.name}, {error}")
        except REFUSALS as error:
            if not entry.refused:
                return found("FAIL", f"{one.name}: refused ({reason(error)}): {error}")
            named = one.named(entry.why)
            if named is not None and reason(error) not in named:
                return found("FAIL", f"{one.name}: refused as {reason(error)}, its words mean {' or '.join(named)}")
            return found("ok", reason(error), judged=named is not None)
        except (AssertionError, AttributeError, IndexError, LookupError, TypeError, ValueError, struct.error) as error:
            return found("FAIL", f"{one.name}: {type(error).__name__}: {error}")
    if entry.refused and entry.differs:
        return found("ok", entry.differs[0], judged=False)
    if entry.refused:
        return found("FAIL", "accepted, and must be refused")
    if unread := entry.unread():
        return found("UNKNOWN", f"not compared: {', '.join(unread)}")
    return found("ok")
