"""What every module of the collection takes: which command to run, and for how long."""

from __future__ import annotations


class ModuleDocFragment:
    """The options of the command, and what the modules need."""

    DOCUMENTATION = r"""
requirements:
  - The command C(cachetune) on the managed host. The role C(cachetune.resctrl.cachetune) installs it.
  - Python 3.11 or later on the managed host. The Python package of cachetune need not be importable there.
options:
  executable:
    description:
      - The command to run, a name that is looked up in E(PATH), or a path, such as one in a virtual environment.
    type: str
    default: cachetune
  timeout:
    description:
      - Seconds after which the command is stopped. It first gets the signal C(SIGTERM), on which a run that changes the
        host undoes what it has done so far.
    type: int
    default: 300
notes:
  - The variables E(CACHETUNE_RESCTRL), E(CACHETUNE_SYSFS), E(CACHETUNE_RUN) and E(CACHETUNE_GUESTS_D) change the
    directories that the command uses. Set them with C(environment) of the task or the play.
  - Reading and changing resctrl needs root, so use C(become).
"""

    LOCK = r"""
options:
  lock_timeout:
    description:
      - Seconds to wait for the lock on resctrl, which libvirt, pqos and other runs of cachetune take as well.
    type: float
    default: 10.0
"""
