"""Labels: closed lists in which no label begins another, and nothing without one."""

import pytest

from norc_actors.crypto import labels
from norc_actors.crypto.errors import UnlabelledError


def test_the_list_of_labels():
    assert all(label.endswith(":v1") for label in labels.SIGN_LABELS)
    assert all(label.startswith(b"norc:") and label.endswith(b":v1") for label in labels.KDF_LABELS)
    prefixes = [labels.signing_input(label, b"") for label in sorted(labels.SIGN_LABELS)]
    assert not [a for a in prefixes for b in prefixes if a is not b and b.startswith(a)]
    assert not [a for a in labels.KDF_LABELS for b in labels.KDF_LABELS if a != b and b.startswith(a)]


@pytest.mark.parametrize("label", ["", "auth", "auth:v2", "norc:auth:v1", "trust-TYPE:v1"])
def test_what_is_not_listed_signs_nothing(label):
    with pytest.raises(UnlabelledError):
        labels.signing_input(label, b"")


@pytest.mark.parametrize(
    "info", [b"", b":v1", b"norc:v1", b"norc:wrap", b"norc:wrap:v2", b"xnorc:wrap:v1", b"norc:x:v1"]
)
def test_what_is_not_listed_derives_nothing(info):
    with pytest.raises(UnlabelledError):
        labels.check_info(info)


def test_what_follows_a_label_is_free():
    assert labels.check_info(b"norc:wrap:v1" + b"norc:x:v1") == b"norc:wrap:v1norc:x:v1"
    assert labels.signing_input("auth:v1", b"body") == b"norc:auth:v1\0body"
