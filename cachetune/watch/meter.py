"""Read what one group uses of one L3 cache: its occupancy, and the bytes that it has moved from and to memory."""

import msgspec

from cachetune.errors import ResctrlError
from cachetune.host.model import Host
from cachetune.host.resctrl.port import GONE, Resctrl
from cachetune.watch.counters import counter_files, state_in, value_in
from cachetune.watch.model import State

OCCUPANCY, TOTAL = "llc_occupancy", "mbm_total_bytes"


class Used(msgspec.Struct, frozen=True):
    """One reading in bytes; a State where a counter has no number, such as "Unavailable".

    ``total_bytes`` counts up. "Vanished" means that the group has been removed.
    """

    occupancy_bytes: int | State
    total_bytes: int | State


class Meter:
    """Reads the two counters of the control group at ``path`` in the L3 cache ``cache_id``.

    ``occupancy`` and ``total`` are their files, None where the host has no such counter. Raises ResctrlError if the
    group's directory may not be read.
    """

    def __init__(self, fs: Resctrl, host: Host, path: str, cache_id: int) -> None:
        self._fs = fs
        features = {monitor.name.removesuffix("_MON"): monitor.features for monitor in host.monitors}
        files = {
            column.event: file
            for column, file in counter_files(fs, f"{path}/mon_data", features)
            if column.resource == "L3" and column.id == cache_id and column.node is None
        }
        self.occupancy, self.total = files.get(OCCUPANCY), files.get(TOTAL)

    def read(self) -> Used:
        """Read both now."""
        return Used(self._value(self.occupancy), self._value(self.total))

    def _value(self, file: str | None) -> int | State:
        if file is None:
            return "Unavailable"
        try:
            text = self._fs.read(file).strip()
        except ResctrlError as error:
            return "Vanished" if error.errno in GONE else "Error"
        value = value_in(text)
        return value if isinstance(value, int) else state_in(text)
