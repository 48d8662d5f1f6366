"""What a node brings for trust, out of its configuration: who it says it is, what it asks of others, its validators."""

import re
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from norc_actors.actors.trust.branch import TrustParts
from norc_actors.actors.trust.ledger import TrustSettings
from norc_actors.config import Config, TrustRoots
from norc_actors.ids import Clock, Random
from norc_actors.net.dns import DnsResolver
from norc_actors.protocol.messages.trust import OrganizationInfo, TrustPolicies, VersionCompatibility
from norc_actors.store.database import Database
from norc_actors.store.trust import TrustStore
from norc_actors.trust.exchange import Profile
from norc_actors.trust.validators import DirectExchange, Validator
from norc_actors.trust.x509_chains import GovernmentPki, Known, PolicyRoot, X509Chains

_DAY = 86400
_PEM_CRL: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


def trust_parts(config: Config, public_key: bytes, *, clock: Clock, random: Random) -> TrustParts:
    """Raises `OSError`, `ValueError` for roots or certificates that cannot be read."""
    here = config.federation
    database = config.database
    resolver = DnsResolver(() if here.dns is None else (here.dns,), random=random)
    return TrustParts(
        settings=TrustSettings(profile=_profile(config, public_key), max_age=here.trust.max_trust_age_days * _DAY),
        open_store=lambda: TrustStore(Database.open(database)),
        validators=_validators(here.trust),
        look_up=resolver.challenge_records,
        clock=clock,
        random=random,
    )


def _validators(roots: TrustRoots) -> tuple[Validator, ...]:
    """What judges evidence here: the direct exchange always, chains to whatever roots the operator has named."""
    known = Known(crls=() if roots.crls is None else _crls(roots.crls))
    validators: list[Validator] = [DirectExchange()]
    if roots.roots is not None:
        validators.append(X509Chains(_certificates(roots.roots), known))
    policies, agreements = frozenset(roots.policy_oids), frozenset(roots.nato_agreements)
    governments = [
        PolicyRoot(certificate=root, policies=policies, nato=nato, agreements=agreements)
        for path, nato in ((roots.government_roots, False), (roots.nato_roots, True))
        if path is not None
        for root in _certificates(path)
    ]
    if governments:
        validators.append(GovernmentPki(governments, known))
    return tuple(validators)


def _certificates(path: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(path.read_bytes())


def _crls(path: Path) -> list[x509.CertificateRevocationList]:
    """All lists in a PEM file; the library reads one at a time."""
    lists = _PEM_CRL.findall(path.read_bytes())
    if not lists:
        raise ValueError(f"{path} has no X509 CRL in it")
    return [x509.load_pem_x509_crl(one) for one in lists]


def _profile(config: Config, public_key: bytes) -> Profile:
    here = config.federation
    certificate = here.certificate or config.tls.certificate
    chain = x509.load_pem_x509_certificates(certificate.read_bytes())
    return Profile(
        server=config.server_id,
        keys=(public_key,),
        policies=TrustPolicies(
            auto_accept_basic=here.trust.auto_accept_basic,
            require_manual_approval=not here.trust.auto_accept_basic,
            trust_inheritance=False,
            max_trust_age=here.trust.max_trust_age_days * _DAY,
            version_compatibility=VersionCompatibility(
                enforce_amc=True, allow_downgrade=False, require_latest_minor=False
            ),
        ),
        organization=OrganizationInfo(
            name=here.organization.name,
            country=here.organization.country,
            contact_email=here.organization.contact_email,
        ),
        chain=tuple(one.public_bytes(Encoding.DER) for one in chain),
    )
