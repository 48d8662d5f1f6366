"""What the operator asks about trust, for `control`: who is trusted with what, and every decision about it (row B142).

{"command": "trust_list"}
{"command": "trust_show", "server": "b.example"}
{"command": "trust_request", "server": "b.example", "level": "verified"}    and grant it the same in return
{"command": "trust_approve", "server": "b.example", "organisation_checked": true}
{"command": "trust_reject", "server": "b.example", "why": "…"}
{"command": "trust_renew", "server": "b.example"}
{"command": "trust_revoke", "server": "b.example", "reason": "voluntary", "permissions": ["file_transfer"]}
"""

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from norc_actors.actors import names
from norc_actors.actors.observer.answers import Answer, RefusedError
from norc_actors.actors.observer.federation_desk import server_in
from norc_actors.actors.trust.requests import (
    Approve,
    ExchangeView,
    ListTrust,
    Reject,
    Renew,
    RequestTrust,
    RevokeTrust,
    ShowTrust,
    TrustDetail,
    TrustRefused,
)
from norc_actors.ids import ServerId
from norc_actors.protocol.messages.trust_decision import RevocationReason
from norc_actors.protocol.messages.vocabulary import TrustMethod
from norc_actors.protocol.trust_levels import LEVELS, TrustLevel
from norc_actors.trust.certificates import Certificate, Grant
from norc_actors.trust.policy import PERMISSIONS
from norc_actors.trust.requesting import Goal
from norc_actors.trust.revocation import Wish
from supervision import Call, System

R = TypeVar("R")
_DAY = 86400
_METHODS: Mapping[TrustLevel, TrustMethod] = {
    "basic": "direct_exchange",
    "verified": "ca_validation",
    "classified": "government_pki",
    "nato": "government_pki",
}
"""The method that a request uses if the operator names none: what can prove its level."""


class TrustDesk:
    """See the module."""

    def __init__(self, system: System) -> None:
        self._system = system

    async def do(self, command: str, request: Mapping[str, object]) -> Answer:
        """One of the commands above, without its `trust_`. `RefusedError` says what to do next."""
        try:
            return await self._do(command, request)
        except TrustRefused as refused:
            raise RefusedError(refused.why, refused.following) from None

    async def _do(self, command: str, request: Mapping[str, object]) -> Answer:
        if command == "list":
            lines = await self._ask(ListTrust())
            return {
                "servers": [
                    {
                        "server": line.server,
                        "state": line.state,
                        "level": line.level,
                        "ends_at": line.ends_at,
                        "waits_for_operator": line.waits_for_operator,
                        "note": line.note,
                    }
                    for line in lines
                ]
            }
        server = server_in(request)
        match command:
            case "show":
                return _detail(await self._ask(ShowTrust(server)))
            case "request":
                return _exchange(await self._ask(RequestTrust(server, _goal(request))))
            case "approve":
                return await self._approve(server, request)
            case "reject":
                return _exchange(await self._ask(Reject(server, str(request.get("why", "")))))
            case "renew":
                level = None if request.get("level") is None else _level(request)
                await self._ask(Renew(server, level))
                return {"server": server}
            case "revoke":
                return {"server": server, "revocations": [*await self._ask(RevokeTrust(server, _wish(request)))]}
            case _:
                known = "list, show, request, approve, reject, renew, revoke"
                raise RefusedError(f"unknown command trust_{command}", f"trust commands: {known}")

    async def _approve(self, server: ServerId, request: Mapping[str, object]) -> Answer:
        terms = any(request.get(name) for name in ("level", "permissions", "transit", "days"))
        approve = Approve(
            server,
            grant=_grant(request) if terms else None,
            organisation_checked=request.get("organisation_checked") is True,
        )
        return _exchange(await self._ask(approve))

    async def _ask(self, request: Call[R]) -> R:
        return await self._system.ref(names.TRUST_MANAGER).call(request, timeout=30.0)


# --- What an operator writes ---


