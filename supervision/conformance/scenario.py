"""The scenario format, one directive a line; `#` starts a comment.

| line | meaning |
|---|---|
| `strategy one_for_one \\| one_for_all \\| rest_for_one` | default one_for_one |
| `intensity N SECONDS` | default 1 5 |
| `auto_shutdown never \\| any_significant \\| all_significant` | default never |
| `child ID RESTART SHUTDOWN [significant]` | SHUTDOWN in ms, `infinity` or `brutal_kill` |
| `step …` | what to do next; the runner knows the words |

Rules
- Reading decides nothing: values that mean nothing are kept, because the supervisor must be the one to refuse them.
- A line that no one could read is a `ScenarioError` with its number.
"""

from dataclasses import dataclass


class ScenarioError(ValueError):
    """Line `number` is no directive; the message quotes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildLine:
    """`child` or `step add`: the words as written."""

    id: str
    restart: str
    shutdown: str
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
    return ChildLine(id=words[0], restart=words[1], shutdown=words[2], significant="significant" in words[3:])


def parse_scenario(text: str) -> Scenario:
    """Read a scenario. Raises `ScenarioError`."""
    strategy, auto_shutdown, flags = "one_for_one", "never", (1, 5)
    children: list[ChildLine] = []
    steps: list[tuple[str, ...]] = []
    for number, line in enumerate(text.split("\n"), 1):
        words = tuple(word for word in line.strip("\r\t ").split(" ") if word)
        if not words or words[0].startswith("#"):
            continue
        try:
            match words:
                case ("strategy", word):
                    strategy = word
                case ("intensity", restarts, seconds):
                    flags = (int(restarts), int(seconds))
                case ("auto_shutdown", word):
                    auto_shutdown = word
                case ("child", *rest):
                    children.append(child_line(tuple(rest)))
                case ("step", *rest) if rest:
                    steps.append(tuple(rest))
                case _:
                    raise ScenarioError("no directive")
        except ValueError as error:
            raise ScenarioError(f"line {number}: {line.strip()!r}: {error}") from error
    return Scenario(
        strategy=strategy,
        intensity=flags[0],
        period=flags[1],
        auto_shutdown=auto_shutdown,
        children=tuple(children),
        steps=tuple(steps),
    )
