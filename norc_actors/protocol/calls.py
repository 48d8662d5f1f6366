"""Media keys and packets of a call (section 6, *Calls*; §6.21; D-14, D-36; rows `B72`, `B73`).

```
m_0     = HKDF(call_secret, "", "norc:call:v1" ‖ call_id ‖ sender_device, 32)
m_{t+1} = HKDF(m_t, "", "norc:call:next:v1", 32)
header  = call_id ‖ sender_device ‖ t:u32 ‖ counter:u64                                44 bytes
packet  = header ‖ AEAD(m_t, 0⁴ ‖ counter:u64, header, payload)
```
Rules
- `call_secret` comes inside an end-to-end message; every device has its own key chain, so two senders never share a
  nonce. The suite is that of the message that carried the secret.
- The sender moves to the next epoch every 30 s from its first packet on and drops the key before; `counter` starts at 0
  in each epoch and rises with every packet.
- The receiver keeps the keys of two epochs, the newest that it has heard and the one before, and looks at most 1000
  epochs ahead. A packet moves it on only after it opened, so nobody but the sender can.
- Packets come over UDP: lost and reordered ones are normal, repeated ones are refused by a window per epoch.

Media do not wait: everything that is wrong with a packet is `DecryptionFailedError`, and the packet is dropped.
"""

import struct

from norc_actors.crypto.errors import DecryptionFailedError
from norc_actors.crypto.layout import sequence_nonce
from norc_actors.crypto.suites import TAG_BYTES, Cipher, Suite
from norc_actors.ids import uuid_bytes
from norc_actors.limits import CALL_EPOCH_SECONDS, CALL_EPOCHS_AHEAD, CALL_EPOCHS_KEPT

from .chains import Window

HEADER = struct.Struct(">16s16sIQ")
HEADER_BYTES = 44


def first_key(suite: Suite, call_secret: bytes, call_id: bytes, sender_device: bytes) -> bytes:
    """m_0 of one sender; ids as 16 raw bytes."""
    return suite.hkdf(call_secret, b"", b"norc:call:v1" + call_id + sender_device)


def next_key(suite: Suite, key: bytes) -> bytes:
    """m_{t+1} of m_t."""
    return suite.hkdf(key, b"", b"norc:call:next:v1")


class CallSender:
    """This device's packets in one call. `now` is any clock that only rises."""

    def __init__(self, suite: Suite, call_secret: bytes, call_id: str, sender_device: str) -> None:
        self._suite = suite
        self._call, self._device = uuid_bytes(call_id), uuid_bytes(sender_device)
        self._key = first_key(suite, call_secret, self._call, self._device)
        self._cipher = suite.cipher(self._key)
        self._started: float | None = None
        self._epoch = self._counter = 0

    def seal(self, payload: bytes, now: float) -> bytes:
        """The next packet."""
        if self._started is None:
            self._started = now
        due = int((now - self._started) / CALL_EPOCH_SECONDS)
        if due > self._epoch:
            for _ in range(due - self._epoch):
                self._key = next_key(self._suite, self._key)
            self._cipher = self._suite.cipher(self._key)
            self._epoch, self._counter = due, 0
        header = HEADER.pack(self._call, self._device, self._epoch, self._counter)
        sealed = self._cipher.seal(sequence_nonce(self._counter), header, payload)
        self._counter += 1
        return header + sealed


class _Epoch:
    """A key that packets may come under, and which came."""

    __slots__ = ("cipher", "key", "window")

    def __init__(self, suite: Suite, key: bytes) -> None:
        self.key = key
        self.cipher: Cipher = suite.cipher(key)
        self.window = Window()


class CallReceiver:
    """Another device's packets in one call."""

    def __init__(self, suite: Suite, call_secret: bytes, call_id: str, sender_device: str) -> None:
        self._suite = suite
        self._call, self._device = uuid_bytes(call_id), uuid_bytes(sender_device)
        self._newest = 0
        self._epochs = {0: _Epoch(suite, first_key(suite, call_secret, self._call, self._device))}

    def open(self, packet: bytes) -> bytes:
        """The payload of a packet that is new, or `DecryptionFailedError`."""
        if len(packet) < HEADER_BYTES + TAG_BYTES:
            raise DecryptionFailedError("a packet shorter than its header")
        call, device, epoch, counter = HEADER.unpack_from(packet)
        if (call, device) != (self._call, self._device):
            raise DecryptionFailedError("a packet of another call or device")
        held = self._epochs.get(epoch) or self._ahead(epoch)
        if not held.window.may_accept(counter):
            raise DecryptionFailedError("a packet that came before")
        payload = held.cipher.open(sequence_nonce(counter), packet[:HEADER_BYTES], packet[HEADER_BYTES:])
        held.window = held.window.accept(counter)
        if epoch > self._newest:
            self._move(epoch, held)
        return payload

    def _ahead(self, epoch: int) -> _Epoch:
        """The key of an epoch that has not been heard of yet; kept only if the packet opens."""
        steps = epoch - self._newest
        if not 0 < steps <= CALL_EPOCHS_AHEAD:
            raise DecryptionFailedError("an epoch that is gone, or too far ahead")
        key = self._epochs[self._newest].key
        for _ in range(steps):
            key = next_key(self._suite, key)
        return _Epoch(self._suite, key)

    def _move(self, epoch: int, held: _Epoch) -> None:
        """Go on to `epoch`; the keys between are made, for packets of the epoch before that come late."""
        first = max(epoch - CALL_EPOCHS_KEPT + 1, 0)
        key, at = self._epochs[self._newest].key, self._newest
        kept: dict[int, _Epoch] = {}
        while at < epoch:
            if at >= first:
                kept[at] = self._epochs.get(at) or _Epoch(self._suite, key)
            key, at = next_key(self._suite, key), at + 1
        self._newest, self._epochs = epoch, {**kept, epoch: held}
