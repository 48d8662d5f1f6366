"""What goes wrong with input is one family; a mistake of the program is none of it."""

import pytest

from norc_actors.crypto import errors
from norc_actors.crypto.labels import signing_input


@pytest.mark.parametrize("kind", [errors.BadSignatureError, errors.DecryptionFailedError, errors.BadKeyError])
def test_bad_input_is_caught_as_one_kind(kind):
    with pytest.raises(errors.CryptoError):
        raise kind("why")


def test_a_missing_label_passes_every_handler_of_bad_input():
    assert not issubclass(errors.UnlabelledError, errors.CryptoError)
    with pytest.raises(AssertionError, match="unheard-of"):
        signing_input("unheard-of:v1", b"")
