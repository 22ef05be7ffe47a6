"""What holds for all tests."""

from hypothesis import settings

# An example that takes long is no fault: machines are busy, and what must be quick has a test of
# its own. (A `settings(deadline=...)` at a test counts more than this.)
settings.register_profile("sioserver", deadline=None)
settings.load_profile("sioserver")
