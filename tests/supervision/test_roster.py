"""The restart logic by itself: the matrix of restart type, exit and strategy, under OTP's names, and its properties."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervision import ChildSpec, Crash, ExitReason, GenServer, Killed, Normal, Shutdown
from supervision._core.intensity import Window
from supervision._core.reasons import CONSEQUENCES, NoProc, consequences
from supervision._core.roster import Plan, Refusal, Roster, decide
from supervision._core.specs import AutoShutdown, Restart, Strategy

BOOM = Crash(RuntimeError("boom"))
EXITS: dict[str, ExitReason] = {
    "normal": Normal(),
    "shutdown": Shutdown(),
    "{shutdown,term}": Shutdown("term"),
    "killed": Killed(),
    "abnormal": BOOM,
}
RESTARTS: tuple[Restart, ...] = ("permanent", "transient", "temporary")
STRATEGIES: tuple[Strategy, ...] = ("one_for_one", "one_for_all", "rest_for_one")


def spec(name: str, restart: Restart = "permanent", *, significant: bool = False) -> ChildSpec:
    return ChildSpec(name, GenServer, restart=restart, significant=significant)


def roster(
    specs: Sequence[ChildSpec],
    strategy: Strategy = "one_for_one",
    intensity: int = 10,
    period: float = 5.0,
    auto_shutdown: AutoShutdown = "never",
) -> Roster:
    made = Roster(
        specs, strategy=strategy, window=Window(intensity=intensity, period=period), auto_shutdown=auto_shutdown
    )
    for child in specs:
        made.started(child.id, alive=True)
    return made


def carry_out(made: Roster, plan: Plan) -> None:
    """What a supervisor does when every step goes well."""
    for name in plan.stops:
        made.stopped(name)
    for name in plan.starts:
        made.started(name, alive=True)


# permanent_normal, permanent_shutdown, permanent_abnormal, transient_*, temporary_* of OTP's suite


@pytest.mark.parametrize("restart", RESTARTS)
@pytest.mark.parametrize("exit_", EXITS)
def test_what_becomes_of_a_child(restart: Restart, exit_: str) -> None:
    abnormal = exit_ in {"killed", "abnormal"}
    expected = {
        "permanent": "restart",
        "transient": "restart" if abnormal else "keep",
        "temporary": "forget",
    }[restart]
    assert decide(restart, EXITS[exit_]) == expected


@pytest.mark.parametrize("reason", [*EXITS.values(), NoProc()], ids=str)
def test_every_reason_has_one_row_and_logging_follows_abnormality(reason: ExitReason) -> None:
    assert consequences(reason) is CONSEQUENCES[type(reason)]
    assert consequences(reason).logged == consequences(reason).restarts_transient
    assert consequences(reason).links_exit != isinstance(reason, Normal)


@pytest.mark.parametrize("restart", RESTARTS)
@pytest.mark.parametrize("exit_", EXITS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_matrix(strategy: Strategy, exit_: str, restart: Restart) -> None:
    made = roster([spec("a"), spec("b", restart), spec("c", "temporary"), spec("d", "transient")], strategy)
    plan = made.exited("b", EXITS[exit_], now=0.0)
    verdict = decide(restart, EXITS[exit_])
    if verdict != "restart":
        assert plan == Plan()
        assert ("b" in made.children) == (verdict == "keep")
        return
    assert (
        plan
        == {
            "one_for_one": Plan(starts=("b",)),
            "rest_for_one": Plan(stops=("d", "c"), starts=("b", "d")),
            "one_for_all": Plan(stops=("d", "c", "a"), starts=("a", "b", "d")),
        }[strategy]
    )
    carry_out(made, plan)
    assert [child.spec.id for child in made] == (["a", "b", "c", "d"] if strategy == "one_for_one" else ["a", "b", "d"])
    assert all(child.status == "running" for child in made)


def test_one_for_all_also_starts_who_was_undefined() -> None:
    made = roster([spec("a"), spec("b", "transient")], "one_for_all")
    assert made.exited("b", Normal(), 0.0) == Plan()
    assert made.exited("a", BOOM, 0.0) == Plan(stops=("b",), starts=("a", "b"))


def test_restart_child_in_the_middle_fails_and_is_tried_again() -> None:
    made = roster([spec("a"), spec("b"), spec("c")], "one_for_all", intensity=2)
    plan = made.exited("c", BOOM, 0.0)
    for name in plan.stops:
        made.stopped(name)
    made.started("a", alive=True)
    made.waits("b")
    assert [child.status for child in made] == ["running", "restarting", "undefined"]
    assert made.try_again("b", 0.0) == Plan(stops=("c", "a"), starts=("a", "b", "c"))
    assert made.try_again("b", 0.0) == Plan()  # it no longer waits


def test_a_retry_counts_as_a_restart() -> None:
    made = roster([spec("a")], intensity=1)
    assert made.exited("a", BOOM, 0.0).starts == ("a",)
    made.waits("a")
    assert made.try_again("a", 0.0) == Plan(shutdown=True, refused=True)


def test_an_ignored_child_is_undefined_and_an_ignored_temporary_one_is_gone() -> None:
    made = roster([spec("a"), spec("b", "temporary")])
    made.started("a", alive=False)
    made.started("b", alive=False)
    assert [(child.spec.id, child.status) for child in made] == [("a", "undefined")]


def test_what_may_be_asked_of_a_child() -> None:
    made = roster([spec("a")])
    assert made.may_add("a") is Refusal.ALREADY_STARTED
    assert made.may_leave_rest("a") is Refusal.RUNNING
    assert made.may_leave_rest("b") is Refusal.NOT_FOUND
    made.waits("a")
    assert made.may_add("a") is Refusal.ALREADY_PRESENT
    assert made.may_leave_rest("a") is Refusal.RESTARTING
    made.stopped("a")
    assert made.may_leave_rest("a") is None
    assert made.may_add("b") is None


# significant_simple, significant_temporary, any_significant, all_significant


@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_any_significant_ends_the_supervisor_when_one_leaves(restart: Restart) -> None:
    made = roster([spec("a"), spec("b", restart, significant=True)], auto_shutdown="any_significant")
    assert made.exited("b", Normal(), 0.0).shutdown


def test_all_significant_ends_it_when_the_last_leaves() -> None:
    specs = [spec("a", "temporary", significant=True), spec("b", "transient", significant=True), spec("c")]
    made = roster(specs, auto_shutdown="all_significant")
    assert not made.exited("a", BOOM, 0.0).shutdown
    assert made.exited("b", Shutdown(), 0.0).shutdown


def test_a_significant_child_that_is_restarted_or_stopped_ends_nothing() -> None:
    made = roster([spec("a", "transient", significant=True)], auto_shutdown="any_significant")
    assert made.exited("a", BOOM, 0.0) == Plan(starts=("a",))
    carry_out(made, Plan(starts=("a",)))
    made.stopped("a")


# Properties


names = st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=6, unique=True)
exits = st.sampled_from(list(EXITS.values()))


@st.composite
def rosters(draw: st.DrawFn) -> Roster:
    specs = [spec(name, draw(st.sampled_from(RESTARTS))) for name in draw(names)]
    return roster(specs, draw(st.sampled_from(STRATEGIES)), intensity=draw(st.integers(0, 4)))


@given(rosters(), st.data())
def test_a_plan_stops_from_the_right_and_starts_from_the_left(made: Roster, data: st.DataObject) -> None:
    order = list(made.children)
    for now in range(8):
        running = [child.spec.id for child in made if child.status == "running"]
        if not running:
            break
        dead = data.draw(st.sampled_from(running))
        restart = made.children[dead].spec.restart
        plan = made.exited(dead, data.draw(exits), float(now))
        assert list(plan.stops) == sorted(plan.stops, key=order.index, reverse=True)
        assert list(plan.starts) == sorted(plan.starts, key=order.index)
        assert dead not in plan.stops
        assert not plan.starts or dead in plan.starts
        assert not (plan.starts and restart == "temporary")
        if plan.shutdown:
            break
        carry_out(made, plan)
        assert [name for name in order if name in made.children] == list(made.children)
        assert all(child.spec.restart == "temporary" for child in made if child.spec.id not in order)


@given(rosters(), st.data())
def test_an_untroubled_roster_comes_back_whole(made: Roster, data: st.DataObject) -> None:
    dead = data.draw(st.sampled_from(list(made.children)))
    before = {child.spec.id for child in made if child.spec.restart != "temporary"}
    plan = made.exited(dead, BOOM, 0.0)
    if not plan.shutdown:
        carry_out(made, plan)
        assert {child.spec.id for child in made if child.spec.restart != "temporary"} == before
        assert all(child.status == "running" for child in made)


@given(st.integers(0, 5), st.floats(0.1, 10), st.lists(st.floats(0, 3), max_size=30))
def test_the_window_allows_exactly_so_many_in_a_period(intensity: int, period: float, gaps: list[float]) -> None:
    window, now, times = Window(intensity=intensity, period=period), 0.0, []
    for gap in gaps:
        now += gap
        times.append(now)
        window, allowed = window.add(now)
        assert allowed == (sum(time >= now - period for time in times) <= intensity)


def test_a_restart_exactly_one_period_ago_still_counts() -> None:
    window, allowed = Window(intensity=1, period=5.0).add(0.0)
    assert allowed
    assert not window.add(5.0)[1]
    assert window.add(5.001)[1]
