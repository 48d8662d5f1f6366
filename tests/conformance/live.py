"""`make conformance`: our supervisor beside OTP's own, here and now, line for line.

    python -m tests.conformance.live [COUNT [SEED]]       the corpus, then COUNT fresh scenarios (200) from SEED

Rules
- Fresh means fresh: without SEED the seeds are drawn from the system; the summary names the first, to run them again.
- What OTP does may hang on luck: on when in a second its clock of whole seconds began; and, while a child refuses for
  hundreds of restarts, on when one of its processes collects garbage and gives its turn away for that. A scenario that
  differs is therefore asked of OTP again, every other time with heaps in which nobody collects garbage: it agrees if
  one of OTP's own traces is ours, and the summary counts it apart.
- Several OTPs run beside each other; most of a scenario is waiting.
"""

import secrets
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import zip_longest

from . import corpus

FRESH, AT_ONCE, TRIES = 200, 4, 5

Scenario = tuple[str, str]
"""A name and the scenario's text."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A scenario in which OTP never did what we did."""

    name: str
    text: str
    otp: list[str]
    ours: list[str]

    def told(self) -> str:
        """The scenario, and both traces from the first line that differs."""
        first = first_difference(self.otp, self.ours)
        told = [f"=== {self.name}, trace line {first + 1}", self.text.rstrip()]
        told += [f"     {line}" for line in self.otp[max(0, first - 3) : first]]
        for name, trace in (("OTP", self.otp), ("ours", self.ours)):
            told.append(f"{name:4} {trace[first] if first < len(trace) else '(has ended)'}")
        return "\n".join(told)


@dataclass(kw_only=True)
class Outcome:
    """What came of a set of scenarios."""

    what: str
    count: int = 0
    lucky: list[str] = field(default_factory=list)
    wrong: list[Difference] = field(default_factory=list)

    def summary(self) -> str:
        """One line, with the scenarios that OTP itself does not always end in the same way."""
        agree = self.count - len(self.wrong)
        lucky = f"; OTP itself differs from run to run in {', '.join(self.lucky)}" if self.lucky else ""
        return f"{self.what}: {agree} of {self.count} scenarios agree with OTP{lucky}"


def first_difference(left: Sequence[str], right: Sequence[str]) -> int:
    """The index of the first line that differs (the length if none does)."""
    pairs = zip_longest(left, right)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), max(len(left), len(right)))


def compare(what: str, scenarios: Iterable[Scenario]) -> Outcome:
    """Run every scenario on both."""
    outcome = Outcome(what=what)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for texts, traces in pool.map(_asked, list(corpus.batches(scenarios))):
            for name, text in texts:
                outcome.count += 1
                _judge(outcome, name, text, traces.get(name, []))
    return outcome


def _asked(batch: list[Scenario]) -> tuple[list[Scenario], dict[str, list[str]]]:
    return batch, corpus.otps(batch)


def _judge(outcome: Outcome, name: str, text: str, otp: list[str]) -> None:
    ours = corpus.ours(text)
    if otp == ours:
        return
    for again in range(1, TRIES):
        if corpus.otps([(name, text)], roomy=again % 2 == 1).get(name) == ours:
            outcome.lucky.append(name)
            return
    outcome.wrong.append(Difference(name=name, text=text, otp=otp, ours=ours))


def main(arguments: Sequence[str]) -> int:
    """Compare and tell; 0 when all agree."""
    count = int(arguments[0]) if arguments else FRESH
    seed = int(arguments[1]) if len(arguments) > 1 else secrets.randbelow(10**12)
    outcomes = [compare("corpus", ((name, text) for name, text, _ in corpus.cases()))]
    print(outcomes[0].summary(), flush=True)
    outcomes.append(compare(f"fresh (seeds from {seed})", corpus.generated(count, seed).items()))
    print(outcomes[1].summary())
    wrong = [difference for outcome in outcomes for difference in outcome.wrong]
    if wrong:
        print(f"\nThe first of {len(wrong)} that differ:\n{wrong[0].told()}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
