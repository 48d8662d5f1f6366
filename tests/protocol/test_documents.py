"""The pages about the protocol say what the code says."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from norc_actors import limits
from norc_actors.crypto.labels import KDF_LABELS, SIGN_LABELS
from norc_actors.protocol import messages
from norc_actors.protocol.registry import NAMES
from norc_actors.protocol.schema import Map, rule_of

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "protocol"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_fields_doc", ROOT / "tools" / "make_fields_doc.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_up_to_date(tool: ModuleType) -> None:
    """If this fails: run tools/make_fields_doc.py and commit what it wrote."""
    assert (FOLDER / "fields.md").read_text("utf-8") == tool.fields()
    assert (FOLDER / "tables.md").read_text("utf-8") == tool.tables()


def test_every_struct_and_every_link_has_its_section(tool: ModuleType) -> None:
    text = tool.fields()
    sections = set(re.findall(r"^### (\w+)$", text, re.MULTILINE))
    structs = {name for name in messages.__all__ if isinstance(getattr(messages, name), type)}
    structs = {name for name in structs if issubclass(getattr(messages, name), Map)}
    assert sections == structs
    assert {link.lower() for link in re.findall(r"\]\(#(\w+)\)", text)} <= {name.lower() for name in sections}


def test_every_type_is_in_the_table(tool: ModuleType) -> None:
    text = tool.tables()
    for code, name in NAMES.items():
        assert f"| {code:02X} | {name} |" in text


def written(page: Path) -> str:
    """A page without its code, in which a bracket is no link."""
    return re.sub(
        r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    )


def anchors(page: Path) -> set[str]:
    """The names by which a page's headings are linked to."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in FOLDER.glob("*.md"):
        for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", written(page)):
            leads_to = page.parent / target if target else page
            assert leads_to.exists(), f"{page.name}: {target}"
            if anchor:
                assert anchor in anchors(leads_to), f"{page.name}: {target}#{anchor}"


# --- The pages that people wrote ---


@pytest.fixture(scope="module")
def pages() -> str:
    """The hand-written pages of formulas."""
    names = ("values", "connection", "devices", "messages", "federation")
    return "\n".join((FOLDER / f"{name}.md").read_text("utf-8") for name in names)


def test_every_label_stands_in_a_formula(pages: str) -> None:
    trust = {f"trust-{kind}" for kind in ("proof", "cert", "crl")}
    for label in SIGN_LABELS:
        if not label.startswith("trust-") or label.removesuffix(":v1") in trust:
            assert re.search(rf"[\"`(]{label}", pages), label
    for info in KDF_LABELS - {b"norc:profile:v1"}:
        assert f'"{info.decode()}"' in pages, info
    for prefix in ("commit", "nonce", "fingerprint", "pow", "device-code", "escrow", "audit:genesis", "audit:user"):
        assert f'"norc:{prefix}:v1"' in pages, prefix


def test_every_departure_has_its_row() -> None:
    rows = re.findall(r"^\| D-(\d+) \|", (FOLDER / "departures.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(map(int, rows)) == list(range(1, 49))


def test_departures_named_elsewhere_are_among_them(pages: str) -> None:
    assert {int(number) for number in re.findall(r"\bD-(\d+)", pages)} <= set(range(1, 49))


def test_the_table_of_rates_says_what_the_limits_say(pages: str) -> None:
    for words in (
        f"| unauthenticated connections per source address | {limits.UNAUTHENTICATED_PER_SOURCE};",
        f"| {limits.HANDSHAKE_SECONDS:g} s each;",
        f"per device, together | {limits.MESSAGES_PER_MINUTE} a minute, {limits.MESSAGES_BURST} at once: 6001 |",
        f"| `key_request` per device | {limits.KEY_LOOKUPS_PER_MINUTE} a minute and at once: 6004 |",
        f"| registrations per source address | {limits.REGISTRATIONS_PER_HOUR} an hour: 6005 |",
        f"unanswered | {limits.SUBMISSION_WINDOW};",
        f"unacknowledged | {limits.DELIVERY_WINDOW};",
        f"not read yet | {limits.PUSH_WINDOW};",
    ):
        assert words in pages, words


def test_every_rule_between_members_is_written_down() -> None:
    rules = {
        name: rule_of(getattr(messages, name))
        for name in messages.__all__
        if "_rule" in getattr(getattr(messages, name), "__dict__", {})
    }
    assert len(rules) > 20
    assert all(rule.endswith(".") for rule in rules.values()), rules


def test_the_pages_are_listed() -> None:
    overview = (FOLDER / "README.md").read_text("utf-8")
    for page in FOLDER.glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in overview


def test_every_table_of_states_is_drawn(tool: ModuleType) -> None:
    text = tool.tables()
    for what in ("connection", "device", "link", "session"):
        section = text.split(f"## States of a {what}")[1].split("\n## ")[0]
        assert "stateDiagram-v2" in section
        assert section.count("\n| ") > 5
