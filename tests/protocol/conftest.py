"""Hypothesis without deadlines: a loaded machine is no failure."""

from hypothesis import settings

settings.register_profile("protocol", deadline=None)
settings.load_profile("protocol")
