"""Pure cryptography over bytes: no maps, no clock, no I/O; randomness is passed in (`norc_actors.ids.Random`).

| module | what it owns |
|---|---|
| labels | the closed lists of signature and derivation labels |
| layout | integers, `len‖x`, AAD_v1 |
| hkdf | HMAC and HKDF over BLAKE3 and SHA-256, raw; used through suites |
| suites | the table of four suites; hash, HKDF, AEAD under one of them |
| signatures | labelled Ed25519 and P-256 |
| kem | X25519 and ML-KEM-768 |
| kem_providers | which library computes ML-KEM-768 |
| sessions | the end-to-end key schedule, wraps and content |
| padding | size buckets of messages |
| passphrase | Argon2id |
| pseudonym | users' names in the audit log |
| secret | bytes that do not show themselves |
| errors | what can go wrong, one type per kind |
"""
