"""Hypothesis without deadlines (a loaded machine is no failure), and the conversation that several files test."""

import pytest
from hypothesis import settings

from norc_actors.crypto.suites import PREFERENCE
from tests.support.world import World

settings.register_profile("protocol", deadline=None)
settings.load_profile("protocol")


@pytest.fixture(params=[("ed25519", PREFERENCE), ("p256", ("0102", "0002"))], ids=["ed25519", "p256"])
def world(request) -> World:
    """Alice's two devices and Bob's, once with Ed25519 and all suites, once with P-256 and those of a FIPS policy."""
    return World(*request.param)
