"""The encrypted profile: what it promises of commits, secrets, locks, schemas and disks."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from norc_actors.client.errors import (
    DiskFullError,
    PassphraseError,
    ProfileDamagedError,
    ProfileExistsError,
    ProfileInUseError,
    ProfileMissingError,
    ProfileTooNewError,
)
from norc_actors.client.profile import SCHEMA, Profile, Write, create_profile, open_profile
from norc_actors.client.vault import Unlock, Vault, place
from norc_actors.crypto.errors import DecryptionFailedError
from norc_actors.crypto.passphrase import Cost

CHEAP = Cost(memory_kib=64, passes=1, lanes=1)
KEY = Unlock(key_file=b"k" * 32)
WORDS = Unlock(passphrase="correct horse")


def make(path: Path, unlock: Unlock = KEY) -> Profile:
    return create_profile(path, unlock, os.urandom, CHEAP)


def put(key: str, value: bytes, kind: str = "note") -> Write:
    return Write(kind=kind, key=key, value=value)


def test_records_come_back_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "a.norc"
    profile = make(path)
    profile.commit([put("one", b"1"), put("two", b"2"), Write(kind="outbox", key=7, value=b"seven")])
    profile.commit([put("one", b"11"), Write(kind="note", key="two", value=None)])
    profile.close()
    profile = open_profile(path, KEY, os.urandom)
    assert profile.get("note", "one") == b"11"
    assert profile.get("note", "two") is None
    assert profile.scan("note") == [b"11"]
    assert profile.queue("outbox", 0, 10) == [(7, b"seven")]
    assert profile.last_sequence("outbox") == 7
    assert profile.last_sequence("inbox") == 0
    profile.close()


def test_file_shows_nothing_in_clear(tmp_path: Path) -> None:
    path = tmp_path / "a.norc"
    profile = make(path)
    profile.commit([put("bob@example.org", b"MARKER-CONTENT", kind="pin-kind")])
    profile.commit([Write(kind="inbox", key=1, value=b"MARKER-QUEUE")])
    everything = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    profile.close()
    everything += path.read_bytes()
    for marker in (b"MARKER", b"bob@", b"pin-kind"):
        assert marker not in everything
    assert path.stat().st_mode & 0o077 == 0


def test_header_parses_with_an_independent_reader(tmp_path: Path) -> None:
    path = tmp_path / "a.norc"
    make(path, WORDS).close()
    header = msgpack.unpackb(sqlite3.connect(path).execute("SELECT value FROM header").fetchone()[0])
    assert header["version"] == SCHEMA
    assert header["cost"] == {"memory_kib": 64, "passes": 1, "lanes": 1}


@pytest.mark.parametrize("other", [Unlock(passphrase="wrong"), KEY])
def test_wrong_secret_for_a_passphrase(tmp_path: Path, other: Unlock) -> None:
    path = tmp_path / "a.norc"
    make(path, WORDS).close()
    with pytest.raises(PassphraseError):
        open_profile(path, other, os.urandom)
    open_profile(path, WORDS, os.urandom).close()


@pytest.mark.parametrize("other", [Unlock(key_file=b"x" * 32), WORDS])
def test_wrong_secret_for_a_key_file(tmp_path: Path, other: Unlock) -> None:
    path = tmp_path / "a.norc"
    make(path).close()
    with pytest.raises(PassphraseError):
        open_profile(path, other, os.urandom)


def test_missing_existing_and_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "a.norc"
    with pytest.raises(ProfileMissingError):
        open_profile(path, KEY, os.urandom)
    path.touch()
    with pytest.raises(ProfileMissingError):
        open_profile(path, KEY, os.urandom)
    make(path).close()
    with pytest.raises(ProfileExistsError):
        make(path)
    (tmp_path / "text").write_bytes(b"no database at all, but long enough to look at" * 40)
    with pytest.raises(ProfileDamagedError):
        open_profile(tmp_path / "text", KEY, os.urandom)
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE t (x)")
    other.close()
    before = (tmp_path / "other.db").read_bytes()
    with pytest.raises(ProfileDamagedError):
        open_profile(tmp_path / "other.db", KEY, os.urandom)
    with pytest.raises(ProfileExistsError):
        make(tmp_path / "other.db")
    assert (tmp_path / "other.db").read_bytes() == before


def test_newer_schema_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "a.norc"
    make(path).close()
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    database.close()
    before = path.read_bytes()
    with pytest.raises(ProfileTooNewError, match="schema 2"):
        open_profile(path, KEY, os.urandom)
    assert path.read_bytes() == before


def test_second_opening_is_refused_in_this_and_another_process(tmp_path: Path) -> None:
    path = tmp_path / "a.norc"
    profile = make(path)
    with pytest.raises(ProfileInUseError):
        open_profile(path, KEY, os.urandom)
    with pytest.raises(ProfileInUseError):
        make(path)
    program = f"""
        import os
        from pathlib import Path
        from norc_actors.client.errors import ProfileInUseError
        from norc_actors.client.profile import open_profile
        from norc_actors.client.vault import Unlock
        try:
            open_profile(Path({str(path)!r}), Unlock(key_file=b"k" * 32), os.urandom)
        except ProfileInUseError:
            print("in use")
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert run.stdout == "in use\n"
    profile.commit([put("still", b"mine")])
    profile.close()
    profile = open_profile(path, KEY, os.urandom)
    assert profile.get("note", "still") == b"mine"
    profile.close()


