"""A path of X.509 certificates from a server's leaf to a configured root (RFC 5280; rows B134, B136).

`cryptography`'s verifier builds and checks the path: signatures, times, basic constraints, path lengths, name
constraints, key usage of CAs, weak keys and hashes, unknown critical extensions, and `serverAuth`. What it leaves:

- **Policies**, by RFC 5280 6.1 without mappings: a certificate without policies has none valid below it; `anyPolicy`
  stands for all, as long as no certificate above inhibits it (`inhibitAnyPolicy`, or once for a self-issued CA);
  `requireExplicitPolicy` is kept. Mappings are not followed: a path with one is refused, since a name might then mean
  another's policy.
- **The name**: the server_id stands among the leaf's DNS names, letter for letter; the verifier would take a wildcard.
- **The root's own time**; of the leaf, key usage (`digitalSignature`, if it has one) and a strong key.
- **Why not**: the verifier's error is a text. The steps here are judged one by one first, so each that fails alone is
  named (`ChainError.step`); what only the verifier sees is the step `path`.

`forged` says that somebody made this: a signature that is not its issuer's, a CA that is none, a chain for another
server. The rest (an unknown root, a time, a use) is evidence that is worth nothing.
"""

import datetime
from collections.abc import Sequence
from typing import Literal, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import CertificatePoliciesOID, ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from norc_actors.crypto.certificates import load_certificate
from norc_actors.limits import MAX_CERTIFICATE_BYTES, MAX_CERTIFICATE_CHAIN

Step = Literal["reading", "name", "validity", "usage", "key", "path", "policies", "age", "revocation", "transparency"]
Path = tuple[x509.Certificate, ...]
"""Leaf first, root last."""

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)

Policies = frozenset[str] | None
"""OIDs that are valid for a leaf; `None`: any."""

_RSA_BITS = 2048
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_POLICY_MAPPINGS = x509.ObjectIdentifier("2.5.29.33")
ANY_POLICY = CertificatePoliciesOID.ANY_POLICY.dotted_string


class ChainError(Exception):
    """One step that failed; the text is for an operator."""

    def __init__(self, step: Step, text: str, *, forged: bool = False) -> None:
        super().__init__(text)
        self.step = step
        self.forged = forged


def read_chain(chain: Sequence[bytes]) -> Path:
    """Raises `ChainError` (`reading`): too many, too long, or no certificate."""
    if not 0 < len(chain) <= MAX_CERTIFICATE_CHAIN or max(map(len, chain)) > MAX_CERTIFICATE_BYTES:
        raise ChainError("reading", "The chain is too long.", forged=True)
    try:
        return tuple(load_certificate(one) for one in chain)
    except ValueError as error:
        raise ChainError("reading", f"A certificate of the chain cannot be read: {error}.", forged=True) from error


def find_path(server: str, chain: Path, roots: Sequence[x509.Certificate], now: float) -> Path:
    """The path from the chain's leaf to one of `roots`. `now` in seconds since the epoch. Raises `ChainError`."""
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    leaf = chain[0]
    _check_name(leaf, server)
    _check_time(leaf, moment)
    _check_usage(leaf)
    _check_key(leaf)
    verifier = (
        PolicyBuilder()
        .store(Store(list(roots)))
        .time(moment)
        .max_chain_depth(MAX_CERTIFICATE_CHAIN)
        .extension_policies(ee_policy=_with_policies(ExtensionPolicy.webpki_defaults_ee()),
                            ca_policy=_with_policies(ExtensionPolicy.webpki_defaults_ca()))
        .build_server_verifier(x509.DNSName(server))
    )  # fmt: skip
    try:
        path = tuple(verifier.verify(leaf, list(chain[1:])))
    except VerificationError as error:
        raise _explain(chain, roots, moment, error) from error
    if len(path) < 2:
        raise ChainError("path", f"{_name(leaf)} is itself a root.")
    _check_time(path[-1], moment)  # a root's own, which the verifier leaves alone
    return path


