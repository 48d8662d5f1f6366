"""Write tests/vectors/generated/*.json, one file per topic, from fixed inputs.

    python -m tools.make_vectors            write what differs
    python -m tools.make_vectors --check    exit 1 if a file differs from what would be written

The same bytes in every run. `tests/vectors/independent.py` recomputes every accepted case, and refuses the others,
without anything of this project.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from tools.vectors import Case, people, servers, signed, talk, wire

DIRECTORY = Path(__file__).parent.parent / "tests" / "vectors" / "generated"

TOPICS: dict[str, tuple[str, Callable[[], list[Case]]]] = {
    "canonical": ("section 1, Values and Canonical form", wire.canonical_form),
    "hkdf": ("section 1, Layouts; RFC 5869", wire.derivations),
    "negotiation": ("section 2", wire.negotiation),
    "layouts": ("section 3", wire.layouts),
    "frames": ("section 3, Frames and JSON", wire.frames),
    "handshake": ("section 4", wire.handshakes),
    "sealed": ("section 4, Sealed frames and Re-key (update)", wire.sealed_frames),
    "rekey": ("section 4, Re-key (dh)", wire.rekeys),
    "authentication": ("section 4, Authentication", wire.authentication),
    "device_record": ("section 5, Devices and Rotation", people.device_records),
    "prekeys": ("section 5, Prekeys", people.prekey_bundles),
    "revocation": ("section 5, Revocation", people.revocations),
    "fingerprint": ("section 5, User key", people.fingerprints),
    "enrolment": ("section 5, Enrolment", people.enrolments),
    "escrow": ("section 5, Escrow", people.escrows),
    "session_open": ("section 6, Session", talk.session_opens),
    "message": ("section 6, Message", talk.messages),
    "padding": ("section 6, Message", talk.paddings),
    "conversation_state": ("section 6, Conversations", talk.conversation_states),
    "receipt": ("section 6, Receipts", talk.receipt_maps),
    "file_chunk": ("section 6, Files", talk.file_chunks),
    "call_key": ("section 6, Calls", talk.call_packets),
    "link_handshake": ("section 8, Link", servers.link_handshakes),
    "relay": ("section 8, Relay", servers.relays),
    "fed_request": ("section 8, Batches", servers.fed_requests),
    "signed_maps": ("sections 4, 6, 8 and 10: canonical(map less signature)", signed.signed_maps),
    "trust": ("section 9, Exchange", servers.trust),
    "audit": ("section 10", servers.audit),
    "pseudonym": ("section 10", servers.pseudonyms),
}


def text_of(topic: str) -> str:
    """The file of a topic."""
    source, make = TOPICS[topic]
    return json.dumps({"topic": topic, "source": source, "cases": make()}, indent=1, ensure_ascii=True) + "\n"


def main(arguments: list[str]) -> int:
    """Write or check; returns the exit code."""
    check = arguments == ["--check"]
    DIRECTORY.mkdir(exist_ok=True)
    stale = []
    for topic in TOPICS:
        path, text = DIRECTORY / f"{topic}.json", text_of(topic)
        if path.exists() and path.read_text() == text:
            continue
        stale.append(path.name)
        if not check:
            path.write_text(text)
    if stale:
        print(f"{'not up to date' if check else 'written'}: {', '.join(stale)}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
