"""The file mbm_assign_mode. Source: resctrl_mbm_assign_mode_write in Linux 7.3."""

from cachetune.sim.kernel.state import State
from cachetune.sim.numbers import c_string


def show() -> str:
    """Return the content of the file."""
    return "[default]\n"


def write(state: State, text: str) -> None:
    """Execute one write to the file. Raises RefusedError."""
    state.status.clear()
    if not text.endswith("\n"):
        state.refuse_input("mbm_assign_mode")
    wanted = c_string(text[:-1])
    if wanted == "mbm_event":
        state.refuse("mbm_event mode is not supported\n")
    if wanted != "default":
        state.refuse("Unsupported assign mode\n")
