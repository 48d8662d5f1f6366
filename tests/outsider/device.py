"""A device of an outsider: keys, enrolment, authentication, prekeys, asking for keys (devices.md, connection.md)."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .forms import Map, RefusedError, Value, canonical, data, inner, items, lv, new_id, number, raw, text, u64, unb64
from .papers import Peer, Prekeys, check_entry, make_record, now, signed
from .primitives import SUITES, SigningKey, verify
from .wire import Connection, Place

ALL = list(SUITES)


class Link:
    """An enrolment link."""

    def __init__(self, link: str) -> None:
        match = re.fullmatch(r"norc://([^/?#]*)/enroll\?(.*)", link)
        if match is None:
            raise RefusedError("no enrolment link")
        self.server_id = match[1]
        pairs = [part.split("=", 1) for part in match[2].split("&")]
        if ["v", "1"] not in pairs:
            raise RefusedError("a link of another format")
        [self.token] = [unb64(value) for name, value in pairs if name == "t"]
        self.key_hashes = [unb64(value) for name, value in pairs if name == "k"]


class Device:
    """One device of a user; `algorithm` is that of its own key and of the user's."""

    def __init__(
        self,
        place: Place,
        user_id: str,
        *,
        suites: list[str] | None = None,
        algorithm: str = "ed25519",
        user_key: SigningKey | None = None,
    ) -> None:
        self.place = place
        self.user_id = user_id
        self.device_id = new_id()
        self.suites = ALL if suites is None else suites
        self.key = SigningKey(algorithm)
        self.user_key = user_key or SigningKey(algorithm)
        self.record = make_record(user_id, self.device_id, self.key, self.suites)
        self.prekeys = Prekeys()
        self.pins: dict[str, bytes] = {user_id: self.user_key.public}
        self.peers: dict[tuple[str, str], Peer] = {}
        self.server_key: bytes | None = None

    # --- enrolment ---

    def registration(self, token: bytes | None = None, *, further: bool = False) -> Map:
        """The `device_register` of a first device, or of a further one."""
        register: Map = {
            "type": "device_register",
            **self.record,
            "device_info": {
                "name": "outsider",
                "type": "unknown",
                "capabilities": [],
                "platform": {"os": "none", "version": "0", "app_version": "0"},
            },
        }
        if not further:
            register["user_key"] = self.user_key.public
            register["user_device_signature"] = self.user_key.sign("user-device:v1", canonical(self.record))
        if token is not None:
            register["enrollment_token"] = token
        return register

    def ask_to_register(self, line: Connection, register: Map) -> None:
        """Register and answer the challenge."""
        line.send(register)
        challenge = line.expect("registration_challenge")
        self.answer_challenge(line, register, challenge)

    def answer_challenge(self, line: Connection, register: Map, challenge: Map) -> None:
        nonce = data(challenge, "challenge", 32)
        response: Map = {
            "type": "registration_response",
            "challenge": nonce,
            "signature": self.key.sign("register:v1", line.sealed.th + nonce + lv(canonical(register))),
        }
        if number(challenge, "difficulty"):
            response["proof_solution"] = self._work(line, nonce, number(challenge, "difficulty"))
        line.send(response)

    def _work(self, line: Connection, nonce: bytes, difficulty: int) -> int:
        start, solution = b"norc:pow:v1" + nonce + raw(self.device_id) + self.key.public, 0
        while int.from_bytes(line.sealed.suite.hash(start + u64(solution)), "big") >> (256 - difficulty):
            solution += 1
        return solution

    def enrolled(self, line: Connection) -> None:
        """Take `registration_success`, and pin what it names."""
        success = line.expect("registration_success")
        certificate = inner(success, "device_certificate")
        server_key = data(success, "server_public_key")
        if server_key != line.server_key or success["device_id"] != self.device_id:
            raise RefusedError("a success of another server or device")
        verify(server_key, "device-cert:v1", canonical(certificate, "signature"), data(certificate, "signature", 64))
        self.server_key = server_key

    def enrol(self, link: str | None = None, *, suites: list[str] | None = None) -> None:
        """Become a user's first device, and one that can be written to. Without a link: by work, where that is open."""
        parsed = None if link is None else Link(link)
        hashes = [] if parsed is None else parsed.key_hashes
        with Connection(self.place, suites=suites, key_hashes=hashes) as line:
            self.ask_to_register(line, self.registration(None if parsed is None else parsed.token))
            self.enrolled(line)
            self.authenticate(line)
            self.upload(line)

    # --- connections ---

    @contextmanager
    def connected(
        self, *, suites: list[str] | None = None, change: Callable[[Map], None] | None = None
    ) -> Iterator[Connection]:
        """An authenticated connection; `change` as in `Connection`."""
        with Connection(self.place, suites=suites, pinned=self.server_key, change=change) as line:
            self.authenticate(line)
            yield line

    def auth_request(self, line: Connection, timestamp: int | None = None) -> Map:
        timestamp = now() if timestamp is None else timestamp
        challenge = data(line.accepted, "auth_challenge", 32)
        body = line.sealed.th + challenge + lv(self.user_id) + raw(self.device_id) + u64(timestamp)
        return {
            "type": "auth_request",
            "user_id": self.user_id,
            "device_id": self.device_id,
            "timestamp": timestamp,
            "signature": self.key.sign("auth:v1", body),
        }

    def authenticate(self, line: Connection) -> None:
        """`auth_request`, its answer, and the `prekey_status` that follows."""
        line.send(self.auth_request(line))
        response = line.expect("auth_response")
        if response["result"] != "ok":
            raise RefusedError("not let in, and no error")
        line.expect("prekey_status")

    # --- prekeys ---

    @property
    def hybrid(self) -> bool:
        return any(SUITES[name].hybrid for name in self.suites)

    def upload(self, line: Connection, one_time: int = 5) -> Map:
        """A new bundle and one-time keys; the server's `prekey_status`."""
        bundle = self.prekeys.new_bundle(self.key, self.user_id, self.device_id, hybrid=self.hybrid)
        keys = self.prekeys.new_one_time(self.key, one_time)
        line.send({"type": "prekey_upload", "bundle": bundle, "one_time": keys})
        return line.expect("prekey_status")

    # --- others' keys ---

    def ask(self, line: Connection, *users: str, devices: list[str] | None = None) -> list[Peer]:
        """The devices of users, checked; the first user key that is seen of somebody is pinned."""
        request_id = new_id()
        wanted: Value = "active" if devices is None else [*devices]
        line.send(
            {
                "type": "key_request",
                "request_id": request_id,
                "user_ids": [*users],
                "device_filter": wanted,
                "include_revoked": False,
            }
        )
        found: list[Peer] = []
        while True:
            response = line.expect("key_response")
            if response["request_id"] != request_id:
                raise RefusedError("an answer to nothing")
            for user_id, listed in inner(response, "keys").items():
                if isinstance(listed, dict):
                    found += [self.learn(user_id, device_id, entry) for device_id, entry in listed.items()]
            if not response.get("more", False):
                return found

    def learn(self, user_id: str, device_id: str, entry: Value) -> Peer:
        """The device of an entry."""
        if not isinstance(entry, dict) or self.server_key is None:
            raise RefusedError("no entry, or before enrolment")
        pinned = self.pins.setdefault(user_id, data(entry, "user_key"))
        peer = check_entry(entry, user_id, device_id, pinned, self.server_key)
        self.peers[user_id, device_id] = peer
        return peer

    def learn_stale(self, ack: Map) -> list[Peer]:
        """The devices that a `message_ack` with 2002 brought."""
        found = []
        for entry in items(ack, "stale_devices"):
            if isinstance(entry, dict):
                record = inner(entry, "record")
                found.append(self.learn(text(record, "user_id"), text(record, "device_id"), entry))
        return found

    def approval(self, held: Map) -> Map:
        """The answer of a device that holds the user key to a further one's `device_register`."""
        record = {name: held[name] for name in self.record}
        signature = self.user_key.sign("user-device:v1", canonical(record))
        return {**held, "user_key": self.user_key.public, "user_device_signature": signature}

    def revocation(self, device_id: str, *, by: str = "user") -> Map:
        """A `device_revoke` of a device of this user, the first of its chain."""
        revoke: Map = {
            "type": "device_revoke",
            "user_id": self.user_id,
            "device_id": device_id,
            "reason": "lost",
            "effective": now(),
            "revocation_id": new_id(),
            "signed_by": by,
        }
        return signed(revoke, self.user_key if by == "user" else self.key, "device-revoke:v1")
