"""The long runs: ``make soak``."""
