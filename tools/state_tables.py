"""The tables of states in docs/protocol/tables.md: of a connection, a device, a link, a session, a re-key.

Each is printed from the table that the code runs on, or, where the code has functions instead of a table (the two ends
of a session), by running them in every state with every input.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from norc_actors.limits import SESSION_MESSAGES, SESSION_SECONDS
from norc_actors.protocol import devices, link_states, opening, sealed, sessions, states
from norc_actors.protocol.registry import NAMES


def _states() -> str:
    rows = ["| State | From the client | From the server |", "|---|---|---|"]
    for state in states.STATES:
        cells = []
        for sender in ("client", "server"):
            legal = {code: after for (who, at, code), after in states.TABLE.items() if (who, at) == (sender, state)}
            names = [NAMES[c] + (f" → **{a}**" if a != state else "") for c, a in sorted(legal.items())]
            cells.append(", ".join(names) or "–")
        rows.append(f"| {state} | {cells[0]} | {cells[1]} |")
    words = (
        "What may be sent in each state of a connection, and where it leads; all else is refused with 3002 or 3004.\n\n"
    )
    moves = [(at, NAMES[code], after) for (_, at, code), after in states.TABLE.items()]
    moves += [(state, "close", "closed") for state in states.STATES]
    return "## States of a connection\n\n" + words + _diagram(moves) + "\n".join(rows) + "\n\n"


def _rekey() -> str:
    rows = ["| Role | State | Event | Then |", "|---|---|---|---|"]
    rows += [f"| {role} | {state} | {event} | {after} |" for (role, state, event), after in sealed.REKEY.items()]
    words = "`update` is legal in every state and changes none; all else is refused with 3002.\n\n"
    return "## The dh re-key\n\n" + words + "\n".join(rows) + "\n"


def _diagram(moves: Iterable[tuple[str, str, str]]) -> str:
    """(from, event, to) as a drawing; what leaves a state where it is stands in the table alone."""
    lines = [f"    {a.replace(' ', '_')} --> {b.replace(' ', '_')}: {event}" for a, event, b in moves if a != b]
    return "```mermaid\nstateDiagram-v2\n" + "\n".join(dict.fromkeys(lines)) + "\n```\n\n"


def _devices() -> str:
    states = devices.DeviceState
    rows = ["| From | To | May authenticate | Is encrypted to |", "|---|---|---|---|"]
    for state in states:
        targets = ", ".join(to.value for to in states if to in devices.TRANSITIONS[state]) or "–"
        marks = ["yes" if state in held else "no" for held in (devices.MAY_AUTHENTICATE, devices.MAY_BE_ENCRYPTED_TO)]
        rows.append(f"| {state.value} | {targets} | {marks[0]} | {marks[1]} |")
    moves = [(a.value, "", b.value) for a in states for b in states if b in devices.TRANSITIONS[a]]
    drawn = _diagram(moves).replace(": \n", "\n")
    return "## States of a device\n\nAt its home server; no other move is made.\n\n" + drawn + "\n".join(rows) + "\n\n"


def _links() -> str:
    moves = [(a, name, b) for (_, a, name), b in link_states.HANDSHAKE.items()]
    moves += [("proven", "federation_handshake_response of a pinned key", "trusted")]
    moves += [(a, event, b) for (a, event), b in link_states.EVENTS.items()]
    rows = ["| State | From the initiator | From the responder |", "|---|---|---|"]
    for state in link_states.LINK_STATES:
        cells = []
        for end in link_states.ENDS:
            legal = {code: b for (who, at, code), b in link_states.LINK_TABLE.items() if (who, at) == (end, state)}
            names = [NAMES[c] + (f" → **{b}**" if b != state else "") for c, b in sorted(legal.items())]
            cells.append(", ".join(names) or "–")
        rows.append(f"| {state} | {cells[0]} | {cells[1]} |")
    words = (
        "Between servers: unsealed until the handshake's end, then inside a batch. `closed` follows from every state. "
        "All else is refused with 3002, or 3004 for a type that no link has.\n\n"
    )
    return "## States of a link\n\n" + words + _diagram(moves) + "\n".join(rows) + "\n\n"


def _sessions() -> str:
    """The sender's side by running its functions; the receiver's by its table and, for indexes, by running too."""
    rows = ["| Sender's session | Input | Then |", "|---|---|---|"]
    found = [(state, name, _sent(state, step)) for state in SENDING for name, step in STEPS.items()]
    rows += [f"| {a} | {event} | {b} |" for a, event, b in found]
    rows += ["", "| The receiver has | The wrap | Then |", "|---|---|---|"]
    names = {"none": "no such session", "held": "its state", "ended": "only its id"}
    rows += [
        f"| {names[held]} | {'with' if brings else 'without'} `open` | {arrival} |"
        for (held, brings), arrival in opening.ARRIVALS.items()
    ]
    rows += ["", "| Index (`next` is 5; 3 was skipped) | Then |", "|---|---|"]
    rows += [f"| {index} | {_received(index)} |" for index in (2, 3, 4, 5, 7, 999, 1000)]
    words = (
        "End to end, one way, device to device. `opening`: its `open` travels with every message; `confirmed`: the "
        "target's first receipt came; `ended`: 1000 messages or 24 h. *ask* is a `session_key_exchange` of status "
        "`unknown`.\n\n"
    )
    drawn = _diagram((a, event, b) for a, event, b in found if b in SENDING)
    return "## States of a session\n\n" + words + drawn + "\n".join(rows) + "\n\n"


def sending(state: str) -> sessions.SendingSession:
    """A sender's session in a state, at time 0."""
    fresh = sessions.SendingSession(
        session_id="", suite="0001", target_user="", target_device="", chain_key=bytes(32), index=0,
        expires_at=SESSION_SECONDS, open={},
    )  # fmt: skip
    if state == "confirmed":
        return replace(fresh, open=None)
    return replace(fresh, index=SESSION_MESSAGES if state == "ended" else 0)


