"""The pages about the protocol say what the code says."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from norc_actors.protocol import messages
from norc_actors.protocol.registry import NAMES
from norc_actors.protocol.schema import Map

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


def test_links_of_the_overview_lead_somewhere() -> None:
    for page in FOLDER.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
