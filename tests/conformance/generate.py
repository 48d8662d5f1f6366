"""Random supervision scenarios from a seed: the same seed, the same scenario, on every machine.

Rules
- The seed first draws a kind (`KINDS`): what the scenario is to be hard on. All kinds draw from the whole format, the
  senseless included: asking for children that are not there is part of it.
- Only scenarios whose outcome on OTP does not depend on luck: OTP counts restarts by a clock of whole seconds, so a
  sleep is either far shorter or far longer than the period; no child that may be told to hang has `infinity`; while a
  child refuses for hundreds of restarts, no time passes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
RESTARTS = ("permanent", "permanent", "transient", "transient", "temporary")
LEAVE = ("crash", "crash", "crash", "normal", "shutdown", "kill")
CALLS = ("terminate", "terminate", "restart", "restart", "delete")
STEPS = ("leave", "failnext", "state", "hang", "sleep", "add", "call")

ODD_NAMES = (
    "A", "Abc", "b-c", "9", "99x", "receive", "maybe", "else", "when", "a@b_C", "_x", "it's", '"q"', "b\\x", "\xc3\xa9",
    "\xe9", "\xdf", "\xf7", "x\xd7", "a~b", "a.b", "true", "nil", "normal", "shutdown", "supervisor", "a'", "''", "\\",
    "a\tb", "a\x01", "\x7f", "\x1b", "x\x9f", "a\xa0b", "x" * 255, "0", "-1", "#", "[]", "infinity", "permanent",
)  # fmt: skip
TAKEN = ("init", "user", "logger", "code_server", "kernel_sup", "global_name_server", "trace", "undefined", "rex")
"""Names that another process has, or none can have."""

FAULTY_FLAGS = ("strategy one", "intensity -1 5", "intensity 1 0", "auto_shutdown all", "strategy simple_one_for_one")
NOISE = ("", "  ", "\t", "# a comment", "   # child x permanent 1", "\t#", "\r", "\x0b", "\x0c \x85", "#step crash a")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What scenarios of a kind are drawn from. `steps` weighs `STEPS`; `faulty` and `noise` are chances."""

    share: int
    ids: Sequence[str] = "abcde"
    children: Sequence[int] = (0, 1, 2, 2, 3, 3, 3, 4, 4, 5)
    length: tuple[int, int] = (1, 14)
    intensities: Sequence[int] = (0, 1, 1, 2, 3, 4, 6, 9)
    periods: Sequence[int] = (5, 5, 10, 60)
    refusals: Sequence[int] = (1, 1, 2, 3, 9)
    times: Sequence[str] = ("1000", "5000", "infinity", "brutal_kill", "0", "+1000")
    sleeps: Sequence[int] = (10,)
    auto_shutdown: Sequence[str] = ("never", "never", "never", "any_significant", "all_significant")
    steps: Sequence[int] = (50, 8, 8, 0, 3, 9, 15)
    faulty: float = 0.01
    noise: float = 0.0


KINDS = {
    "plain": Kind(share=30),
    "hanging": Kind(share=10, times=("30", "60", "0", "brutal_kill"), steps=(45, 8, 8, 14, 2, 8, 15)),
    "slow": Kind(share=4, periods=(1,), sleeps=(2200, 10), steps=(50, 8, 8, 0, 14, 5, 15)),
    "called": Kind(share=10, steps=(20, 8, 8, 0, 0, 24, 40)),
    "significant": Kind(share=10, auto_shutdown=("any_significant", "all_significant"), intensities=(0, 1, 2, 5, 20)),
    "refusing": Kind(share=8, intensities=(0, 1, 2, 5, 10), refusals=(0, 1, 2, 4, 5, 6, 9, 10, 11, 12, 20)),
    "endless": Kind(
        share=10,
        ids="abc",
        children=(1, 2, 2, 3),
        length=(3, 14),
        intensities=(30, 60, 100, 200, 300),
        periods=(60, 3600),
        refusals=(9, 49, 50, 51, 99, 100, 101, 250, 999),
        steps=(35, 25, 9, 0, 0, 10, 20),
    ),
    "named": Kind(share=6, ids=(*ODD_NAMES, *TAKEN)),
    "faulty": Kind(share=6, faulty=0.12),
    "noisy": Kind(share=3, noise=0.4),
    "long": Kind(share=2, length=(50, 90), intensities=(20, 50), refusals=(1, 2, 3)),
    "crowded": Kind(share=1, ids=[f"c{number}" for number in range(40)], children=(25, 40), length=(2, 6)),
}