def valid_policies(path: Path) -> Policies:
    """The policies that are valid for the leaf (RFC 5280 6.1.3 to 6.1.5). Raises `ChainError` (`policies`)."""
    valid: Policies = None
    explicit = inhibit = len(path) + 1  # certificates that may still come before each of them holds
    below = tuple(reversed(path[:-1]))
    for number, one in enumerate(below, 1):
        last = number == len(below)
        self_issued = one.subject == one.issuer
        listed = _policies_of(one)
        any_holds = ANY_POLICY in listed and (inhibit > 0 or (self_issued and not last))
        valid = _narrow(valid, listed - {ANY_POLICY}, any_holds=any_holds)
        if any(extension.oid == _POLICY_MAPPINGS for extension in one.extensions):
            raise ChainError("policies", f"{_name(one)} maps policies, which is not followed here.")
        if not self_issued or last:
            explicit, inhibit = max(0, explicit - 1), max(0, inhibit - 1)
        constraints = _extension(one, x509.PolicyConstraints)
        required = None if constraints is None else constraints.require_explicit_policy
        if required is not None and (required == 0 or not last):
            explicit = min(explicit, required)
        inhibits = _extension(one, x509.InhibitAnyPolicy)
        if inhibits is not None:
            inhibit = min(inhibit, inhibits.skip_certs)
        if explicit == 0 and valid == frozenset():
            raise ChainError("policies", f"{_name(one)} has none of the policies that the chain asks for.")
    return valid


def _narrow(valid: Policies, listed: frozenset[str], *, any_holds: bool) -> Policies:
    if any_holds:
        return valid
    return listed if valid is None else valid & listed


def _policies_of(certificate: x509.Certificate) -> frozenset[str]:
    found = _extension(certificate, x509.CertificatePolicies)
    return frozenset() if found is None else frozenset(one.policy_identifier.dotted_string for one in found)


def names_policy(certificate: x509.Certificate, policy: str) -> bool:
    """Whether it names the policy itself, `anyPolicy` aside."""
    return policy in _policies_of(certificate)


def _extension(certificate: x509.Certificate, kind: type[_Kind]) -> _Kind | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _check_name(leaf: x509.Certificate, server: str) -> None:
    names = _extension(leaf, x509.SubjectAlternativeName)
    if names is None or server not in names.get_values_for_type(x509.DNSName):
        raise ChainError("name", f"The certificate is not for {server}.", forged=True)


def _check_time(certificate: x509.Certificate, moment: datetime.datetime) -> None:
    if moment > certificate.not_valid_after_utc:
        raise ChainError("validity", f"{_name(certificate)} expired on {certificate.not_valid_after_utc:%Y-%m-%d}.")
    if moment < certificate.not_valid_before_utc:
        begin = certificate.not_valid_before_utc
        raise ChainError("validity", f"{_name(certificate)} is not valid before {begin:%Y-%m-%d}.")


def _check_usage(leaf: x509.Certificate) -> None:
    usage = _extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise ChainError("usage", "The certificate's key may not be used to sign.")
    uses = _extension(leaf, x509.ExtendedKeyUsage)
    if uses is not None and ExtendedKeyUsageOID.SERVER_AUTH not in uses:
        raise ChainError("usage", "The certificate is not for servers (serverAuth).")


def _check_key(leaf: x509.Certificate) -> None:
    """The verifier judges the keys of CAs alone."""
    key = leaf.public_key()
    rsa_holds = isinstance(key, rsa.RSAPublicKey) and key.key_size >= _RSA_BITS
    ec_holds = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES)
    if not (rsa_holds or ec_holds or isinstance(key, ed25519.Ed25519PublicKey)):
        raise ChainError("key", "The certificate's key is too weak, or of an unknown kind.")


def _with_policies(policy: ExtensionPolicy) -> ExtensionPolicy:
    """What `valid_policies` looks at need not be understood by the verifier."""
    for kind in (x509.CertificatePolicies, x509.PolicyConstraints, x509.InhibitAnyPolicy):
        policy = policy.may_be_present(kind, Criticality.AGNOSTIC, None)
    return policy


def _explain(
    chain: Path, roots: Sequence[x509.Certificate], moment: datetime.datetime, error: VerificationError
) -> ChainError:
    """Walk up by issuers and signatures, and name the first that is wrong."""
    current = chain[0]
    for _ in range(len(chain)):
        issuers = [one for one in (*roots, *chain[1:]) if one.subject == current.issuer and one != current]
        if not issuers:
            text = f"{_name(current)} was issued by {current.issuer.rfc4514_string()}, which is no root known here."
            return ChainError("path", text)
        signers = [one for one in issuers if _signed(current, one)]
        if not signers:
            return ChainError("path", f"The signature of {_name(current)} is not its issuer's.", forged=True)
        current = signers[0]
        try:
            _check_time(current, moment)
        except ChainError as found:
            return found
        if current in roots:
            break
    return ChainError("path", f"The chain does not verify: {error}.", forged=True)


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "a certificate without a name"
