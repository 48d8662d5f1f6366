"""Topics of section 5: users, devices, prekeys, enrolment."""

from typing import Any

from norc_actors.crypto.signatures import SigningKey
from norc_actors.crypto.suites import PREFERENCE, SUITES, Algorithm
from norc_actors.protocol import devices, enrolment, escrow, fingerprint, prekeys, revocation
from norc_actors.protocol.canonical import base64url, canonical

from . import NOW, Case, Stream, each_suite, fixed, flipped, key, m, refused, uuid, x

ALICE, BOB = "alice@a.example", "bob@b.example"
ALGORITHMS: tuple[Algorithm, ...] = ("ed25519", "p256")


def signed(name: str, public_key: bytes, label: str, plain: dict[str, Any], signature: bytes, **more: Any) -> Case:
    """A signature over canonical(map less signature)."""
    return {
        "name": name, "accept": True, "public_key": x(public_key), "label": label, "map": m(plain),
        "body": canonical(plain, ("signature",)).decode(), "signature": x(signature), **more,
    }  # fmt: skip


def wrong(case: Case, other: SigningKey, changed: dict[str, Any], label: str = "auth:v1") -> list[Case]:
    """The same signature over something else, by somebody else, for something else."""
    body = case["body"].encode()
    return [
        refused(case, "BadSignatureError", name=f"{case['name']}: a member changed", map=m(changed),
                body=canonical(changed, ("signature",)).decode()),
        refused(case, "BadSignatureError", name=f"{case['name']}: signature altered",
                signature=x(flipped(bytes.fromhex(case["signature"])))),
        refused(case, "BadSignatureError", name=f"{case['name']}: signed by another key",
                signature=x(other.sign(case["label"], body))),
        refused(case, "BadSignatureError", name=f"{case['name']}: signed under another label",
                signature=x(other.sign(label, body)), public_key=x(other.public_key)),
    ]  # fmt: skip


def device_records() -> list[Case]:
    """Records, certificates, rotations of devices and users."""
    cases: list[Case] = []
    for algorithm in ALGORITHMS:
        user, device, new, server, other = (
            key(algorithm, n) for n in ("user", "device", "new device", "server", "other")
        )  # fmt: skip
        suites = PREFERENCE if algorithm == "ed25519" else ("0102", "0002")
        record = devices.make_record(ALICE, uuid("device"), device.public_key, now=NOW, e2e_suites=suites)
        record["zzz"] = {"unknown": True}
        case = signed("record", user.public_key, "user-device:v1", record, devices.sign_record(user, record))
        cases += [case, *wrong(case, other, record | {"not_after": NOW})]
        certificate = devices.make_certificate(server, "a.example", 7, record)
        signature = certificate["signature"]
        assert isinstance(signature, bytes)
        case = signed("device_certificate", server.public_key, "device-cert:v1", certificate, signature)
        cases += [case, *wrong(case, other, certificate | {"serial": 8})]
        rotated = devices.make_record(ALICE, uuid("device"), new.public_key, now=NOW + 9, e2e_suites=suites)
        signatures = devices.sign_rotation(device, new, rotated)
        cases.append(
            {"name": "rotation", "accept": True, "replaces": x(device.public_key), "map": m(rotated),
             "public_key": x(new.public_key), "signatures": [x(one) for one in signatures]}
        )  # fmt: skip
        cases.append(
            refused(cases[-1], "BadSignatureError", name="rotation: one key signed twice",
                    signatures=[x(signatures[1]), x(signatures[1])])
        )  # fmt: skip
        rotation = devices.make_user_rotation(user, ALICE, user.public_key, new.public_key, now=NOW, by="old")
        signature = rotation["signature"]
        assert isinstance(signature, bytes)
        case = signed("user_rotation", user.public_key, "user-rotate:v1", rotation, signature)
        cases += [case, *wrong(case, other, rotation | {"new_user_key": other.public_key})]
    return cases


