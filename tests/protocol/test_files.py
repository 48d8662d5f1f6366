"""Files: chunks that open nowhere else, manifests that fit, files that are what they were."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.crypto.errors import DecryptionFailedError
from norc_actors.crypto.suites import SUITES
from norc_actors.limits import FILE_CHUNK_LEAST, FILE_CHUNK_MOST
from norc_actors.protocol import files
from norc_actors.protocol.errors import ProtocolError
from tests.vectors.files import holds, recorded


@recorded("files", "refused_files")
def test_recorded(entry):
    assert holds(entry)


ID, OTHER = "3c89d714-9e0d-4397-8505-38a90ff51094", "3c89d714-9e0d-4397-8505-38a90ff51095"
KEY, SIZE = b"k" * 32, FILE_CHUNK_LEAST
ALL = pytest.mark.parametrize("suite", SUITES.values(), ids=str)


def manifest(suite, data: bytes, **changes):
    members = {
        "file_id": ID, "file_key": KEY, "size": len(data), "chunk_size": SIZE,
        "total": files.total_chunks(len(data), SIZE), "hash": suite.hash(data),
    }  # fmt: skip
    return SimpleNamespace(**(members | changes))


def seal_all(suite, data: bytes) -> list[bytes]:
    total = files.total_chunks(len(data), SIZE)
    sealer = files.FileSealer(suite, KEY, ID, total=total, chunk_size=SIZE)
    return [sealer.seal(index, data[index * SIZE : (index + 1) * SIZE]) for index in range(total)]


@ALL
@pytest.mark.parametrize("size", [0, 1, SIZE - 1, SIZE, SIZE + 1, 2 * SIZE + 5])
def test_a_file_arrives(suite, size):
    data = bytes(index % 251 for index in range(size))
    named, sealed = manifest(suite, data), seal_all(suite, data)
    assert {len(chunk) for chunk in sealed} == {SIZE + 16}
    opener, check = files.FileOpener(suite, named), files.FileCheck(suite, named)
    opened = {index: opener.open(index, sealed[index]) for index in reversed(range(len(sealed)))}
    for index in sorted(opened):
        check.feed(opened[index])
    check.finish()
    assert b"".join(opened[index] for index in sorted(opened)) == data


@ALL
def test_a_chunk_opens_at_its_place_alone(suite):
    data = b"x" * (2 * SIZE)
    named, sealed = manifest(suite, data), seal_all(suite, data)
    opener = files.FileOpener(suite, named)
    longer = files.FileOpener(suite, manifest(suite, data, size=2 * SIZE + 1, total=3))
    other = files.FileOpener(suite, manifest(suite, data, file_id=OTHER))
    for attempt in (
        lambda: opener.open(0, sealed[1]),
        lambda: longer.open(1, sealed[1]),  # its `last` and `total` differ
        lambda: other.open(0, sealed[0]),
        lambda: opener.open(0, sealed[0][:-1]),
        lambda: opener.open(0, sealed[0] + b"\0"),
        lambda: opener.open(0, bytes((sealed[0][0] ^ 1,)) + sealed[0][1:]),
    ):
        with pytest.raises(DecryptionFailedError):
            attempt()
    with pytest.raises(ProtocolError):
        opener.open(2, sealed[1])


@ALL
def test_nothing_hides_behind_the_end(suite):
    data = b"short"
    sealer = files.FileSealer(suite, KEY, ID, total=1, chunk_size=SIZE)
    hidden = sealer.seal(0, data + b"more")
    with pytest.raises(DecryptionFailedError, match="behind"):
        files.FileOpener(suite, manifest(suite, data)).open(0, hidden)


def test_an_index_is_sealed_once():
    sealer = files.FileSealer(SUITES["0101"], KEY, ID, total=2, chunk_size=SIZE)
    sealer.seal(0, bytes(SIZE))
    with pytest.raises(ValueError, match="was sealed"):
        sealer.seal(0, bytes(SIZE))
    for index, chunk in ((0, bytes(SIZE - 1)), (1, bytes(SIZE + 1))):
        with pytest.raises(ValueError, match="exactly"):
            sealer.seal(index, chunk)


@pytest.mark.parametrize(
    "changes",
    [
        {"total": 2}, {"total": 0}, {"size": -1}, {"chunk_size": SIZE - 1}, {"chunk_size": FILE_CHUNK_MOST + 1},
        {"file_key": b"k" * 31}, {"hash": b"h" * 33}, {"size": 2**60, "total": 2**44},
    ],
)  # fmt: skip
def test_manifests_that_fit_no_file(changes):
    suite = SUITES["0101"]
    with pytest.raises(ProtocolError):
        files.FileOpener(suite, manifest(suite, b"data", **changes))


@ALL
def test_another_file_is_noticed(suite):
    named = manifest(suite, b"what was sent")
    for fed in (b"what was seen", b"what was", b"what was sent, and more"):
        check = files.FileCheck(suite, named)
        check.feed(fed)
        with pytest.raises(DecryptionFailedError):
            check.finish()


def test_chunk_hash():
    suite = SUITES["0102"]
    files.check_chunk_hash(suite, b"data", suite.hash(b"data"))
    with pytest.raises(DecryptionFailedError):
        files.check_chunk_hash(suite, b"date", suite.hash(b"data"))


@given(st.sets(st.integers(0, 30)), st.integers(1, 31))
def test_what_is_missing(have, total):
    have = {index for index in have if index < total}
    ranges: list[tuple[int, int]] = []
    for index in sorted(have):
        if ranges and ranges[-1][1] == index - 1:
            ranges[-1] = (ranges[-1][0], index)
        else:
            ranges.append((index, index))
    assert files.missing(ranges, total) == [index for index in range(total) if index not in have]


@pytest.mark.parametrize("ranges", [[(1, 0)], [(0, 1), (1, 2)], [(2, 3), (0, 0)], [(0, 4)], [(-1, 0)]])
def test_ranges_that_make_no_sense(ranges):
    with pytest.raises(ProtocolError):
        files.missing(ranges, 4)
