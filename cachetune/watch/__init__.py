"""Counters: ``read_counters`` reads those of groups from a resctrl file system as frozen values. Never writes."""

from cachetune.watch.counters import read_counters
from cachetune.watch.model import Counter, Reading, Readings

__all__ = ["Counter", "Reading", "Readings", "read_counters"]
