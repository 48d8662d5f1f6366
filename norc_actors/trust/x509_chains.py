"""Two models of trust by X.509: chains to a CA, and government PKI (section 9; rows B134, B136–B138, B152).

| validator | root | proves | highest |
|---|---|---|---|
| `X509Chains` | one of the configured CAs | `x509_chain` | verified |
| `GovernmentPki` | a configured root with its policies | `policy_root` besides, and of NATO's `nato_root` | nato |

Rules
- The path is that of `x509_path`: the server_id in the leaf, every step that fails named alone.
- *Policy*: the root's configuration lists OIDs. One of them must be valid along the path (RFC 5280), and the leaf
  must name it itself: `anyPolicy` in a leaf claims nothing. If the server sent a `gov_pki_trust_request`, it is the OID
  that the request names.
- *Revocation*: whatever CRLs and OCSP responses say is heard. If the challenge asked for it (`check_revocation`), and
  for every government chain, each certificate below the root has to be known as good; no answer is none.
- *Age* (`max_age_days`) counts from the leaf's begin; *transparency* (`require_ct_logs`) is `transparency`'s.
- A chain that was made up (`ChainError.forged`), and a revoked certificate, are `refused`. Everything else that is
  wrong proves nothing, and says which step it was.
- Points: 20 for a chain that verifies, 10 more if its certificates are known not to be revoked.
- NATO's level needs, besides the root, an agreement that the configuration lists for it, in the operator's record.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from cryptography import x509

from norc_actors.protocol.trust_levels import TrustLevel
from norc_actors.trust.transparency import Logs, is_logged
from norc_actors.trust.validators import GOVERNMENT, X509, Evidence, Proof, Verdict
from norc_actors.trust.x509_path import ChainError, Path, find_path, names_policy, read_chain, valid_policies
from norc_actors.trust.x509_status import Status, status_of

_CHAIN, _STATUS = 20, 10
_NO_CHAIN = "It showed no X.509 chain."


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was gathered and configured for chains: `crls` of any issuers (their signatures are checked here), `logs`
    of Certificate Transparency."""

    crls: Sequence[x509.CertificateRevocationList] = ()
    logs: Logs = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRoot:
    """A root of a government, an enterprise or NATO. `policies`: the OIDs of which a chain needs one; `agreements`:
    for NATO's, those under which its level may be granted."""

    certificate: x509.Certificate
    policies: frozenset[str]
    nato: bool = False
    agreements: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Checked:
    path: Path
    is_known_good: bool
    why: tuple[str, ...]


class X509Chains:
    """See the module."""

    name = X509
    highest: TrustLevel = "verified"

    def __init__(self, authorities: Sequence[x509.Certificate], known: Known) -> None:
        self._authorities = tuple(authorities)
        self._known = known

    def judge(self, evidence: Evidence, now: float) -> Verdict:
        """`refused` for a chain that was made up or revoked."""
        if not evidence.chain:
            return Verdict(validator=self.name, why=(_NO_CHAIN,))
        try:
            path = find_path(evidence.server, read_chain(evidence.chain), self._authorities, now)
            valid_policies(path)
            checked = _check(path, evidence, self._known, now, strict=False)
        except ChainError as error:
            return _failed(self.name, error)
        return Verdict(
            validator=self.name,
            level="verified",
            proofs=frozenset({"x509_chain"}),
            points={"certificate_chain": _points(checked)},
            why=checked.why,
        )


