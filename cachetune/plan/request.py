"""The input of a plan besides the host: the request for each guest, and the user's options."""

import msgspec

from cachetune.domain.model import Domain
from cachetune.findings import Finding
from cachetune.guests.model import Guest
from cachetune.plan.groups.names import checked_machine_name, machine_name_of
from cachetune.plan.policy import Policy
from cachetune.units import Rounding


class Options(msgspec.Struct, frozen=True):
    """How to plan.

    ``shrink_default`` allows taking ways from the default group, ``take_tasks`` moving threads out of foreign groups,
    ``assign_counters`` assigning bandwidth counters to monitors that have none. ``adopt`` means that groups
    that libvirt created for the guests may change: the plan is the same, and does not advise that option. With
    ``exclusive`` every control group is requested as exclusive. ``rounding`` is for values that the host cannot have:
    None refuses bytes and numbers in the host's own unit, and rounds all others down.
    ``compact`` allows moving our groups to other ways to make room, with ``shrink_default`` also the default group,
    with ``adopt`` also those that libvirt created for any running guest. ``policy`` is the host's:
    what the default group keeps, and ways that no guest gets.
    """

    shrink_default: bool = False
    take_tasks: bool = False
    assign_counters: bool = False
    adopt: bool = False
    exclusive: bool = False
    rounding: Rounding | None = None
    compact: bool = False
    policy: Policy | None = None


class GuestRequest(msgspec.Struct, frozen=True):
    """The request for one guest. ``guest`` is None if it is not running; ``machine_name`` "" stands for the domain's.

    ``owned`` are groups of this guest regardless of their names. ``findings`` are the warnings about its XML.
    """

    domain: Domain
    guest: Guest | None = None
    machine_name: str = ""
    owned: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()

    @property
    def machine(self) -> str:
        """The prefix of the guest's group names. Raises MachineNameError."""
        return checked_machine_name(self.machine_name) if self.machine_name else machine_name_of(self.domain)
