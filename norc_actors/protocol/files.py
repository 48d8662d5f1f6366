"""Files: sealed chunks and the manifest that names them (section 6, *Files*; §6.20; D-13; rows `B69`, `B70`).

```
key          = HKDF(file_key, "", "norc:file:v1" ‖ file_id, 32)
chunk_data_i = AEAD(key, 0⁴ ‖ i:u64, file_id ‖ i:u32 ‖ total:u32 ‖ last:u8, chunk_i)
chunk_hash   = H(chunk_data)        hash = H(the file's bytes)
```
Rules
- H and AEAD are those of the message that carried the manifest.
- A file is `total` chunks of `chunk_size` (64–512 KiB, before the tag). The last one is filled with zeroes and alone
  has last = 1; where the file ends says the manifest's `size`. An empty file is one chunk.
- `total` and `last` are in the associated data, so a server can neither cut a file short nor join two, and no chunk
  opens at another place. `hash` over the whole then names the very bytes that the sender had.
- A file that changed gets a new file_id and file_key: the nonces are its indexes. `FileSealer` takes what it is given
  only once per index, so one object cannot break that.
- The server gets neither name, type nor true size: those are in the manifest, which is the `body` of a message.
- Chunks may come in any order and again (resume by index): `FileOpener` opens each by itself, and `FileCheck` takes
  the opened bytes in order and says at the end whether they are the file.
"""

from dataclasses import dataclass
from typing import Protocol

from norc_actors.crypto.errors import DecryptionFailedError
from norc_actors.crypto.hkdf import streaming
from norc_actors.crypto.layout import sequence_nonce, u32
from norc_actors.crypto.secret import same
from norc_actors.crypto.suites import TAG_BYTES, Suite
from norc_actors.ids import uuid_bytes
from norc_actors.limits import FILE_CHUNK_LEAST, FILE_CHUNK_MOST

from .errors import malformed


class ManifestFields(Protocol):
    """What the formulas take of a `file_manifest`."""

    @property
    def file_id(self) -> str: ...
    @property
    def file_key(self) -> bytes: ...
    @property
    def size(self) -> int: ...
    @property
    def chunk_size(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def hash(self) -> bytes: ...


def total_chunks(size: int, chunk_size: int) -> int:
    """How many chunks a file of `size` bytes has: one at least."""
    if size < 0 or not FILE_CHUNK_LEAST <= chunk_size <= FILE_CHUNK_MOST:
        raise malformed("a file of negative size, or chunks outside 64 to 512 KiB")
    return max(1, -(-size // chunk_size))


def check_manifest(manifest: ManifestFields) -> None:
    """Refuse (`ProtocolError`) a manifest whose numbers do not fit one another: such a file cannot exist."""
    if manifest.total != total_chunks(manifest.size, manifest.chunk_size) or manifest.total >= 2**32:
        raise malformed("the manifest's total is not that of its size")
    if len(manifest.file_key) != 32 or len(manifest.hash) != 32:
        raise malformed("a file key and a file's hash have 32 bytes")


def chunk_hash(suite: Suite, chunk_data: bytes) -> bytes:
    """`chunk_hash` of a sealed chunk, which the server checks too."""
    return suite.hash(chunk_data)


def check_chunk_hash(suite: Suite, chunk_data: bytes, expected: bytes) -> None:
    """`DecryptionFailedError` for a sealed chunk of another hash: damaged on its way."""
    if not same(chunk_hash(suite, chunk_data), expected):
        raise DecryptionFailedError("the chunk is not the one that its hash names")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """One file's chunks: its raw id and how many there are, of what size."""

    file_id: bytes
    total: int
    chunk_size: int

    def aad(self, index: int) -> bytes:
        if not 0 <= index < self.total:
            raise malformed(f"no chunk {index} in a file of {self.total}")
        return self.file_id + u32(index) + u32(self.total) + bytes((index == self.total - 1,))


def chunk_key(suite: Suite, file_key: bytes, file_id: bytes) -> bytes:
    """The key of all chunks of a file; `file_id` as 16 raw bytes."""
    return suite.hkdf(file_key, b"", b"norc:file:v1" + file_id)


class FileSealer:
    """Seals the chunks of one file under one key, each index once."""

    def __init__(self, suite: Suite, file_key: bytes, file_id: str, *, total: int, chunk_size: int) -> None:
        self._place = _Place(file_id=uuid_bytes(file_id), total=total, chunk_size=chunk_size)
        self._cipher = suite.cipher(chunk_key(suite, file_key, self._place.file_id))
        self._done: set[int] = set()

    def seal(self, index: int, chunk: bytes) -> bytes:
        """`chunk_data` of chunk `index`: `chunk_size` bytes (the last one fewer) sealed, tag included.

        A second, different chunk for an index would repeat a nonce: `ValueError`. So would a chunk of another length.
        """
        aad = self._place.aad(index)
        last = index == self._place.total - 1
        if len(chunk) > self._place.chunk_size or (not last and len(chunk) != self._place.chunk_size):
            raise ValueError("every chunk but the last has exactly chunk_size bytes")
        if index in self._done:
            raise ValueError(f"chunk {index} was sealed: keep its bytes; a file that changed needs a new key")
        self._done.add(index)
        return self._cipher.seal(sequence_nonce(index), aad, chunk.ljust(self._place.chunk_size, b"\0"))


class FileOpener:
    """Opens the chunks of one manifest, in any order."""

    def __init__(self, suite: Suite, manifest: ManifestFields) -> None:
        """`ProtocolError` for a manifest that fits no file."""
        check_manifest(manifest)
        self._place = _Place(file_id=uuid_bytes(manifest.file_id), total=manifest.total, chunk_size=manifest.chunk_size)
        self._size = manifest.size
        self._cipher = suite.cipher(chunk_key(suite, manifest.file_key, self._place.file_id))

    def open(self, index: int, chunk_data: bytes) -> bytes:
        """The file's bytes of chunk `index`, without the zeroes behind its end; `DecryptionFailedError` for a chunk
        that is altered, of another place or file, or filled with anything but zeroes."""
        aad, size = self._place.aad(index), self._place.chunk_size
        if len(chunk_data) != size + TAG_BYTES:
            raise DecryptionFailedError("a chunk of another length than the manifest says")
        chunk = self._cipher.open(sequence_nonce(index), aad, chunk_data)
        end = min(size, self._size - index * size)
        if chunk.count(0, end) != size - end:
            raise DecryptionFailedError("bytes behind the end of the file")
        return chunk[:end]


class FileCheck:
    """Whether bytes fed in order are the file that a manifest names."""

    def __init__(self, suite: Suite, manifest: ManifestFields) -> None:
        self._digest = streaming(suite.hash)
        self._left = manifest.size
        self._expected = manifest.hash

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        self._digest.update(data)
        self._left -= len(data)

    def finish(self) -> None:
        """`DecryptionFailedError` unless all bytes were fed and hash to the manifest's `hash`."""
        if self._left != 0 or not same(self._digest.digest(), self._expected):
            raise DecryptionFailedError("this is not the file that the manifest names")


def missing(received: list[tuple[int, int]], total: int) -> list[int]:
    """The indexes that a `file_chunk_ack` with these [first, last] ranges leaves to be sent; `ProtocolError` for ranges
    that are out of order, overlap or leave the file."""
    at = 0
    left: list[int] = []
    for first, last in received:
        if not at <= first <= last < total:
            raise malformed("ranges of chunks out of order")
        left += range(at, first)
        at = last + 1
    return [*left, *range(at, total)]
