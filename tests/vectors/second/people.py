"""Section 5: users, devices, prekeys, enrolment, revocation."""

from typing import Any

from tests.vectors import independent as one

from .base import ALICE, BOB, NOW, A, Entry, Kem, Key, drawn, flip, hexed, m, uuid, without

KINDS = ("ed25519", "p256")
DAY = 86400


class Person:
    """A user of an algorithm, a device with record, certificate and prekeys."""

    def __init__(self, kind: str, kem: Kem) -> None:
        self.kind = kind
        self.user, self.device, self.server = (Key(kind, name) for name in ("user", "device", "server"))
        self.other, self.new = Key(kind, "mallory"), Key(kind, "new device")
        self.record: dict[str, Any] = {
            "user_id": ALICE, "device_id": uuid("alice device"), "public_key": self.device.public,
            "key_algorithm": kind, "e2e_suites": ["0102", "0002"] if kind == "p256" else ["0001", "0101"],
            "e2e_version": "2.0", "not_before": NOW, "not_after": NOW + 180 * DAY, "zzz": [{"unknown": True}],
        }  # fmt: skip
        self.certificate = {**self.record, "issuer": A, "serial": 12}
        self.bundle = self.device.signed("prekey:v1", {
            "user_id": ALICE, "device_id": uuid("alice device"), "prekey_id": 3, "x25519": one.x_public(drawn("pre")),
            "mlkem768": kem.public(f"bundle {kind}"), "not_before": NOW, "not_after": NOW + 30 * DAY,
        })  # fmt: skip
        self.one_time = self.device.signed("prekey:v1", {"one_time_id": 2**32 - 1, "x25519": one.x_public(drawn("ot"))})
        self.th, self.challenge = drawn(f"pow th {kind}"), drawn(f"pow challenge {kind}")

    def work(self, solution: int) -> bytes:
        """BLAKE3("norc:pow:v1" ‖ challenge ‖ device_id ‖ public_key ‖ solution:u64)."""
        body = b"norc:pow:v1" + self.challenge + one.raw(uuid("alice device")) + self.device.public
        return self.device.hash(body + one.u64(solution))

    def entry(self) -> Entry:
        solution = next(n for n in range(2**20) if self.work(n)[0] == 0 and self.work(n)[1] < 16)
        body = one.canonical(self.record)
        return hexed({
            "algorithm": self.kind, "user_seed": self.user.seed, "user_key": self.user.public,
            "user_key_hash": self.user.hash(self.user.public), "device_seed": self.device.seed,
            "server_seed": self.server.seed, "server_key": self.server.public,
            "k": self.server.hash(self.server.public), "record": m(self.record),
            "user_signature": self.user.sign("user-device:v1", body), "certificate": m(self.certificate),
            "certificate_signature": self.server.sign("device-cert:v1", one.canonical(self.certificate)),
            "bundle": m(self.bundle), "x25519_private": drawn("pre"), "one_time": m(self.one_time),
            "challenge": self.challenge, "pow_difficulty": 12, "pow_solution": solution,
            "pow_hash": self.work(solution),
        })  # fmt: skip

    def refused(self) -> list[Entry]:
        """Records, certificates, prekeys and proofs of work that must not count."""
        body, changed = one.canonical(self.record), {**self.record, "e2e_suites": ["0002"]}
        user, server, device = self.user, self.server, self.device

        def of_record(why: str, record: dict[str, Any], signature: bytes) -> Entry:
            return {"why": why, "record": m(record), "user_key": user.public, "user_signature": signature}

        def of_certificate(why: str, certificate: dict[str, Any], signature: bytes) -> Entry:
            return {"why": why, "record": m(self.record), "certificate": m(certificate), "server_key": server.public,
                    "certificate_signature": signature}  # fmt: skip

        def of_key(why: str, name: str, signed: dict[str, Any]) -> Entry:
            return {"why": why, "record": m(self.record), name: m(signed)}

        other_kind = "ed25519" if self.kind == "p256" else "p256"
        lies = {**self.record, "key_algorithm": other_kind}
        found = [
            of_record("a member changed", changed, user.sign("user-device:v1", body)),
            of_record("an unknown member changed", {**self.record, "zzz": []}, user.sign("user-device:v1", body)),
            of_record("signed by another key", self.record, self.other.sign("user-device:v1", body)),
            of_record("signed under another label", self.record, user.sign("device-cert:v1", body)),
            of_record("signature altered", self.record, flip(user.sign("user-device:v1", body))),
            of_record("malformed: the algorithm is not the one of its public key", lies,
                      user.sign("user-device:v1", one.canonical(lies))),
            of_certificate("signed by another key", self.certificate,
                           self.other.sign("device-cert:v1", one.canonical(self.certificate))),
            of_certificate("another record's member", {**self.certificate, "e2e_suites": ["0001"]},
                           server.sign("device-cert:v1", one.canonical({**self.certificate, "e2e_suites": ["0001"]}))),
            of_certificate("serial changed", {**self.certificate, "serial": 13},
                           server.sign("device-cert:v1", one.canonical(self.certificate))),
            of_key("signed by another key", "bundle", self.other.signed("prekey:v1", self.bundle)),
            of_key("a member changed", "bundle", {**self.bundle, "prekey_id": 4}),
            of_key("for another device", "bundle", device.signed("prekey:v1", {
                **self.bundle, "device_id": uuid("other")})),
            of_key("malformed: length of x25519", "bundle", device.signed("prekey:v1", {
                **self.bundle, "x25519": bytes(31)})),
            of_key("longer than 30 days", "bundle", device.signed("prekey:v1", {
                **self.bundle, "not_after": NOW + 31 * DAY})),
            of_key("past its time", "bundle", self.bundle) | {"now": NOW + 30 * DAY},
            of_key("signed under another label", "bundle", device.signed("session:v1", self.bundle)),
            of_key("signed by another key", "one_time", self.other.signed("prekey:v1", self.one_time)),
            of_key("a member changed", "one_time", {**self.one_time, "one_time_id": 7}),
        ]  # fmt: skip
        weak = next(n for n in range(2**20) if self.work(n)[0] != 0)
        for why, solution, difficulty in (("too little work", weak, 12), ("beyond 2^53-1", 2**53, 0)):
            found.append({"why": why, "record": m(self.record), "challenge": self.challenge,
            "pow_difficulty": difficulty,
                          "pow_solution": solution})  # fmt: skip
        return [hexed(entry) for entry in found]

    def rotation(self) -> tuple[Entry, list[Entry]]:
        """device-rotate:v1 over len‖replaces ‖ canonical(record), by the old key and by the new."""
        record = {**self.record, "public_key": self.new.public}
        body = one.lv(self.device.public) + one.canonical(record)
        old, new = (key.sign("device-rotate:v1", body) for key in (self.device, self.new))
        plain = self.new.sign("device-rotate:v1", one.canonical(record))

        def of(signatures: list[bytes], replaces: bytes = self.device.public) -> Entry:
            return hexed({"record": m(record), "replaces": replaces,
                          "rotation_signatures": [one.hex() for one in signatures]})  # fmt: skip

        return of([old, new]), [
            of([new, new]) | {"why": "signed by the new key twice"}, of([old,
            old]) | {"why": "signed by the old key twice"},
            of([new, old]) | {"why": "signatures exchanged"}, of([old]) | {"why": "one signature"},
            of([old, plain]) | {"why": "the new key signed without len‖replaces"},
            of([old, new], self.new.public) | {"why": "the same key again"},
        ]  # fmt: skip

    def user_rotation(self) -> tuple[list[Entry], list[Entry]]:
        """user-rotate:v1 by the old key, a recovery key or the operator."""
        plain = {"user_id": ALICE, "old_user_key": self.user.public, "new_user_key": self.new.public, "timestamp": NOW}
        signers = {"old": self.user, "recovery": self.other, "operator": self.server}
        good = [
            hexed({"user_rotation": m(key.signed("user-rotate:v1", {**plain, "by": by})), "signer_key": key.public})
            for by, key in signers.items()
        ]
        signed = self.user.signed("user-rotate:v1", {**plain, "by": "old"})
        return good, [
            hexed({"why": why, "user_rotation": m(rotation), "signer_key": key.public})
            for why, rotation, key in (
                ("a member changed", {**signed, "new_user_key": self.other.public}, self.user),
                ("signed by another key", self.other.signed("user-rotate:v1", {**plain, "by": "old"}), self.user),
                ("by old, signed by the operator's key", self.server.signed("user-rotate:v1", {**plain, "by": "old"}),
                 self.server),
                ("signed under another label", self.user.signed("user-device:v1", {**plain, "by": "old"}), self.user),
            )
        ]  # fmt: skip

    def registration(self) -> tuple[Entry, list[Entry]]:
        """register:v1 over th ‖ challenge ‖ len‖canonical(device_register), by the new device key."""
        register = {
            "type": "device_register", **without(self.record, "zzz"), "user_key": self.user.public,
            "user_device_signature": self.user.sign("user-device:v1", one.canonical(without(self.record, "zzz"))),
            "device_info": {"name": "phone", "type": "smartphone", "capabilities": [],
                            "platform": {"os": "x", "version": "1", "app_version": "1"}},
        }  # fmt: skip
        body = self.th + self.challenge + one.lv(one.canonical(register))
        honest = {"th": self.th, "challenge": self.challenge, "device_register": m(register), "register_body": body,
                  "register_signature": self.device.sign("register:v1", body)}  # fmt: skip
        changed = {**register, "e2e_suites": ["0002"]}
        return hexed(honest), [hexed(honest | {"why": why} | change) for why, change in (
            ("a member changed", {"device_register": m(changed)}),
            ("on another connection: th altered", {"th": flip(self.th)}),
            ("another challenge", {"challenge": flip(self.challenge)}),
            ("signed by the user key", {"register_signature": self.user.sign("register:v1", body)}),
            ("signed under another label", {"register_signature": self.device.sign("auth:v1", body)}),
        )]  # fmt: skip

    def revocation(self) -> tuple[list[Entry], list[Entry]]:
        """device-revoke:v1, each with the hash of the one before it."""
        chain: list[dict[str, Any]] = []
        for n in (1, 2, 3):
            plain = {"type": "device_revoke", "user_id": ALICE, "device_id": uuid(f"device {n}"), "reason": "lost",
                     "effective": NOW + n, "revocation_id": uuid(f"revocation {n}"), "signed_by": "user"}  # fmt: skip
            if chain:
                plain["prev_revocation_hash"] = self.user.hash(one.canonical(chain[-1]))
            chain.append(self.user.signed("device-revoke:v1", plain))

        def of(plain: dict[str, Any], previous: dict[str, Any] | None, key: Key = self.user) -> Entry:
            more = {} if previous is None else {"previous": m(previous)}
            return hexed({"device_revoke": m(plain), "signer_key": key.public, **more})

        unsigned_hash = self.user.hash(one.canonical(chain[0], ("signature",)))
        linked = self.user.signed("device-revoke:v1", {**chain[1], "prev_revocation_hash": unsigned_hash})
        good = [of(chain[0], None), of(chain[1], chain[0]), of(chain[2], chain[1])]
        return good, [
            of(chain[2], chain[0]) | {"why": "the previous one is missing"},
            of(chain[1], None) | {"why": "the previous one was withheld"},
            of(linked, chain[0]) | {"why": "prev_revocation_hash leaves the signature out"},
            of({**chain[0], "reason": "retired"}, None) | {"why": "a member changed"},
            of(self.other.signed("device-revoke:v1", chain[0]), None) | {"why": "signed by another key"},
            of(self.user.signed("device-cert:v1", chain[0]), None) | {"why": "signed under another label"},
        ]


