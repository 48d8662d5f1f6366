"""What the demo does, decided before it starts: people, messages, kills. Pure: the same seed gives the same plan.

Rules
- Every line is sent once, by one device, into one conversation; its number is its place in the plan, so that along
  each chain (one device into one conversation) numbers only rise.
- Carol is in the group alone; Alice (two devices) and Bob write to each other and to the group.
- Every kind of victim is killed several times, the same named actor never twice in a row: a supervisor is entitled to
  give up on a child that dies too often, and the demo shows recovery, not that.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

MESSAGES = 2400
KILLS = 24
GROUP_NAME = "Lighthouse keepers"


class Device(StrEnum):
    """The four device processes."""

    ALICE_LAPTOP = "alice-laptop"
    ALICE_PHONE = "alice-phone"
    BOB = "bob"
    CAROL = "carol"

    @property
    def user(self) -> str:
        """The local part of its user's name."""
        return self.value.partition("-")[0]


class Conversation(StrEnum):
    """The two conversations."""

    DIRECT = "direct"
    GROUP = "group"


AUDIENCE: Mapping[Conversation, frozenset[Device]] = {
    Conversation.DIRECT: frozenset({Device.ALICE_LAPTOP, Device.ALICE_PHONE, Device.BOB}),
    Conversation.GROUP: frozenset(Device),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One message of the plan. `digest` is what the ledger remembers of its text."""

    number: int
    sender: Device
    conversation: Conversation
    text: str = field(repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hex."""
        return digest_of(self.text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kill:
    """One victim: an actor by name, or any of a kind, picked by the seed. `at`: share of the lines sent."""

    at: float
    name: str | None = None
    kind: str | None = None
    seed: int = 0

    @property
    def victim(self) -> str:
        """What a person reads."""
        return self.name or self.kind or ""


def digest_of(text: str) -> str:
    """SHA-256 of a text, in hex: what both ends report, so that no text is needed to compare."""
    return hashlib.sha256(text.encode()).hexdigest()


def assign(texts: Sequence[str], seed: int) -> list[Line]:
    """Give each text a sender and a conversation."""
    random = Random(f"lines {seed}")
    lines = []
    for number, text in enumerate(texts):
        sender = random.choice(list(Device))
        here = Conversation.GROUP if sender is Device.CAROL else random.choice(list(Conversation))
        lines.append(Line(number=number, sender=sender, conversation=here, text=text))
    return lines


NAMED_VICTIMS = ("message_router", "message_store", "session_manager")
WORKER = "connection_worker"
NODE_DIES_AT = 0.88


def kills(seed: int, count: int = KILLS) -> list[Kill]:
    """`count` kills, spread evenly before the node's own end; half of them connection workers."""
    random = Random(f"kills {seed}")
    named = [NAMED_VICTIMS[i % len(NAMED_VICTIMS)] for i in range(count // 2)]
    random.shuffle(named)
    victims = _apart(named, [WORKER] * (count - len(named)))
    step = (NODE_DIES_AT - 0.04) / max(len(victims), 1)
    return [_kill(victim, 0.04 + step * i, random.randrange(2**31)) for i, victim in enumerate(victims)]


def _kill(victim: str, at: float, seed: int) -> Kill:
    return Kill(at=at, kind=victim, seed=seed) if victim == WORKER else Kill(at=at, name=victim, seed=seed)


def _apart(named: list[str], workers: list[str]) -> list[str]:
    """Named victims and workers in turn, so that two deaths of the same named actor never follow each other."""
    merged: list[str] = []
    while named or workers:
        merged += [source.pop() for source in (workers, named) if source]
    return merged


def own_lines(seed: int, count: int = MESSAGES) -> list[str]:
    """Messages for a demo without an input file: short and long ones, several scripts, none empty."""
    return list(_generate(Random(f"texts {seed}"), count))


_WHO = ("The keeper", "A gull", "The harbour master", "My brother", "Старый маяк", "灯塔", "The tide", "Nobody")
_DID = ("counted", "forgot", "repaired", "painted", "heard", "waited for", "wrote down", "misread")
_WHAT = ("the lamp", "three boats", "a letter", "the weather", "every wave 🌊", "the clock", "an old song", "the fog")
_WHEN = ("before dawn", "at noon", "in spring", "twice", "without a word", "as always", "near Ærø", "once more")


def _generate(random: Random, count: int) -> Iterator[str]:
    for number in range(count):
        words = [random.choice(choices) for choices in (_WHO, _DID, _WHAT, _WHEN)]
        text = f"{' '.join(words)}. ({number + 1})"
        yield text if random.random() > 0.02 else " ".join([text] * random.randrange(5, 40))
