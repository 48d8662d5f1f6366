"""The protocol as pure rules: no sockets, no clock, no randomness of its own; docs/protocol/README.md is the thread.

| module | what it owns |
|---|---|
| errors | the registry of error codes; `ProtocolError`, the only thing that bad input raises |
| canonical, codec, json_form | plain values and their canonical form; strict readers of both encodings |
| encodings, json_frames | MessagePack and JSON behind one interface; frames and sessions in JSON |
| schema, messages/, registry | structs that cannot be half valid; type codes |
| signed | which signature covers which member |
| frames | v1, v2 and federation frames, whole or from a stream |
| versions, server_keys, handshake | what both ends agree on before the first sealed frame |
| translation | what 1.x keeps, drops and renames |
| sealed, states, auth | the sealed session, which type may come when, which device this is |
| devices, prekeys, enrolment, revocation, fingerprint, escrow | users, their devices and keys |
| sessions, sealing, opening, chains | end-to-end encryption |
| conversations, receipts, delivery | signed states, receipts, what is carried to whom |
| files, calls | sealed chunks, media packets |
| links, federation_handshake, link_states | two servers, until they may speak |
| batches, relay, relay_cache | what they carry: signed, checked in one order, once |
| trust_levels, trust_transcript | what trust allows, and how it is agreed on |
| audit_chain | the log that nobody can shorten unseen |
| buckets | rate limits |
| inspection | a captured frame, field by field |
"""