def state_of(session: sessions.SendingSession, now: float) -> str:
    """The state of a sender's session."""
    if not session.usable(now):
        return "ended"
    return "confirmed" if session.open is None else "opening"


def _last(session: sessions.SendingSession) -> sessions.SendingSession:
    return sessions.next_sending_key(replace(session, index=SESSION_MESSAGES - 1), 0)[1]


SENDING = ("opening", "confirmed", "ended")
STEPS: dict[str, Callable[[sessions.SendingSession], tuple[sessions.SendingSession, float]]] = {
    "a message is sent": lambda session: (sessions.next_sending_key(session, 0)[1], 0),
    "the 1000th message is sent": lambda session: (_last(session), 0),
    "a signed receipt comes": lambda session: (session.acknowledged(), 0),
    "24 h pass": lambda session: (session, SESSION_SECONDS),
}


def _sent(state: str, step: Callable[[sessions.SendingSession], tuple[sessions.SendingSession, float]]) -> str:
    if state == "ended" and step is STEPS["the 1000th message is sent"]:
        return "–"
    try:
        return state_of(*step(sending(state)))
    except sessions.SessionEndedError:
        return "refused: open a new session"


def _received(index: int) -> str:
    session = sessions.ReceivingSession(
        session_id="", suite="0001", sender_user="", sender_device="", prekey_id=0, chain_key=bytes(32), next_index=5,
        skipped={3: bytes(32)}, expires_at=0,
    )  # fmt: skip
    try:
        _, following = sessions.receiving_key(session, index)
    except sessions.KeyUsedError:
        return "refused: key used"
    return f"opens; `next` is {following.next_index}, {len(following.skipped)} skipped keys kept"


def drawn() -> str:
    """All of them."""
    return _states() + _devices() + _links() + _sessions() + _rekey()
