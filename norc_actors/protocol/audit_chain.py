"""The hash chain of the audit log and the root that is signed each day (section 10; §6.3; rows `B157`, `B159`).

```
genesis    = BLAKE3("norc:audit:genesis:v1" ‖ len‖node_id)        entry_hash = BLAKE3(prev_hash ‖ canonical_entry)
audit_root = {server_id, date, heads[{node_id, count, entry_hash}], signature: audit-root:v1}
```
Rules
- Always BLAKE3, whatever suite the node is configured for: an auditor has one rule.
- `canonical_entry` = canonical(the event with its number `seq`, users as pseudonyms, without prev_hash and entry_hash).
- A chain proves order and completeness up to its head; that the head itself was not cut back, only a signed root of a
  later day proves.
- One entry of `heads` per node, sorted by node_id, none twice.
"""

from collections.abc import Iterable, Mapping, Sequence

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.hkdf import blake3
from norc_actors.crypto.layout import lv
from norc_actors.crypto.signatures import Signer, verify

from .canonical import Value, canonical
from .schema import SignedMap

Head = tuple[str, int, bytes]
"""(node_id, number of entries, entry_hash of the last one)."""


def genesis(node_id: str) -> bytes:
    """The `prev_hash` of a node's first entry."""
    return blake3(b"norc:audit:genesis:v1" + lv(node_id.encode()))


def canonical_entry(event: Mapping[str, Value], seq: int) -> bytes:
    """What is stored and hashed: the event with its number, from 1."""
    return canonical({**event, "seq": seq}, less=("prev_hash", "entry_hash"))


def entry_hash(prev_hash: bytes, entry: bytes) -> bytes:
    """The hash of a canonical entry that follows `prev_hash`."""
    return blake3(prev_hash + entry)


def head_of(node_id: str, entries: Iterable[bytes]) -> bytes:
    """The hash of the last of these canonical entries, counted from the genesis."""
    head = genesis(node_id)
    for entry in entries:
        head = entry_hash(head, entry)
    return head


def make_root(server_key: Signer, server_id: str, date: str, heads: Sequence[Head]) -> SignedMap:
    """The signed `audit_root` of a day (YYYY-MM-DD of UTC) over the heads of all nodes."""
    ordered: list[Value] = [
        {"node_id": node, "count": count, "entry_hash": digest} for node, count, digest in sorted(heads)
    ]
    if len({node for node, _, _ in heads}) != len(heads):
        raise ValueError("a node has one head")
    root: SignedMap = {"type": "audit_root", "server_id": server_id, "date": date, "heads": ordered}
    root["signature"] = server_key.sign("audit-root:v1", canonical(root))
    return root


def verify_root(root: SignedMap, server_key: bytes) -> None:
    """`BadSignatureError` unless the server's identity key signed this root."""
    signature = root.get("signature")
    if not isinstance(signature, bytes):
        raise BadSignatureError("an audit root without signature")
    verify(server_key, "audit-root:v1", canonical(root, less=("signature",)), signature)
