"""The web of trust: trust along a path of servers, and what they recommend (section 9; rows B150, B151).

```
path score  = s · 95^h div 100^h          h edges on the shortest path, s the least score of an edge on it
web score   = path score + opinions       within 0 … 100
opinion     = ± c · p div 100             c by confidence: low 5, medium 10, high 20; p the path score of who gives it
```
Rules
- Edges are grants that somebody signed, with a score; this server's own edges are its relations, others' are what
  they recommend. Of several shortest paths the best counts. A path has at most `MAX_TRUST_HOPS` edges and no circle.
- Trust is inherited only where all agree: this server's policy (`trust_inheritance`), and that of every server in
  between. Both are false unless an operator says otherwise; then the web gives nothing.
- An opinion counts once for each server, the newest alone, until it expires, and only of servers that a path reaches.
  Against counts as much as for. Who declines says nothing.
- A web gives points and at most `verified`; it proves neither a key nor an organisation.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from norc_actors.ids import ServerId
from norc_actors.limits import MAX_TRUST_HOPS, RELIABLE_SECONDS
from norc_actors.protocol.trust_levels import LEVELS, TrustLevel, at_least

from .relations import Standing
from .scoring import THRESHOLDS
from .validators import WEB, WEIGHTS, Criterion, Evidence, Recommendation, Verdict

OPINIONS: Final[Mapping[str, int]] = MappingProxyType({"positive": 1, "negative": -1})
CONFIDENCE: Final[Mapping[str, int]] = MappingProxyType({"low": 5, "medium": 10, "high": 20})
LEVEL_SCORES: Final[Mapping[TrustLevel, int]] = MappingProxyType(
    {"untrusted": 0, "basic": 50, "verified": 75, "classified": 90, "nato": 100}
)
"""The score of an edge of which only the level is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`truster` trusts `trusted` with a score of 0 to 100. `inherits`: whether the truster lets others build on it."""

    truster: ServerId
    trusted: ServerId
    score: int
    inherits: bool = False


def path_score(score: int, hops: int) -> int:
    """`score · 95^h div 100^h`."""
    return int(score * 95**hops // 100**hops)


def reach(
    own: ServerId, edges: Iterable[Edge], *, inherit: bool, max_hops: int = MAX_TRUST_HOPS
) -> dict[ServerId, int]:
    """The path score of every server that a path leads to. Without `inherit`: of this server's own relations alone.

    Level by level from this server on, each server once, at its shortest distance: circles end by themselves.
    """
    outgoing: dict[ServerId, list[Edge]] = {}
    for edge in edges:
        outgoing.setdefault(edge.truster, []).append(edge)
    found: dict[ServerId, int] = {}
    frontier = {own: 100}
    seen = {own}
    for hops in range(1, max_hops + 1):
        following: dict[ServerId, int] = {}
        for server, least in frontier.items():
            for edge in outgoing.get(server, ()):
                if edge.trusted not in seen and (server == own or edge.inherits):
                    score = min(least, max(0, min(100, edge.score)))
                    following[edge.trusted] = max(following.get(edge.trusted, 0), score)
        if not following:
            break
        found.update({server: path_score(score, hops) for server, score in following.items()})
        seen |= following.keys()
        frontier = following if inherit else {}
    return found


def counting(
    recommendations: Iterable[Recommendation], reached: Mapping[ServerId, int], now: float
) -> dict[ServerId, Recommendation]:
    """The newest opinion of each server that a path reaches, unless it has expired."""
    newest: dict[ServerId, Recommendation] = {}
    for one in sorted(recommendations, key=lambda each: each.given):
        newest[one.recommender] = one
    return {server: one for server, one in newest.items() if one.expires > now and server in reached}


def weight(one: Recommendation, reached: Mapping[ServerId, int]) -> int:
    """What an opinion adds or takes."""
    return OPINIONS.get(one.opinion, 0) * (CONFIDENCE[one.confidence] * reached[one.recommender] // 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebOfTrust:
    """The web as this server knows it; one value per judgement, made of the records of the moment."""

    own: ServerId
    edges: tuple[Edge, ...]
    inherit: bool = False
    name: str = WEB
    highest: TrustLevel = "verified"

    def judge(self, evidence: Evidence, now: float) -> Verdict:
        """`verified` from a web score of 70 on if nobody who counts speaks against it, or for less, `basic` from 50."""
        reached = reach(self.own, self.edges, inherit=self.inherit)
        base = reached.get(evidence.server, 0)
        said = counting(evidence.recommendations, reached, now)
        said.pop(evidence.server, None)  # of itself
        points = {server: weight(one, reached) for server, one in said.items()}
        why = [self._path_words(evidence.server, base)]
        for server, one in sorted(said.items()):
            why.append(f"{server}, {one.opinion}, {one.confidence} confidence, {one.level}: {points[server]:+d}.")
        if not self.inherit:
            return Verdict(validator=self.name, why=tuple(why))
        score = max(0, min(100, base + sum(points.values())))
        why.append(f"The web of trust gives it {score} of 100.")
        unanimous = all(each >= 0 for each in points.values()) and all(
            at_least(one.level, "verified") for server, one in said.items() if points[server] > 0
        )
        level: TrustLevel = "untrusted"
        if score >= THRESHOLDS["verified"] and unanimous:
            level = "verified"
        elif score >= LEVEL_SCORES["basic"]:
            level = "basic"
        given: dict[Criterion, int] = {"reliability": score * WEIGHTS["reliability"] // 100}
        return Verdict(validator=self.name, level=level, points=given, why=tuple(why))

    def _path_words(self, server: ServerId, base: int) -> str:
        if base:
            return f"A path of trust leads to {server}: {base} of 100."
        if not self.inherit:
            return "Trust is not inherited here (trust_inheritance is off)."
        return f"No path of trust leads to {server}."


def edges_of(
    recommendations: Iterable[tuple[ServerId, Recommendation]], inherits: Collection[ServerId], now: float
) -> list[Edge]:
    """(subject, recommendation) as edges: who recommends a server trusts it, up to the level that it recommends."""
    return [
        Edge(
            truster=one.recommender,
            trusted=subject,
            score=LEVEL_SCORES[one.level],
            inherits=one.recommender in inherits,
        )
        for subject, one in recommendations
        if one.opinion == "positive" and one.expires > now
    ]


# --- What this server says when it is asked ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """As `trust_recommendation_response` has it."""

    recommendation: Literal["positive", "negative", "neutral", "declined"]
    confidence: Literal["low", "medium", "high"]
    level: TrustLevel


def opinion(standing: Standing, since: int | None, *, willing: bool, wanted: TrustLevel, now: float) -> Opinion:
    """This server's opinion of a third: `declined` unless its operator lets it speak (`willing`), `negative` of one
    whose trust it revoked, `neutral` of one it does not know, else `positive`, up to the level that it granted. It is
    the surer the longer there has been a relation."""
    if not willing:
        return Opinion(recommendation="declined", confidence="low", level="untrusted")
    if standing.state == "revoked" and standing.keys is None:
        return Opinion(recommendation="negative", confidence="high", level="untrusted")
    if standing.state != "trusted" or standing.ingress is None:
        return Opinion(recommendation="neutral", confidence="low", level="untrusted")
    granted = standing.ingress.relation.level
    level = min(granted, wanted, key=LEVELS.index)
    age = 0 if since is None else now - since
    confidence: Literal["low", "medium", "high"] = "low"
    if age >= RELIABLE_SECONDS:
        confidence = "high"
    elif age >= RELIABLE_SECONDS / 9:
        confidence = "medium"
    kind: Literal["positive", "neutral"] = "positive" if at_least(granted, wanted) else "neutral"
    return Opinion(recommendation=kind, confidence=confidence, level=level)
