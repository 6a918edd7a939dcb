"""The names of settings under their former place, for the tests of deploy/."""

from tests.docs.settings import variables

__all__ = ["variables"]
