"""What the body of an end-to-end message is, by its message_type (fields.md; section 6); `text` has no map."""

from norc_actors.protocol.schema import Map

from .calls import CallInviteBody
from .files import FileManifest
from .message import SystemBody

BODIES: dict[str, type[Map]] = {
    "image": FileManifest,
    "video": FileManifest,
    "audio": FileManifest,
    "file": FileManifest,
    "voice": FileManifest,
    "call_invite": CallInviteBody,
    "system": SystemBody,
}
"""The struct of every body that is a map; a `file_manifest` keeps its `type` inside too."""
