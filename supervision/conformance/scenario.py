"""The scenario format, one directive a line; `#` starts a comment line.

| line | meaning |
|---|---|
| `strategy one_for_one \\| one_for_all \\| rest_for_one` | default one_for_one |
| `intensity N SECONDS` | default 1 5 |
| `auto_shutdown never \\| any_significant \\| all_significant` | default never |
| `child ID RESTART SHUTDOWN [significant]` | SHUTDOWN in ms, `infinity` or `brutal_kill` |
| `step …` | what to do next; the runner knows the words |

Rules
- It is read as OTP's runner reads it: bytes are Latin-1 characters, only a space parts words (a tab or a carriage
  return belongs to one), the last of a directive given twice counts, and words behind a child's are looked through for
  `significant`.
- Reading decides nothing: values that mean nothing are kept, because the supervisor must be the one to refuse them.
- A line that no one could read is a `ScenarioError` with its number.
"""

from dataclasses import dataclass
from typing import Final

from .words import ScenarioError, as_atom, as_integer

BLANK: Final = "\t\n\v\f\r \x85"
"""What a line may begin with before its `#`, and what an empty one may hold."""

LONGEST_TIME: Final = 2**32 - 1
"""ms; Erlang waits no longer. A supervisor told to breaks in the middle of ending its children."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildLine:
    """`child` or `step add`: the words as written; `shutdown` in ms, `infinity` or `brutal_kill`."""

    id: str
    restart: str
    shutdown: int | str
    significant: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scenario. `steps` are the words after `step`."""

    strategy: str = "one_for_one"
    intensity: int = 1
    period: int = 5
    auto_shutdown: str = "never"
    children: tuple[ChildLine, ...] = ()
    steps: tuple[tuple[str, ...], ...] = ()


def child_line(words: tuple[str, ...]) -> ChildLine:
    """`ID RESTART SHUTDOWN [significant]`. Raises `ScenarioError`."""
    if len(words) < 3:
        raise ScenarioError(f"a child needs ID RESTART SHUTDOWN, not {' '.join(words)!r}")
    name, restart, time, *rest = words
    shutdown = time if time in {"brutal_kill", "infinity"} else as_integer(time)
    if isinstance(shutdown, int) and shutdown > LONGEST_TIME:
        raise ScenarioError(f"{time} ms is longer than Erlang waits ({LONGEST_TIME})")
    return ChildLine(id=as_atom(name), restart=as_atom(restart), shutdown=shutdown, significant="significant" in rest)


def parse_scenario(text: str) -> Scenario:
    """Read a scenario. Raises `ScenarioError`."""
    strategy, auto_shutdown, flags = "one_for_one", "never", (1, 5)
    children: list[ChildLine] = []
    steps: list[tuple[str, ...]] = []
    for number, line in enumerate(text.split("\n"), 1):
        words = tuple(word for word in line.split(" ") if word)
        if line.strip(BLANK)[:1] in {"", "#"}:
            continue
        try:
            match words:
                case ("strategy", word):
                    strategy = as_atom(word)
                case ("intensity", restarts, seconds):
                    flags = (as_integer(restarts), as_integer(seconds))
                case ("auto_shutdown", word):
                    auto_shutdown = as_atom(word)
                case ("child", *rest):
                    children.append(child_line(tuple(rest)))
                case ("step", *rest):
                    steps.append(tuple(rest))
                case _:
                    raise ScenarioError("no directive")
        except ScenarioError as error:
            raise ScenarioError(f"line {number}: {line.strip()!r}: {error}") from error
    return Scenario(
        strategy=strategy,
        intensity=flags[0],
        period=flags[1],
        auto_shutdown=auto_shutdown,
        children=tuple(children),
        steps=tuple(steps),
    )
