"""What an operator sees of trust: exchanges and servers, out of the ledger (complaint C.10: one cause, in words)."""

from collections.abc import Iterator
from typing import Literal

from norc_actors.actors.trust.errands import Errands
from norc_actors.actors.trust.granter import Granter
from norc_actors.actors.trust.informant import Informant
from norc_actors.actors.trust.ledger import Ledger, Open, opened
from norc_actors.actors.trust.renewer import Renewer
from norc_actors.actors.trust.requests import ExchangeView, TrustDetail, TrustLine
from norc_actors.ids import ServerId
from norc_actors.protocol.codec import convert, decode_map
from norc_actors.protocol.messages.trust_decision import TrustRenewal
from norc_actors.store.trust import StoredExchange
from norc_actors.trust import requesting
from norc_actors.trust.drafts import key_fingerprint

RENEWING: Literal["renewing"] = "renewing"


def exchange_view(case: Open, granter: Granter, errands: Errands) -> ExchangeView:
    """One exchange, judged as far as it can be."""
    exchange = case.exchange
    request = exchange.request
    judged = None
    if exchange.role == "granting" and case.findings.judged_at:
        judged = granter.assessment(case)
    return ExchangeView(
        request_id=exchange.request_id,
        remote=exchange.remote,
        role=exchange.role,
        state=exchange.state,
        updated_at=case.updated_at,
        requested=request.requested_trust_level,
        method=request.trust_method,
        key=key_fingerprint(exchange.remote_key) if exchange.remote_key else "",
        organisation=request.organization_info if exchange.role == "granting" else None,
        score=None if judged is None else judged.score,
        level=None if judged is None else judged.level,
        against={} if judged is None else dict(judged.against),
        why=() if judged is None else judged.why,
        records=requesting.records_wanted(exchange),
        note=case.findings.note or errands.trouble(case.case),
    )


def row_view(row: StoredExchange, granter: Granter, errands: Errands, renewer: Renewer) -> ExchangeView:
    """An exchange, or a renewal, as it is on the disk."""
    if row.role in ("requesting", "granting"):
        return exchange_view(opened(row), granter, errands)
    waits = row.role == "renewing" and row.state == "waiting"
    judged = renewer.waiting(row.remote) if waits else None
    plain = decode_map(row.exchange)
    level = convert(plain, TrustRenewal).requested_trust_level if row.role == "renewing" else "untrusted"
    return ExchangeView(
        request_id=row.request_id,
        remote=row.remote,
        role=RENEWING,
        state=row.state,
        updated_at=row.updated_at,
        requested=level,
        why=() if judged is None else judged.why,
        note=errands.trouble(("reissue", row.remote)),
    )


def lines(ledger: Ledger, errands: Errands) -> tuple[TrustLine, ...]:
    """Every server that there is anything about, by name."""
    now = ledger.clock()
    open_ones: dict[ServerId, list[Open]] = {}
    for case in ledger.cases.values():
        open_ones.setdefault(case.exchange.remote, []).append(case)
    found = []
    for server in sorted({*ledger.book.servers(), *open_ones, *ledger.renewals}):
        standing = ledger.book.standing(server, now)
        issued = ledger.book.issued(server, now)
        cases = open_ones.get(server, [])
        waits = any(case.exchange.role == "granting" and case.exchange.state == "responded" for case in cases)
        notes = (case.findings.note or errands.trouble(case.case) for case in cases)
        found.append(
            TrustLine(
                server=server,
                state=standing.state,
                level=standing.level,
                ends_at=issued.terms.not_after if issued is not None and standing.ingress is not None else None,
                waits_for_operator=waits or server in ledger.renewals,
                note=next((note for note in notes if note), ""),
            )
        )
    return tuple(found)


async def detail(
    server: ServerId, ledger: Ledger, granter: Granter, renewer: Renewer, informant: Informant, errands: Errands
) -> TrustDetail:
    """All that is known of one server."""
    book, now, own = ledger.book, ledger.clock(), ledger.profile.server
    told = [
        (one.message.revocation_id, push.remote, push.status or errands.trouble(("push", one.hash)) or "not yet")
        for one in book.revocations(own)
        if one.message.target_server == server
        for push in await ledger.pushes(one)
    ]
    known = book.lists.get(server)
    listed = frozenset() if known is None else frozenset(known.revoked)
    return TrustDetail(
        standing=book.standing(server, now),
        keys=tuple(key_fingerprint(key) for key in book.keys(server)),
        issued=book.issued(server, now),
        held=book.held(server, now),
        exchanges=tuple(row_view(row, granter, errands, renewer) for row in await ledger.rows(server)),
        health=informant.health(server),
        told=tuple(told),
        opinions=tuple(_opinions(server, ledger)),
        revoked=listed | {one.message.trust_certificate_id for one in book.revocations(server)},
    )


def _opinions(server: ServerId, ledger: Ledger) -> Iterator[str]:
    """What third servers said of one, and whether they revoked it, each with its weight in words."""
    for one in ledger.opinions_of(server):
        ended = "" if one.expires > ledger.now else " (no longer)"
        yield f"{one.recommender}: {one.opinion}, {one.confidence} confidence, {one.level}{ended}."
    for third in ledger.book.servers():
        for revoked in ledger.book.revocations(third):
            if revoked.message.target_server == server:
                yield f"{third} revoked it: {revoked.message.revocation_reason.replace('_', ' ')}."
