"""NORC: home server, client library and the `norc` command; architecture in docs/architecture.md."""
