"""Trust along paths and what others recommend: a model of all paths, circles, expiry, both signs (rows B150, B151)."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norc_actors.limits import RELIABLE_SECONDS
from norc_actors.trust.relations import Standing, standing
from norc_actors.trust.validators import Evidence, Recommendation, Verdict
from norc_actors.trust.web import Edge, Opinion, WebOfTrust, counting, opinion, path_score, reach, weight
from tests.support.people import NOW
from tests.support.trust import party, records

NAMES = "abcdef"


def edge(pair, score=100, *, inherits=True):
    return Edge(truster=pair[0], trusted=pair[1], score=score, inherits=inherits)


def judged(edges, *said, inherit=True, server="z", now=NOW):
    evidence = Evidence(
        server=server, requested="verified", method="web_of_trust", server_key=b"k" * 32, recommendations=said
    )
    return WebOfTrust(own="a", edges=tuple(edges), inherit=inherit).judge(evidence, now)


def says(who, opinion="positive", confidence="high", level="verified", given=NOW, expires=NOW + 100):
    return Recommendation(
        recommender=who, opinion=opinion, confidence=confidence, level=level, given=given, expires=expires
    )


@pytest.mark.parametrize(
    ("score", "hops", "result"), [(100, 1, 95), (100, 2, 90), (100, 3, 85), (80, 2, 72), (99, 5, 76), (0, 1, 0)]
)
def test_the_formula(score, hops, result):
    assert path_score(score, hops) == result


def test_along_a_path_the_least_edge_counts():
    found = reach("a", [edge("ab", 90), edge("bc", 60), edge("cd", 80)], inherit=True)
    assert found == {"b": path_score(90, 1), "c": path_score(60, 2), "d": path_score(60, 3)}


def test_a_short_path_counts_before_a_better_long_one():
    edges = [edge("ab"), edge("bd"), edge("ac", 10), edge("cd"), edge("ad", 20)]
    assert reach("a", edges, inherit=True)["d"] == path_score(20, 1)
    assert reach("a", edges[:4], inherit=True)["d"] == path_score(100, 2)


def test_circles_end():
    ring = [edge(pair) for pair in ("ab", "bc", "ca", "cb", "ba", "aa")]
    assert reach("a", ring, inherit=True) == {"b": 95, "c": 90}


def test_no_further_than_the_limit():
    line = [edge(pair) for pair in itertools.pairwise("abcdefgh")]
    assert set(reach("a", line, inherit=True)) == set("bcdef")
    assert set(reach("a", line, inherit=True, max_hops=2)) == set("bc")


def test_inheritance_only_where_all_agree():
    edges = [edge("ab"), edge("bc", inherits=False), edge("cd")]
    assert set(reach("a", edges, inherit=True)) == {"b"}
    assert set(reach("a", [edge("ab", inherits=False), edge("bc")], inherit=True)) == {"b", "c"}
    assert set(reach("a", [edge("ab"), edge("bc")], inherit=False)) == {"b"}


def model(own, edges, max_hops):
    """Every simple path, written out; of each server's shortest ones the best."""
    best = {}

    def walk(path, least):
        for one in edges:
            if one.truster != path[-1] or one.trusted in path or (len(path) > 1 and not one.inherits):
                continue
            hops, score = len(path), min(least, one.score)
            known = best.get(one.trusted)
            if known is None or hops < known[0] or (hops == known[0] and score > known[1]):
                best[one.trusted] = (hops, score)
            if hops < max_hops:
                walk([*path, one.trusted], score)

    walk([own], 100)
    return {server: path_score(score, hops) for server, (hops, score) in best.items()}


