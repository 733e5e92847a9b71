"""What holds for all tests: examples that Hypothesis makes up are the same in every run, and may
take as long as the machine does."""

from hypothesis import settings

settings.load_profile("ci")