def _goal(request: Mapping[str, object]) -> Goal:
    level = _level(request)
    method: Any = request.get("method") or _METHODS[level]
    if method not in get_args(TrustMethod):
        raise RefusedError(f"{method!r} is no method of trust", f"one of {', '.join(get_args(TrustMethod))}")
    return Goal(level=level, method=method, grant=_grant(request), fingerprint=str(request.get("fingerprint") or ""))


def _level(request: Mapping[str, object]) -> TrustLevel:
    level: Any = request.get("level") or "basic"
    if level not in LEVELS[1:]:
        raise RefusedError(f"{level!r} is no level of trust", f"one of {', '.join(LEVELS[1:])}")
    granted: TrustLevel = level
    return granted


def _grant(request: Mapping[str, object]) -> Grant:
    days = request.get("days")
    plain = Grant(level=_level(request))
    return Grant(
        level=plain.level,
        permissions=_permissions(request) or plain.permissions,
        transit=request.get("transit") is True,
        lifetime=days * _DAY if isinstance(days, int) and days > 0 else plain.lifetime,
    )


def _permissions(request: Mapping[str, object]) -> frozenset[Any]:
    named = request.get("permissions") or []
    wanted = frozenset(map(str, named)) if isinstance(named, list) else frozenset[str]()
    unknown = wanted.difference(PERMISSIONS)
    if unknown:
        raise RefusedError(f"no such permission: {', '.join(sorted(unknown))}", f"one of {', '.join(PERMISSIONS)}")
    return wanted


def _wish(request: Mapping[str, object]) -> Wish:
    reason: Any = request.get("reason") or "voluntary"
    if reason not in get_args(RevocationReason):
        raise RefusedError(f"{reason!r} is no reason", f"one of {', '.join(get_args(RevocationReason))}")
    permissions = tuple(sorted(_permissions(request)))
    grace = request.get("grace_s")
    return Wish(
        reason=reason,
        scope="partial" if permissions else "full",
        permissions=permissions,
        grace_period=grace if isinstance(grace, int) else 0,
    )


# --- What it gets to read ---


def _exchange(view: ExchangeView) -> Answer:
    organisation = view.organisation
    return {
        "request_id": view.request_id,
        "server": view.remote,
        "role": view.role,
        "state": view.state,
        "updated_at": view.updated_at,
        "requested": view.requested,
        "method": view.method,
        "key": view.key,
        "organisation": None
        if organisation is None
        else {"name": organisation.name, "country": organisation.country, "contact_email": organisation.contact_email},
        "score": view.score,
        "level": view.level,
        "why": [*view.why],
        "missing": {level: [*reasons] for level, reasons in view.against.items()},
        "records": dict(view.records),
        "waits_for_operator": view.waits_for_operator,
        "note": view.note,
    }


def _certificate(certificate: Certificate | None) -> Answer | None:
    if certificate is None:
        return None
    terms = certificate.terms
    return {
        "id": certificate.id,
        "level": terms.trust_level,
        "permissions": sorted(certificate.permissions),
        "transit": certificate.transit,
        "not_before": terms.not_before,
        "not_after": terms.not_after,
        "max_message": certificate.max_message,
    }


def _detail(detail: TrustDetail) -> Answer:
    standing = detail.standing
    return {
        "server": standing.other,
        "state": standing.state,
        "level": standing.level,
        "why": [*standing.why],
        "keys": [*detail.keys],
        "issued": _certificate(detail.issued),
        "held": _certificate(detail.held),
        "exchanges": [_exchange(view) for view in detail.exchanges],
        "health": {
            "score": detail.health.score,
            "risks": [
                {"risk": risk.risk_type, "severity": risk.severity, "within_s": risk.time_to_impact}
                for risk in detail.health.risks
            ],
            "next": [*detail.health.recommendations],
        },
        "told": [
            {"revocation": revocation, "server": server, "answer": said} for revocation, server, said in detail.told
        ],
    }
