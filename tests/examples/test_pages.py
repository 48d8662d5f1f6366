"""What `docs/learn/` shows is what runs: every block of code, every output, every command, every link, every name.

A block says after its language where it comes from:
- ```python FILE REGION — equal to the region `REGION` of FILE (`# region: REGION` … `# endregion`)
- ```text FILE N-M — those sections of what the program FILE prints
- ```sh — commands, each of which names a file that is there

`tools/learn` writes the blocks into the pages.
"""

import re
from importlib import import_module
from itertools import pairwise

import pytest

import supervision
import supervision.testing
from supervision.testing import simulation

from .programs import BLOCK, EXAMPLES, PROGRAMS, ROOT, filled, printed

LEARN = ROOT / "docs" / "learn"
PAGES = sorted(path.name for path in LEARN.glob("*.md"))
RUNGS = [page for page in PAGES if page[:2].isdigit()]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def text_of(page: str) -> str:
    return (LEARN / page).read_text("utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_all_that_is_shown_runs(page: str) -> None:
    assert text_of(page) == filled(text_of(page)), "run tools/learn"
    for mark, text in BLOCK.findall(text_of(page)):
        if mark == "sh":
            for line in text.splitlines():
                path = next(word for word in line.split() if "/" in word)
                assert (ROOT / path.partition("::")[0]).exists(), line


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    prose = BLOCK.sub("", text_of(page))
    dead = [link for link in LINK.findall(prose) if "://" not in link and not (LEARN / link).exists()]
    assert not dead


@pytest.mark.parametrize("page", RUNGS)
def test_each_rung_has_its_program_and_shows_all_of_its_output(page: str) -> None:
    program = page.replace("-", "_").removesuffix(".md") + ".py"
    assert program in PROGRAMS
    assert f"python examples/{program}" in text_of(page)
    shown = "".join(text for words, text in BLOCK.findall(text_of(page)) if words.split()[0] == "text")
    missing = [line for line in printed(program).splitlines() if line not in shown]
    assert not missing


def test_the_rungs_lead_from_one_to_the_next() -> None:
    for page, following in pairwise(RUNGS):
        assert f"]({following})" in text_of(page), f"{page} does not lead to {following}"
    way_in = text_of("README.md")
    assert not [page for page in PAGES if page != "README.md" and f"]({page})" not in way_in]


def test_every_program_is_shown() -> None:
    everything = "".join(text_of(page) for page in PAGES)
    assert not [path.name for path in EXAMPLES.glob("*.py") if f"examples/{path.name}" not in everything]


SIDE_MODULES = ("event_stream", "groups", "introspect", "partition", "state_machine", "tasks", "watchdog")


def named_on(page: str) -> set[str]:
    return set(re.findall(r"\w+", " ".join(re.findall(r"`[^`\n]+`", text_of(page)))))


def test_every_public_name_is_on_the_map() -> None:
    names = set(supervision.__all__)
    for name in SIDE_MODULES:
        module = import_module(f"supervision.{name}")
        own = {key for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
        names |= {key for key in own if len(key) > 1 and not key.startswith("_")}  # one letter: a type variable
    assert not sorted(names - named_on("otp-map.md"))


def test_every_tool_for_tests_is_explained() -> None:
    assert not sorted({*supervision.testing.__all__, *simulation.__all__} - named_on("testing.md"))
