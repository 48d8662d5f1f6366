"""Scenarios for supervisors: read, run on virtual time, and told line by line as OTP's own supervisor tells them.

`python -m supervision.conformance SCENARIO...` prints what happened; Erlang must print the same.
"""

from .runner import run_scenario
from .scenario import Scenario, parse_scenario
from .words import ScenarioError

__all__ = ["Scenario", "ScenarioError", "parse_scenario", "run_scenario"]
