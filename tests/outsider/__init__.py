"""A client of its own, written from `docs/protocol/` alone: nothing here imports anything of this project.

| Module | Page it was written from |
|---|---|
| `forms.py`, `primitives.py` | values.md |
| `wire.py`, `sealed.py` | connection.md |
| `device.py`, `papers.py` | devices.md |
| `letters.py`, `talk.py` | messages.md |
| `harness.py` | tutorial.md, operations.md: starts a real node and the real `norc` as processes |

It is small, keeps nothing on a disk, and checks what the pages ask of a client. Where pages and client disagree, one of
them is wrong, and a test fails.
"""
