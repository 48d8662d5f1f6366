"""Files: the manifest inside an end-to-end message, and the sealed chunks that a server carries (fields.md; section 6;
D-13)."""

from itertools import pairwise
from typing import Annotated

from norc_actors.limits import FILE_CHUNK_LEAST, FILE_CHUNK_MOST
from norc_actors.protocol.errors import malformed
from norc_actors.protocol.frames import TAG_BYTES
from norc_actors.protocol.schema import (
    Bound,
    Bytes32,
    ConversationUuid,
    Count,
    Message,
    Range,
    Seconds,
    Uint32,
    Unit,
    Uuid,
)

from .message import Classification
from .vocabulary import ChunkSize, Name, Url

ChunkCount = Annotated[int, Range(1, 2**32 - 1)]
ChunkData = Annotated[bytes, Bound(FILE_CHUNK_LEAST + TAG_BYTES, FILE_CHUNK_MOST + TAG_BYTES)]
"""A chunk with its tag; the last one is padded, so all of a file have one size."""
Span = Annotated[tuple[Uint32, ...], Bound(2, 2)]
"""[first, last] index of chunks in a row."""


class FileManifest(Message, frozen=True, kw_only=True, omit_defaults=True, tag="file_manifest"):
    """All that only the recipients know of a file: key, name, true size. Body of an end-to-end message, never a
    frame."""

    file_id: Uuid
    file_key: Bytes32
    name: Annotated[str, Bound(1, 1024)]
    mime: Name
    size: Annotated[Count, Unit("bytes")]
    chunk_size: ChunkSize
    total: ChunkCount
    hash: Bytes32
    classification: Classification

    def _rule(self) -> None:
        """`total` is max(1, ⌈`size` / `chunk_size`⌉)."""
        if self.total != max(1, -(-self.size // self.chunk_size)):
            raise malformed("FileManifest.total is not what size and chunk_size give")


class FileUploadRequest(Message, frozen=True, kw_only=True, omit_defaults=True, tag="file_upload_request"):
    """Announces the chunks of a file, and all that a server learns of it."""

    file_id: Uuid
    conversation_id: ConversationUuid
    chunk_size: ChunkSize
    total_chunks: ChunkCount
    classification: Classification


class FileChunk(Message, frozen=True, kw_only=True, omit_defaults=True, tag="file_chunk"):
    """One sealed chunk, up or down."""

    file_id: Uuid
    chunk_index: Uint32
    chunk_data: ChunkData
    chunk_hash: Bytes32


class FileChunkAck(Message, frozen=True, kw_only=True, omit_defaults=True, tag="file_chunk_ack"):
    """Which chunks are there, as spans [first, last] in rising order: where an upload or a download goes on."""

    file_id: Uuid
    received: tuple[Span, ...]

    def _rule(self) -> None:
        """Spans of `received` rise, do not overlap, and end where they begin or later."""
        if any(first > last for first, last in self.received):
            raise malformed("FileChunkAck.received has a span that ends before it begins")
        if any(before[1] >= after[0] for before, after in pairwise(self.received)):
            raise malformed("FileChunkAck.received is not in rising order")


class FileUploadComplete(Message, frozen=True, kw_only=True, omit_defaults=True, tag="file_upload_complete"):
    """All chunks are there; until when, and where from."""

    file_id: Uuid
    download_path: Url
    expires_at: Seconds


class FileDownloadRequest(Message, frozen=True, kw_only=True, omit_defaults=True, tag="file_download_request"):
    """Asks for the chunks from an index on."""

    file_id: Uuid
    from_index: Uint32
