"""Every error says what happened and what to do next, under a code of its own."""

import inspect

from norc_actors.client import errors
from norc_actors.client.connection import LostError
from norc_actors.client.sent import WORDS


def kinds() -> list[type[errors.ClientError]]:
    found = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.ClientError)]
    return [*found, LostError]


def test_codes_are_there_once_and_advice_is_a_sentence() -> None:
    codes = [kind.code for kind in kinds()]
    assert len(codes) == len(set(codes))
    for kind in kinds():
        assert kind.default_advice.endswith(".")
        assert kind.__doc__
    assert set(errors.__all__) == {kind.__name__ for kind in kinds() if kind is not LostError}


def test_the_text_is_what_happened_and_then_what_to_do() -> None:
    error = errors.UnreachableError("No connection.")
    assert str(error) == f"No connection. {error.advice}"
    assert errors.RateLimitedError("Too much.", 7).advice == "Try again in 7 s."
    assert "3600 s ahead of" in str(errors.ClockWrongError(3600))
    assert "5 s behind" in str(errors.ClockWrongError(-5))
    failed = errors.SendFailedError("id", "left", "Gone.", "Ask.", 2001)
    assert (failed.message_id, failed.cause, failed.error_code, failed.advice) == ("id", "left", 2001, "Ask.")


def test_causes_of_failure_are_put_into_words() -> None:
    for cause, (what, advice) in WORDS.items():
        assert cause.islower()
        assert what.endswith(".")
        assert advice.endswith(".")