def kind_of(seed: int) -> str:
    """The kind that the seed draws."""
    return _drawn(Random(seed))


def generate(seed: int, kind: str | None = None) -> str:
    """The scenario of `seed`, as text of Latin-1; of the kind that the seed draws if none is given."""
    random = Random(seed)
    drawn = _drawn(random)
    return "\n".join(_Generator(random, KINDS[kind or drawn]).lines()) + "\n"


def _drawn(random: Random) -> str:
    return random.choices(list(KINDS), [each.share for each in KINDS.values()])[0]


class _Generator:
    def __init__(self, random: Random, kind: Kind) -> None:
        self.random = random
        self.kind = kind
        self.auto_shutdown = random.choice(kind.auto_shutdown)
        self.ids = kind.ids if len(kind.ids) < 9 or "c0" in kind.ids else random.sample(kind.ids, 4)

    def lines(self) -> list[str]:
        random, kind = self.random, self.kind
        lines = [f"strategy {random.choice(STRATEGIES)}"] if random.random() < 0.9 else []
        if random.random() < 0.9 or 5 not in kind.periods:
            lines.append(f"intensity {random.choice(kind.intensities)} {random.choice(kind.periods)}")
        if self.auto_shutdown != "never":
            lines.append(f"auto_shutdown {self.auto_shutdown}")
        if random.random() < kind.faulty / 2:
            lines.append(random.choice(FAULTY_FLAGS))
        children = random.sample(self.ids, min(random.choice(kind.children), len(self.ids)))
        if children and random.random() < kind.faulty:
            children.append(random.choice(children))
        lines += [f"child {self.child(name)}" for name in children]
        lines += [f"step {self.step()}" for _ in range(random.randint(*kind.length))]
        return [noisy for line in lines for noisy in self.noisy(line)]

    def child(self, name: str) -> str:
        random, faulty = self.random, self.kind.faulty
        restart, time, rest = random.choice(RESTARTS), random.choice(self.kind.times), ""
        if self.auto_shutdown != "never" and restart != "permanent" and random.random() < 0.6:
            rest = " significant"
        if random.random() < faulty:
            rest = " significant"
        if random.random() < faulty:
            time = "-1"
        if random.random() < faulty / 2:
            restart = "always"
        return f"{name} {restart} {time}{rest}{' # why' if random.random() < self.kind.noise else ''}"

    def step(self) -> str:
        random, kind = self.random, self.kind
        name = random.choice(self.ids) if random.random() < 0.97 else "nobody"
        match random.choices(STEPS, kind.steps)[0]:
            case "leave":
                return f"{random.choice(CALLS if name in TAKEN else LEAVE)} {name}"
            case "failnext":
                return f"failnext {name} {random.choice(kind.refusals)}"
            case "hang":
                return f"hang {name}"
            case "sleep":
                return f"sleep {random.choice(kind.sleeps)}"
            case "add":
                return f"add {self.child(name)}"
            case "call":
                return f"{random.choice(CALLS)} {name}"
        return "state"

    def noisy(self, line: str) -> list[str]:
        """The line, perhaps with more space, perhaps behind one that says nothing."""
        random, noise = self.random, self.kind.noise
        if random.random() < noise:
            line = line.replace(" ", " " * random.randint(1, 3))
        if random.random() < noise:
            line = f"{' ' * random.randint(0, 3)}{line}{' ' * random.randint(0, 3)}"
        return [random.choice(NOISE), line] if random.random() < noise else [line]