class GovernmentPki:
    """See the module."""

    name = GOVERNMENT
    highest: TrustLevel = "nato"

    def __init__(self, roots: Sequence[PolicyRoot], known: Known) -> None:
        self._roots = tuple(roots)
        self._known = known

    def judge(self, evidence: Evidence, now: float) -> Verdict:
        """`refused` for a chain that was made up or revoked, and for a request in another's name."""
        if not evidence.chain:
            return Verdict(validator=self.name, why=(_NO_CHAIN,))
        asked = evidence.government
        if asked is not None and asked.requesting_server != evidence.server:
            text = f"The request of a government's PKI is {asked.requesting_server}'s."
            return Verdict(validator=self.name, why=(text,), refused=True)
        try:
            path = find_path(
                evidence.server, read_chain(evidence.chain), [root.certificate for root in self._roots], now
            )
            root = next(one for one in self._roots if one.certificate == path[-1])
            policy = _policy(path, root, None if asked is None else asked.certificate_policy_oid)
            checked = _check(path, evidence, self._known, now, strict=True)
        except ChainError as error:
            return _failed(self.name, error)
        why = [*checked.why, f"Every certificate below the root is under the policy {policy}."]
        proofs: set[Proof] = {"x509_chain", "policy_root"}
        level: TrustLevel = "classified"
        if root.nato:
            proofs.add("nato_root")
            agreement = evidence.nato.security_agreement if evidence.nato is not None else ""
            if agreement in root.agreements:
                level = "nato"
                why.append(f"The chain ends at NATO's root, under the agreement {agreement}.")
            else:
                why.append("The chain ends at NATO's root, and no agreement that is configured for it is on record.")
        return Verdict(
            validator=self.name,
            level=level,
            proofs=frozenset(proofs),
            points={"certificate_chain": _points(checked)},
            why=tuple(why),
        )


def _policy(path: Path, root: PolicyRoot, claimed: str | None) -> str:
    """The policy that the path is under. Raises `ChainError` (`policies`)."""
    wanted = root.policies if claimed is None else root.policies & {claimed}
    if not wanted:
        raise ChainError("policies", f"The policy {claimed} is none that is configured for this root.")
    valid = valid_policies(path)
    for policy in sorted(wanted):
        if (valid is None or policy in valid) and names_policy(path[0], policy):
            return policy
    raise ChainError("policies", f"The chain is not under the policy {' or '.join(sorted(wanted))}.")


def _check(path: Path, evidence: Evidence, known: Known, now: float, *, strict: bool) -> _Checked:
    """Revocation, age and transparency of a path that verifies; `strict` wants every status known. Raises
    `ChainError`."""
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    asked = evidence.requirements
    why = [f"Its chain ends at {path[-1].subject.rfc4514_string()}."]
    unknown = _unknown_status(path, evidence, known, moment)
    if unknown and (strict or (asked is not None and asked.check_revocation)):
        raise ChainError("revocation", f"Whether {unknown[0]} has been revoked is not known.")
    why.append("Whether all of it is unrevoked is not known." if unknown else "None of it has been revoked.")
    if asked is not None:
        age = moment - path[0].not_valid_before_utc
        if age > datetime.timedelta(days=asked.max_age_days):
            raise ChainError("age", f"The certificate is {age.days} days old, of {asked.max_age_days} allowed.")
        if asked.require_ct_logs:
            if not is_logged(path[0], path[1], proofs=evidence.ct_proofs, logs=known.logs, moment=moment):
                raise ChainError("transparency", "No log that is known here has signed for the certificate.")
            why.append("It stands in a log of certificates that is known here.")
    return _Checked(path, not unknown, tuple(why))


def _unknown_status(path: Path, evidence: Evidence, known: Known, moment: datetime.datetime) -> list[str]:
    """The certificates below the root of whose revocation nothing is known. Raises `ChainError` for a revoked one."""
    unknown = []
    for one, issuer in pairwise(path):
        status = status_of(one, issuer, crls=known.crls, ocsp_responses=evidence.ocsp_responses, moment=moment)
        if status is Status.REVOKED:
            raise ChainError("revocation", f"{one.subject.rfc4514_string()} has been revoked.", forged=True)
        if status is Status.UNKNOWN:
            unknown.append(one.subject.rfc4514_string())
    return unknown


def _points(checked: _Checked) -> int:
    return _CHAIN + (_STATUS if checked.is_known_good else 0)


def _failed(validator: str, error: ChainError) -> Verdict:
    return Verdict(validator=validator, why=(f"X.509 ({error.step}): {error}",), refused=error.forged)
