"""The report says in words and numbers what the ledger found."""

import io
import json

from rich.console import Console

from norc_actors.cli.demo.ledger import Ledger
from norc_actors.cli.demo.plan import AUDIENCE, assign
from norc_actors.cli.demo.report import Outcome, merge, record, render
from norc_actors.cli.output import JsonValue

LINES = assign(["one", "two", "three"], seed=1)


def tree(restarts: int) -> JsonValue:
    router: JsonValue = {"spec": "message_router", "restarts": restarts, "children": []}
    workers: JsonValue = {
        "spec": "workers", "strategy": "dynamic", "restarts": 0, "children": [{"spec": f"w{n}"} for n in range(9)],
    }  # fmt: skip
    return {"spec": "node", "strategy": "rest_for_one", "restarts": 0, "children": [router, workers]}


def outcome(*, lose: bool = False, kills: int = 2) -> Outcome:
    ledger = Ledger(LINES)
    for line in LINES:
        ledger.sent(line.number, str(line.number), 1.0)
        ledger.status(str(line.number), "read")
        for device in AUDIENCE[line.conversation] - {line.sender}:
            if not (lose and line.number == 1):
                ledger.seen(device, str(line.number), line.digest, 1.25)
    killed = ["message_router", "connection_worker"][:kills]
    return Outcome(
        verdict=ledger.verdict(),
        kills=killed,
        node_kills=1,
        trees=[tree(2), tree(3)],
        seed=4,
        seconds=61.2,
        wanted_kills=2,
    )


def text_of(found: Outcome) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render(found))
    return console.export_text()


def test_a_good_run_reads_well() -> None:
    text = text_of(outcome())
    assert "nothing lost, nothing twice, nothing out of order" in text
    assert "message_router  5 restarts" in text
    assert "connection_worker 1×" in text
    assert "250 ms" in text
    assert "… 6 more" in text


def test_a_bad_run_names_what_is_missing() -> None:
    text = text_of(outcome(lose=True))
    assert "FAILED" in text
    assert "1 from" in text
    assert "nothing lost" not in text


def test_a_run_without_its_kills_is_not_good() -> None:
    assert outcome().good
    assert not outcome(kills=1).good
    assert "only 1 of 2 kills" in text_of(outcome(kills=1))


def test_the_record_is_plain_json() -> None:
    told = json.loads(json.dumps(record(outcome())))
    assert told["ok"] is True
    assert (told["lost"], told["duplicates"], told["reordered"], told["latency_p99_ms"]) == (0, 0, 0, 250.0)
    assert told["kills"] == {"message_router": 1, "connection_worker": 1}


def test_trees_of_several_lives_are_added_up() -> None:
    merged = merge([tree(1), tree(2), tree(4)])
    assert merged is not None
    assert [(child.name, child.restarts) for child in merged.children] == [("message_router", 7), ("workers", 0)]
    assert merge([]) is None