def prekey_bundles() -> list[Case]:
    """Bundles and one-time keys with their private halves."""
    cases: list[Case] = []
    for algorithm in ALGORITHMS:
        device, other = key(algorithm, "device"), key(algorithm, "other")
        for hybrid in (True, False):
            bundle, secret = prekeys.make_bundle(
                device, BOB, uuid("bob device"), 5, hybrid=hybrid, now=NOW, random=Stream(f"bundle {hybrid}")
            )
            signature = bundle["signature"]
            assert isinstance(signature, bytes)
            case = signed(
                "hybrid bundle" if hybrid else "classical bundle", device.public_key, "prekey:v1", bundle, signature,
                x25519_private=x(secret.x25519),
            )  # fmt: skip
            if secret.mlkem_seed is not None:
                case["mlkem_seed"] = x(secret.mlkem_seed)
            cases += [case, *wrong(case, other, bundle | {"prekey_id": 6})]
        (one,), (one_secret,) = prekeys.make_one_time_keys(device, 7, 1, Stream("one-time"))
        signature = one["signature"]
        assert isinstance(signature, bytes)
        case = signed(
            "one-time key", device.public_key, "prekey:v1", one, signature, x25519_private=x(one_secret.x25519)
        )  # fmt: skip
        cases += [case, *wrong(case, other, one | {"one_time_id": 8})]
    return cases


def revocations() -> list[Case]:
    """A chain of two revocations."""
    cases: list[Case] = []
    for algorithm in ALGORITHMS:
        user, other = key(algorithm, "user"), key(algorithm, "other")
        members: dict[str, Any] = {"user_id": ALICE, "reason": "lost", "signed_by": "user", "effective": NOW}
        first = revocation.make_revocation(
            user, device_id=uuid("device 1"), revocation_id=uuid("revocation 1"), previous=None, **members
        )
        second = revocation.make_revocation(
            user, device_id=uuid("device 2"), revocation_id=uuid("revocation 2"), previous=first, **members
        )
        for name, plain, previous in (("first", first, None), ("second", second, first)):
            signature = plain["signature"]
            assert isinstance(signature, bytes)
            case = signed(name, user.public_key, "device-revoke:v1", plain, signature)
            if previous is not None:
                case["previous"] = m(previous)
            cases += [case, *wrong(case, other, plain | {"reason": "retired"})]
        skipped = revocation.make_revocation(
            user, device_id=uuid("device 3"), revocation_id=uuid("revocation 3"), previous=second, **members
        )
        signature = skipped["signature"]
        assert isinstance(signature, bytes)
        case = signed(
            "signed, but the one before it is missing", user.public_key, "device-revoke:v1", skipped, signature
        )
        cases.append(refused(case, "RevocationChainError", previous=m(first)))
    return cases


def fingerprints() -> list[Case]:
    """Fingerprints, user_key_hash, the code of a device."""
    cases: list[Case] = []
    for a, b in (("ed25519", "ed25519"), ("ed25519", "p256"), ("p256", "p256")):
        key_a, key_b = key(a, "user a").public_key, key(b, "user b").public_key  # type: ignore[arg-type]
        cases.append(
            {"name": f"{a} and {b}", "accept": True, "user_a": ALICE, "key_a": x(key_a), "user_b": BOB,
             "key_b": x(key_b), "half_a": fingerprint.half(ALICE, key_a), "half_b": fingerprint.half(BOB, key_b),
             "fingerprint": fingerprint.safety_number(ALICE, key_a, BOB, key_b),
             "user_key_hash_a": x(fingerprint.user_key_hash(key_a)),
             "device_id": uuid("device"), "device_code_a": enrolment.device_code(uuid("device"), key_a)}
        )  # fmt: skip
    return cases


