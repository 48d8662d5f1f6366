"""Random supervision scenarios from a seed: the same seed, the same scenario, on every machine.

Rules
- Only scenarios whose outcome on OTP does not depend on luck: OTP counts restarts by a clock of whole seconds, so a
  sleep is either far shorter or far longer than the period; no child that may be told to hang has `infinity`.
- Every step a scenario may hold is drawn, the senseless too: asking for children that are not there is part of it.
"""

from random import Random

IDS = "abcdef"
LEAVE = ("crash", "crash", "crash", "normal", "shutdown", "kill")


def generate(seed: int) -> str:
    """The scenario of `seed`."""
    return "\n".join(_Generator(Random(seed)).lines()) + "\n"


class _Generator:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.auto_shutdown = random.choice(("never", "never", "never", "any_significant", "all_significant"))
        self.may_hang = random.random() < 0.3
        self.sleeps = random.random() < 0.1
        self.period = 1 if self.sleeps else random.choice((5, 5, 10, 60))

    def lines(self) -> list[str]:
        random = self.random
        lines = [f"strategy {random.choice(('one_for_one', 'one_for_all', 'rest_for_one'))}"]
        if random.random() < 0.8:
            lines.append(f"intensity {random.choice((0, 1, 1, 2, 3, 4, 6, 9))} {self.period}")
        elif self.sleeps:
            lines.append("intensity 1 1")
        if self.auto_shutdown != "never":
            lines.append(f"auto_shutdown {self.auto_shutdown}")
        children = random.sample(IDS, random.choice((0, 1, 2, 2, 3, 3, 3, 4, 4, 5)))
        lines += [f"child {self.child(name)}" for name in children]
        if random.random() < 0.02 and children:
            lines.append(f"child {self.child(children[0])}")
        lines += [f"step {self.step()}" for _ in range(random.randint(1, 14))]
        return lines

    def child(self, name: str) -> str:
        random = self.random
        restart = random.choice(("permanent", "permanent", "transient", "transient", "temporary"))
        times = ("50", "100", "1000", "brutal_kill") if self.may_hang else ("1000", "5000", "infinity", "brutal_kill")
        significant = ""
        if self.auto_shutdown != "never" and restart != "permanent":
            significant = " significant" if random.random() < 0.6 else ""
        elif random.random() < 0.01:
            significant = " significant"
        return f"{name} {restart} {random.choice(times)}{significant}"

    def step(self) -> str:
        random = self.random
        name = random.choice(IDS[:5])
        draw = random.random()
        if draw < 0.5:
            return f"{random.choice(LEAVE)} {name}"
        if draw < 0.58:
            return f"failnext {name} {random.choice((1, 1, 2, 3, 9))}"
        if draw < 0.66:
            return "state"
        if draw < 0.73:
            return f"hang {name}" if self.may_hang else f"crash {name}"
        if draw < 0.78:
            return f"sleep {random.choice((2200, 10)) if self.sleeps else 10}"
        if draw < 0.86:
            return f"add {self.child(random.choice(IDS))}"
        return f"{random.choice(('terminate', 'terminate', 'restart', 'restart', 'delete'))} {name}"
