"""Rows of the benchmark table: each a ratio of our time (or memory) and a peer's, measured in the same run."""

from typing import NamedTuple


class Row(NamedTuple):
    """One measurement. ``ours`` and ``peer`` are in the same unit; ``wanted`` is the largest ratio that is good."""

    name: str
    ours: float
    peer: float
    wanted: float
    unit: str = "ms"

    @property
    def ratio(self) -> float:
        """Ours over theirs: smaller is better."""
        return self.ours / self.peer

    def text(self) -> str:
        """The row for the table; seconds are shown as milliseconds."""
        scale = 1000 if self.unit == "ms" else 1
        verdict = "ok" if self.ratio <= self.wanted else "MISSED"
        figures = (
            f"{self.ours * scale:9.1f} {self.peer * scale:9.1f} {self.unit:3} {self.ratio:6.2f} {self.wanted:7.2f}"
        )
        return f"{figures}  {verdict:6}  {self.name}"
