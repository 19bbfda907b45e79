"""The masks and the bandwidth of one control group, as a plan sets them."""

from typing import Any

from cachetune.cbm import Bandwidth, Cbm, Masks, json_entries, json_int, json_table_schema


class Allocation:
    """Masks and bandwidth together. In JSON one object: masks are hexadecimal strings, bandwidths are numbers."""

    __slots__ = ("bandwidth", "masks")

    def __init__(self, masks: Masks | None = None, bandwidth: Bandwidth | None = None) -> None:
        self.masks = Masks() if masks is None else masks
        self.bandwidth = Bandwidth() if bandwidth is None else bandwidth

    def to_json(self) -> dict[str, Any]:
        """The values by resource and cache id; resources without a value are left out."""
        return {name: row for name, row in (*self.masks.items(), *self.bandwidth.items()) if row}

    @classmethod
    def from_json(cls, value: object) -> "Allocation":
        """The allocation of ``to_json``. Raises ValueError."""
        entries = list(json_entries(value))
        masks = ((name, i, Cbm.from_json(entry)) for name, i, entry in entries if isinstance(entry, str))
        bandwidth = ((name, i, json_int(entry)) for name, i, entry in entries if not isinstance(entry, str))
        return cls(Masks.of(masks), Bandwidth.of(bandwidth))

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """The JSON Schema of ``to_json``."""
        return json_table_schema({"anyOf": [Cbm.json_schema(), {"type": "integer"}]})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Allocation) and (self.masks, self.bandwidth) == (other.masks, other.bandwidth)

    __hash__ = None  # type: ignore[assignment] # tables are not hashable either

    def __repr__(self) -> str:
        return f"Allocation({self.masks!r}, {self.bandwidth!r})"
