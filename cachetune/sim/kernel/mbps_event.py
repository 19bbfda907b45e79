"""The file mba_MBps_event: which event of memory bandwidth the software behind mba_MBps compares with the limit.

Source: rdtgroup_mba_mbps_event_write in Linux 7.3, and the recorded answers of 6.18 and 7.3.
"""

from cachetune.sim.kernel.state import Group, State
from cachetune.sim.numbers import c_string
from cachetune.sim.profile import MBPS_EVENTS


def show(state: State, group: Group) -> str:
    """Return the content of a control group's mba_MBps_event file."""
    default = next(event for event in MBPS_EVENTS if event in state.profile.events)
    return f"{group.mbps_event or default}\n"


def write(state: State, group: Group, text: str) -> None:
    """Execute one write to a mba_MBps_event file. Raises RefusedError."""
    if not text.endswith("\n"):
        state.refuse_input("mba_MBps_event")
    state.status.clear()
    wanted = c_string(text[:-1])
    if wanted not in MBPS_EVENTS or wanted not in state.profile.events:
        state.refuse_formatted(f"Unsupported event id '{wanted}'\n")
    group.mbps_event = wanted