def test_full_disk_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.norc"
    profile = make(path)
    profile.commit([put("kept", b"kept")])
    pages = profile._db.execute("PRAGMA page_count").fetchone()[0]  # noqa: SLF001
    profile._db.execute(f"PRAGMA max_page_count = {pages + 2}")  # noqa: SLF001
    with pytest.raises(DiskFullError):
        profile.commit([put("kept", b"changed"), *(put(str(n), os.urandom(4000)) for n in range(20))])
    assert profile.get("note", "kept") == b"kept"
    assert len(profile.scan("note")) == 1
    profile._db.execute("PRAGMA max_page_count = 1000000")  # noqa: SLF001
    profile.commit([put("after", b"space again")])
    profile.close()
    profile = open_profile(path, KEY, os.urandom)
    assert len(profile.scan("note")) == 2
    profile.close()


def test_kill_leaves_every_commit_that_returned(tmp_path: Path) -> None:
    path = tmp_path / "a.norc"
    make(path).close()
    program = f"""
        import os
        from pathlib import Path
        from norc_actors.client.profile import open_profile, Write
        from norc_actors.client.vault import Unlock
        profile = open_profile(Path({str(path)!r}), Unlock(key_file=b"k" * 32), os.urandom)
        for n in range(1, 100000):
            count = Write(kind="n", key="n", value=str(n).encode())
            profile.commit([Write(kind="inbox", key=n, value=b"x" * 300), count])
            print(n, flush=True)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    said = 0
    for line in child.stdout:
        said = int(line)
        if said == 150:
            child.send_signal(signal.SIGKILL)
    child.stdout.close()
    child.wait()
    profile = open_profile(path, KEY, os.urandom)
    stored = [seq for seq, _ in profile.queue("inbox", 0, 100000)]
    assert stored == list(range(1, len(stored) + 1))
    assert len(stored) >= said
    assert profile.get("n", "n") == str(len(stored)).encode()
    profile.close()


def test_prune_deletes_what_has_passed(tmp_path: Path) -> None:
    profile = make(tmp_path / "a.norc")
    profile.commit([Write(kind="seen", key=str(day), value=b"x", expires=day) for day in (0, 5, 6, 7)])
    profile.prune(6)
    assert [day for day in (0, 5, 6, 7) if profile.get("seen", str(day))] == [0, 6, 7]
    profile.close()


def test_record_moved_to_another_place_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.norc"
    profile = make(path)
    profile.commit([put("one", b"1"), put("two", b"2")])
    rows = profile._db.execute("SELECT key, value FROM items").fetchall()  # noqa: SLF001
    profile._db.execute("UPDATE items SET value = ? WHERE key = ?", (rows[0][1], rows[1][0]))  # noqa: SLF001
    with pytest.raises(ProfileDamagedError):
        profile.scan("note")
    profile.close()


@given(plaintext=st.binary(max_size=300), flip=st.integers(min_value=0, max_value=10**6))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_vault_opens_what_it_sealed_and_nothing_else(plaintext: bytes, flip: int) -> None:
    vault = Vault(b"d" * 32, os.urandom)
    here = place(b"items", vault.kind_tag("a"), vault.key_tag("a", "k"))
    sealed = vault.seal(here, plaintext)
    assert vault.open(here, sealed) == plaintext
    assert vault.seal(here, plaintext) != sealed
    assert Vault(b"d" * 32, os.urandom).open(here, sealed) == plaintext
    broken = bytearray(sealed)
    broken[flip % len(sealed)] ^= 1 + flip % 255
    for wrong_place, value in ((here, bytes(broken)), (place(b"items", b"", b""), sealed), (here, sealed[:20])):
        with pytest.raises(DecryptionFailedError):
            vault.open(wrong_place, value)
