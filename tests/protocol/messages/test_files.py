"""Files: totals fit sizes, spans of chunks rise."""

from typing import Any

from norc_actors.protocol import messages as m
from norc_actors.protocol.messages import files
from norc_actors.protocol.schema import Map
from tests.support.rules import Broken, accepted, each, keeps_to_its_form, refused, types_of

SPANS: Any = [((0, 1), (1, 2)), ((3, 2),), ((4, 5), (0, 1)), ((0,),), ((0, 1, 2),), ((0, 2**32),), ((-1, 0),)]

BROKEN: list[Broken] = [
    *((m.FileChunkAck, {"received": spans}) for spans in SPANS),
    (m.FileManifest, {"total": 2}),
    (m.FileManifest, {"size": 65536 * 2, "total": 1, "chunk_size": 65536}),
    (m.FileManifest, {"size": 0, "total": 0}),
    (m.FileManifest, {"chunk_size": 65535}),
    (m.FileManifest, {"chunk_size": 512 * 1024 + 1}),
    (m.FileManifest, {"name": ""}),
    (m.FileChunk, {"chunk_data": bytes(65536 + 15)}),
    (m.FileChunk, {"chunk_data": bytes(512 * 1024 + 17)}),
    (m.FileChunk, {"chunk_hash": bytes(31)}),
    (m.FileUploadRequest, {"total_chunks": 0}),
]


@types_of(files)
def test_every_type_keeps_to_its_form(kind: type[Map]) -> None:
    assert keeps_to_its_form(kind)


@each(BROKEN)
def test_a_broken_rule(kind: type[Map], changes: dict[str, object]) -> None:
    assert refused(kind, changes)


def test_a_file_has_as_many_chunks_as_its_size_needs() -> None:
    for size, total in ((0, 1), (1, 1), (65536, 1), (65537, 2), (131072, 2), (131073, 3)):
        accepted(m.FileManifest, size=size, total=total, chunk_size=65536)


def test_spans_rise() -> None:
    for spans in ((), ((0, 0),), ((0, 3), (5, 5), (7, 2**32 - 1))):
        accepted(m.FileChunkAck, received=spans)