def enrolments() -> list[Case]:
    """Proof of work, the registration's signature, an enrolment link."""
    cases: list[Case] = []
    challenge, device_id = fixed("pow challenge"), uuid("device")
    for suite_name, suite in each_suite():
        device = key(SUITES[suite_name].identity, "device")
        solution = enrolment.solve(suite, challenge, device_id, device.public_key, 10)
        digest = enrolment.work_hash(suite, challenge, device_id, device.public_key, solution)
        case: Case = {
            "name": "proof of work", "suite": suite_name, "accept": True, "challenge": x(challenge),
            "device_id": device_id, "public_key": x(device.public_key), "difficulty": 10, "proof_solution": solution,
            "hash": x(digest), "zero_bits": enrolment.zero_bits(digest),
        }  # fmt: skip
        cases += [case, refused(case, "not a solution", name="one bit short", difficulty=case["zero_bits"] + 1)]
    for algorithm in ALGORITHMS:
        device, other = key(algorithm, "device"), key(algorithm, "other")
        th = fixed("register th")
        register: dict[str, Any] = {
            "type": "device_register",
            **devices.make_record(ALICE, device_id, device.public_key, now=NOW, e2e_suites=PREFERENCE),
            "device_info": {"name": "desk", "type": "desktop", "capabilities": [], "platform": {"os": "linux"}},
        }
        body = enrolment.registration_body(th, challenge, register)
        signature = enrolment.sign_registration(device, th, challenge, register)
        case = {
            "name": "registration_response", "accept": True, "public_key": x(device.public_key), "th": x(th),
            "challenge": x(challenge), "map": m(register), "body": x(body), "signature": x(signature),
        }  # fmt: skip
        cases += [
            case,
            refused(case, "BadSignatureError", name="for another device_register",
                    map=m(register | {"user_id": "mallory@a.example"})),
            refused(case, "BadSignatureError", name="on another connection", th=x(flipped(th))),
            refused(case, "BadSignatureError", name="signed by another key",
                    signature=x(other.sign("register:v1", body))),
        ]  # fmt: skip
        cases.append(
            {"name": "k of a token", "accept": True, "server_key": x(device.public_key),
             "k": x(enrolment.server_key_hash(device.public_key))}
        )  # fmt: skip
    return cases + _links()


def _links() -> list[Case]:
    """Enrolment links with a key of each algorithm, and texts that are none."""
    keys = [key(algorithm, "server").public_key for algorithm in ALGORITHMS]
    link = enrolment.EnrolmentLink(
        server_id="a.example", token=fixed("token"),  # type: ignore[arg-type]
        key_hashes=tuple(enrolment.server_key_hash(one) for one in keys),
    )  # fmt: skip
    case: Case = {
        "name": "link", "accept": True, "link": str(link), "server_id": "a.example", "token": x(fixed("token")),
        "server_keys": [x(one) for one in keys],
    }  # fmt: skip
    text = str(link)
    broken = (
        ("of another version", text.replace("v=1", "v=2")), ("without a key", text.split("&k=")[0]),
        ("a token of 31 bytes", text.replace(base64url(fixed("token")), base64url(fixed("token")[:31]))),
        ("without a server", text.replace("a.example", "")), ("another scheme", text.replace("norc", "https")),
        ("another path", text.replace("enroll", "enrol")), ("a key of padded base64url", text + "="),
    )  # fmt: skip
    return [case, *(refused(case, "BadLinkError", name=f"link: {name}", link=one) for name, one in broken)]


def escrows() -> list[Case]:
    """Escrow of a user key under a passphrase."""
    cases: list[Case] = []
    for algorithm in ALGORITHMS:
        user = key(algorithm, "user")
        made = escrow.make_escrow(user, ALICE, "Zwölf Boxkämpfer", Stream(f"escrow {algorithm}"))
        cases.append(
            {"name": f"escrow of an {algorithm} key", "accept": True, "passphrase": "Zwo\u0308lf Boxka\u0308mpfer",
             "map": m(made), "private_key": x(user.private_bytes())}
        )  # fmt: skip
    return cases
