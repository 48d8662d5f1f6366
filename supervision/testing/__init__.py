"""Tools for testing actors: probes, misbehaving children, trees that must leave nothing behind, seeded schedules.

async with clean_tree(spec) as (system, root):          # as start_tree, and nothing may be left over
    probe = await Probe.start(root)
    await probe.watch(system.ref("server"))
    ...
    assert (await probe.next(Down)).reason == Shutdown()

run_seeded(test, seed)                                  # virtual time, and the same order of tasks for one seed
simulate(scenario, seeds=range(1000))                   # the same with a network, a trace and shrinking: `.simulation`
"""

from .misbehaving import CrashesOnCue, HangsOnStop, RefusesToStart
from .probe import Asked, Probe
from .schedule import run_seeded
from .simulation import Simulation, simulate
from .trees import LeftOver, assert_tree, clean_tree

__all__ = [
    "Asked",
    "CrashesOnCue",
    "HangsOnStop",
    "LeftOver",
    "Probe",
    "RefusesToStart",
    "Simulation",
    "assert_tree",
    "clean_tree",
    "run_seeded",
    "simulate",
]