def fingerprints() -> list[Entry]:
    """12 groups of both users, sorted."""
    found = []
    for kind_a in KINDS:
        for kind_b in KINDS:
            halves, entry = [], {}
            for who, user, kind in (("a", ALICE, kind_a), ("b", BOB, kind_b)):
                key = Key(kind, f"user {who}")
                half = one.groups(key.hash(b"norc:fingerprint:v1" + one.lv(user.encode()) + key.public)[:30])
                entry |= {f"user_{who}": user, f"key_{who}": key.public, f"half_{who}": half}
                halves.append(half)
            digits = "".join(sorted(halves))
            number = " ".join(digits[at : at + 5] for at in range(0, 60, 5))
            found.append(hexed({**entry, "safety_number": number}))
    return found


def sections(kem: Kem) -> dict[str, Any]:
    """Section 5."""
    people = [Person(kind, kem) for kind in KINDS]
    rotations, users = [one.rotation() for one in people], [one.user_rotation() for one in people]
    registrations, revocations = [one.registration() for one in people], [one.revocation() for one in people]
    return {
        "devices": [one.entry() for one in people],
        "refused_devices": [entry for one in people for entry in one.refused()],
        "rotations": [good for good, _ in rotations] + [one for good, _ in users for one in good],
        "refused_rotations": [one for _, refused in rotations + users for one in refused],
        "registrations": [good for good, _ in registrations],
        "refused_registrations": [one for _, refused in registrations for one in refused],
        "revocations": [one for good, _ in revocations for one in good],
        "refused_revocations": [one for _, refused in revocations for one in refused],
        "fingerprint": fingerprints(),
    }
