"""What a plan is made from, besides the host: what one guest is to have, and the choices of the user."""

import msgspec

from cachetune.domain.model import Domain
from cachetune.findings import Finding
from cachetune.guests.model import Guest
from cachetune.plan.groups.names import checked_machine_name, machine_name_of


class Options(msgspec.Struct, frozen=True):
    """How to plan.

    ``shrink_default`` may take ways from the default group; ``take_tasks`` may move threads out of others' groups.
    """

    shrink_default: bool = False
    take_tasks: bool = False


class GuestRequest(msgspec.Struct, frozen=True):
    """What one guest is to have. ``guest`` is None if it is not running, ``machine_name`` "" if the domain's is used.

    ``owned`` are groups that belong to this guest whatever their names. ``findings`` are the warnings of its XML.
    """

    domain: Domain
    guest: Guest | None = None
    machine_name: str = ""
    owned: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()

    @property
    def machine(self) -> str:
        """The prefix of the names of the guest's groups. Raises MachineNameError."""
        return checked_machine_name(self.machine_name) if self.machine_name else machine_name_of(self.domain)
