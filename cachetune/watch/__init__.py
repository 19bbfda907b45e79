"""The counters of groups: ``read_counters`` reads them as frozen values. It never writes."""

from cachetune.watch.counters import read_counters
from cachetune.watch.model import Counter, Reading, Readings

__all__ = ["Counter", "Reading", "Readings", "read_counters"]