EDGES = st.lists(
    st.builds(Edge, truster=st.sampled_from(NAMES), trusted=st.sampled_from(NAMES), score=st.integers(0, 100),
              inherits=st.booleans()),
    max_size=14,
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(edges=EDGES, max_hops=st.integers(1, 6))
def test_it_finds_what_the_model_finds(edges, max_hops):
    assert reach("a", edges, inherit=True, max_hops=max_hops) == model("a", edges, max_hops)


# --- Opinions ---

PATHS = [edge("ab", 100), edge("ac", 100), edge("ad", 40), edge("bz", 80)]


def points(verdict: Verdict) -> int:
    return verdict.points.get("reliability", 0)


def test_without_opinions_the_path_alone():
    assert judged(PATHS).level == "verified"  # 80 · 95² div 100² = 72
    assert judged(PATHS[:3]).level == "untrusted"
    assert points(judged(PATHS)) == 7


@pytest.mark.parametrize(("confidence", "adds"), [("low", 4), ("medium", 9), ("high", 19)])
def test_an_opinion_weighs_by_confidence_and_by_who_gives_it(confidence, adds):
    reached = reach("a", PATHS, inherit=True)
    assert weight(says("c", confidence=confidence), reached) == adds
    assert weight(says("c", "negative", confidence), reached) == -adds
    assert weight(says("d", confidence=confidence), reached) < adds
    for nothing in ("neutral", "declined"):
        assert weight(says("c", nothing, confidence), reached) == 0


def test_a_negative_opinion_takes_and_ends_verified():
    against = judged(PATHS, says("c", "negative", "low"))
    assert against.level == "basic"
    assert points(against) == 6
    assert any("negative" in line and "-4" in line for line in against.why)


def test_who_recommends_less_gives_less():
    assert judged(PATHS, says("c", level="basic")).level == "basic"
    assert judged(PATHS, says("c")).level == "verified"


def test_opinions_expire_and_the_newest_counts():
    reached = {"c": 100}
    old, new = says("c"), says("c", "negative", given=NOW + 1, expires=NOW + 50)
    assert counting([new, old], reached, NOW + 49) == {"c": new}
    assert counting([new, old], reached, NOW + 50) == {}  # an older one does not come back
    assert counting([old], reached, NOW + 100) == {}
    assert judged(PATHS, says("c", "negative"), now=NOW + 100).level == "verified"


def test_strangers_and_the_subject_itself_do_not_count():
    assert points(judged(PATHS, says("x"), says("z"))) == points(judged(PATHS))


def test_it_never_leaves_nought_to_a_hundred():
    friends = [edge(f"a{name}") for name in "bcdefghi"]
    assert points(judged([*friends, edge("bz")], *(says(name) for name in "cdefghi"))) == 10
    assert points(judged([*friends, edge("bz")], *(says(name, "negative") for name in "cdefghi"))) == 0


def test_without_inheritance_the_web_gives_nothing_and_says_so():
    verdict = judged(PATHS, says("c"), inherit=False)
    assert (verdict.level, verdict.points) == ("untrusted", {})
    assert "trust_inheritance is off" in verdict.why[0]


# --- What this server says itself ---

A, B = party("a.example"), party("b.example")


def asked(now=NOW, *, since=NOW, willing=True, wanted="verified", **about):
    about = about or {"issued": (A.grant(B),), "held": (B.grant(A),)}
    stands = standing(records(A, B, now=now, **about), now)
    return opinion(stands, since, willing=willing, wanted=wanted, now=now)


def test_own_opinions():
    assert asked(willing=False).recommendation == "declined"
    assert asked() == Opinion(recommendation="positive", confidence="low", level="verified")
    assert asked(since=NOW - RELIABLE_SECONDS // 9).confidence == "medium"
    assert asked(since=NOW - RELIABLE_SECONDS).confidence == "high"
    assert asked(wanted="nato") == Opinion(recommendation="neutral", confidence="low", level="verified")
    assert asked(wanted="basic").level == "basic"
    stranger = opinion(Standing(other=B.name, state="none"), None, willing=True, wanted="basic", now=NOW)
    assert stranger.recommendation == "neutral"


def test_whom_this_server_revoked_it_advises_against():
    mine, theirs = A.grant(B), B.grant(A)
    about = {"issued": (mine,), "held": (theirs,)}
    assert asked(revocations=(A.revoke(mine),), **about).recommendation == "negative"
    assert asked(revocations=(B.revoke(theirs),), **about).recommendation == "neutral"
