"""Negotiation: the vectors, every pair of majors, both orders, and what a downgrade looks like."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.versions import (
    NORC_C,
    NORC_F,
    NORC_T,
    Policies,
    check_choice,
    check_remembered,
    compatibility_table,
    negotiate,
    negotiate_pair,
    parse_version,
    remember,
    version_text,
)
from tests.vectors.files import holds, recorded
from tests.vectors.reading import Entry


@recorded("negotiate")
def test_recorded(entry: Entry) -> None:
    assert holds(entry)


@pytest.mark.parametrize("bridge", [False, True])
def test_every_pair_of_majors(bridge: bool) -> None:
    """Row B1: accepted iff the majors differ by at most 1 (by 0 without the bridge), in both orders."""
    for a, b in itertools.product(range(21), repeat=2):
        try:
            wire, compatibility = negotiate([f"{a}.0"], [f"{b}.0"], bridge)
        except ProtocolError as error:
            assert error.code is Code.NO_COMPATIBLE_VERSION  # noqa: PT017 - one of two outcomes
            assert abs(a - b) > (1 if bridge else 0)
        else:
            assert abs(a - b) <= (1 if bridge else 0)
            assert wire == f"{min(a, b)}.0"
            assert compatibility == (a != b)


_VERSIONS = st.builds("{}.{}".format, st.integers(0, 4), st.integers(0, 12))
_LISTS = st.lists(_VERSIONS, min_size=1, max_size=16)


def _result(client: list[str], server: list[str], bridge: bool) -> tuple[str, bool] | None:
    try:
        return negotiate(client, server, bridge)
    except ProtocolError:
        return None


@given(_LISTS, _LISTS, st.booleans(), st.randoms(use_true_random=False))
def test_order_chooses_nothing(client: list[str], server: list[str], bridge: bool, random: object) -> None:
    result = _result(client, server, bridge)
    assert _result(server, client, bridge) == result
    shuffled = list(client)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert _result(shuffled, server, bridge) == result


@given(_LISTS, _LISTS, st.booleans())
def test_what_is_chosen(client: list[str], server: list[str], bridge: bool) -> None:
    result = _result(client, server, bridge)
    common = set(map(parse_version, client)) & set(map(parse_version, server))
    if common:
        assert result is not None
        assert parse_version(result[0]) == max(common)
        assert _result(client, server, not bridge) == result
    elif not bridge:
        assert result is None
    if result is not None:
        highest = max(parse_version(text)[0] for text in client + server)
        assert result[1] == (parse_version(result[0])[0] != highest)
        check_choice(client, server, bridge, *result)
        for other in {*client, *server} - {result[0]}:
            with pytest.raises(ProtocolError) as caught:
                check_choice(client, server, bridge, other, result[1])
            assert caught.value.code is Code.DOWNGRADE
        with pytest.raises(ProtocolError):
            check_choice(client, server, bridge, result[0], not result[1])


def test_numbers_are_numbers() -> None:
    assert negotiate(["9.0", "10.0"], ["10.0", "9.0"])[0] == "10.0"
    assert negotiate(["2.9", "2.10"], ["2.10", "2.9"])[0] == "2.10"


@pytest.mark.parametrize(
    "text",
    ["v2.0", "2.0.0", "2", "02.0", "2.00", "2.", ".0", " 2.0", "2.0\n", "-1.0", "100000.0", "2.100000", "٢.0", ""],
)
def test_other_spellings(text: str) -> None:
    with pytest.raises(ProtocolError):
        parse_version(text)
    for lists in (([text], ["2.0"]), (["2.0", text], ["2.0"]), (["2.0"], ["2.0", text])):
        with pytest.raises(ProtocolError) as caught:
            negotiate(*lists)
        assert caught.value.code is Code.MALFORMED


@pytest.mark.parametrize("count", [0, 17])
def test_lists_of_wrong_length(count: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        negotiate(["2.0"] * count, ["2.0"])
    assert caught.value.code is Code.MALFORMED
    negotiate(["2.0"] * 16, ["2.0"])


@given(st.integers(0, 99999), st.integers(0, 99999))
def test_one_spelling(major: int, minor: int) -> None:
    assert parse_version(version_text((major, minor))) == (major, minor)


def test_remembered() -> None:
    check_remembered(None, "1.0")
    check_remembered("2.0", "2.0")
    check_remembered("1.9", "1.10")
    with pytest.raises(ProtocolError) as caught:
        check_remembered("2.0", "1.1")
    assert caught.value.code is Code.DOWNGRADE


@given(st.lists(_VERSIONS, min_size=1, max_size=6))
def test_the_highest_is_remembered(completed: list[str]) -> None:
    remembered: str | None = None
    for version in completed:
        remembered = remember(remembered, version)
    assert remembered is not None
    assert parse_version(remembered) == max(map(parse_version, completed))
    check_remembered(remembered, remembered)


# What each policy refuses, written out by hand: (our list, their list) → the result if nothing refuses, and the words
# that describe each refusal. "-" stands before a policy that refuses while it is unset.
POLICY_CASES: list[tuple[list[str], list[str], tuple[str, bool], set[str]]] = [
    (["2.0"], ["2.0"], ("2.0", False), set()),
    (["1.0", "1.1", "2.0"], ["1.0", "1.1"], ("1.1", True), {"-allow_downgrade"}),
    (["1.0", "1.1"], ["1.0", "1.1", "2.0"], ("1.1", True), set()),
    (["2.0"], ["1.1"], ("1.1", True), {"-allow_amc_bridge", "-allow_downgrade"}),
    (["1.1"], ["2.0"], ("1.1", True), {"-allow_amc_bridge"}),
    (["2.0", "2.1"], ["2.0"], ("2.0", False), {"require_latest_minor"}),
    (["2.0"], ["2.0", "2.1"], ("2.0", False), set()),
    (["1.0", "1.1", "2.0"], ["1.0"], ("1.0", True), {"-allow_downgrade", "require_latest_minor"}),
    (["1.0", "3.0"], ["1.0"], ("1.0", True), {"enforce_amc", "-allow_downgrade"}),
    (["1.0"], ["1.0", "3.0"], ("1.0", True), {"enforce_amc"}),
    (["1.0", "1.2", "3.0"], ["1.0", "1.1"], ("1.0", True), {"enforce_amc", "-allow_downgrade", "require_latest_minor"}),
    (["2.0", "2.2"], ["2.1"], ("2.1", False), {"-allow_amc_bridge", "require_latest_minor"}),
]


@pytest.mark.parametrize("case", POLICY_CASES, ids=lambda case: f"{','.join(case[0])} and {','.join(case[1])}")
@pytest.mark.parametrize("settings", list(itertools.product((False, True), repeat=4)))
def test_every_combination_of_policies(
    case: tuple[list[str], list[str], tuple[str, bool], set[str]], settings: tuple[bool, ...]
) -> None:
    """Row B14: all 16 combinations over every kind of pair of lists."""
    ours, theirs, result, refusals = case
    names = ("enforce_amc", "allow_downgrade", "require_latest_minor", "allow_amc_bridge")
    chosen = dict(zip(names, settings, strict=True))
    refused = any(chosen[word.lstrip("-")] != word.startswith("-") for word in refusals)
    if refused:
        with pytest.raises(ProtocolError) as caught:
            Policies(**chosen).negotiate(ours, theirs)
        assert caught.value.code is Code.NO_COMPATIBLE_VERSION
    else:
        assert Policies(**chosen).negotiate(ours, theirs) == result


@given(_LISTS, _LISTS, st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()))
def test_policies_only_refuse(ours: list[str], theirs: list[str], settings: tuple[bool, ...]) -> None:
    amc, downgrade, minor, bridge = settings
    policies = Policies(enforce_amc=amc, allow_downgrade=downgrade, require_latest_minor=minor, allow_amc_bridge=bridge)
    try:
        result = policies.negotiate(ours, theirs)
    except ProtocolError as error:
        assert error.code is Code.NO_COMPATIBLE_VERSION  # noqa: PT017 - one of two outcomes
    else:
        assert result == _result(ours, theirs, bridge)


def test_pairs_of_servers() -> None:
    """Row B9: both versions of a link, each from its own lists, never further apart than one major."""
    pair = negotiate_pair((NORC_F, NORC_T), (("1.2", "2.0"), ("1.0", "1.1")))
    assert (pair.norc_f, pair.norc_t, pair.compatibility_mode) == ("2.0", "1.1", False)
    older = negotiate_pair((NORC_F, NORC_T), (("1.0", "1.2"), ("1.0",)))
    assert (older.norc_f, older.norc_t, older.compatibility_mode) == ("1.2", "1.0", True)
    for ours, theirs in (
        ((["2.0"], ["1.1"]), (["1.2"], ["1.1"])),  # no norc_f in common
        ((["2.0"], ["1.1"]), (["2.0"], ["1.0"])),  # no norc_t in common
        ((["3.0"], ["1.1"]), (["3.0"], ["1.1"])),  # each for itself, but no pair
    ):
        with pytest.raises(ProtocolError) as caught:
            negotiate_pair(ours, theirs)
        assert caught.value.code is Code.PROTOCOL_VERSION
    with pytest.raises(ProtocolError) as caught:
        negotiate_pair((["2"], ["1.1"]), (["2.0"], ["1.1"]))
    assert caught.value.code is Code.MALFORMED
    assert negotiate_pair((["2.0"], ["1.1"]), (["1.2"], ["1.1"]), Policies(allow_amc_bridge=True)).norc_f == "1.2"


@pytest.mark.parametrize("f", range(5))
@pytest.mark.parametrize("t", range(5))
def test_every_pair_of_majors_between_servers(f: int, t: int) -> None:
    lists = ([f"{f}.0"], [f"{t}.0"])
    if abs(f - t) <= 1:
        assert negotiate_pair(lists, lists).norc_t == f"{t}.0"
    else:
        with pytest.raises(ProtocolError):
            negotiate_pair(lists, lists)


def test_the_published_table_is_the_rule() -> None:
    """Row B3."""
    table = {(client, server): outcome for client, server, outcome in compatibility_table(NORC_C)}
    assert len(table) == len(NORC_C) ** 2
    assert table["2.0", "2.0"] == "spoken: 2.0"
    assert table["1.1", "2.0"] == "with `allow_amc_bridge`: 1.1, compatibility mode"
    assert table["1.0", "1.1"] == "with `allow_amc_bridge`: 1.0"
    assert {row[2] for row in compatibility_table(["1.0", "3.0"])} == {"spoken: 1.0", "spoken: 3.0", "refused"}
