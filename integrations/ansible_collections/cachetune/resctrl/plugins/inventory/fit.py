"""Inventory plugin: the hosts that ``cachetune fit --assign`` chose, with the guests that each takes."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fit
short_description: Hosts with the guests that cachetune fit assigned to them
version_added: 0.1.0
description:
  - Reads the variables file that C(cachetune fit --assign --vars FILE) writes. Each host that takes a guest is in the
    group O(group), with its guests in the variable C(cachetune_host_guests).
  - The group has the variables of the file, C(cachetune_assignment) and C(cachetune_guests), as if the file were in
    C(vars_files) of a play.
  - A source is a file whose name ends in C(fit.yml) or C(fit.yaml). Give it together with the inventory that says how
    the hosts are reached, C(ansible-playbook -i hosts.yml -i fit.yml).
author:
  - The cachetune developers (@cachetune)
extends_documentation_fragment:
  - ansible.builtin.constructed
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [cachetune.resctrl.fit]
  file:
    description: The variables file. A relative path is relative to this source.
    type: str
    required: true
  group:
    description: The group of the hosts that take a guest.
    type: str
    default: cachetune_placed
  known_hosts_only:
    description: Fail if a host of the assignment is in no inventory that was read before this one.
    type: bool
    default: false
"""

EXAMPLES = r"""
# A file called fit.yml, beside the file placement.yml that 'cachetune fit --assign --vars placement.yml' has written
plugin: cachetune.resctrl.fit
file: placement.yml
known_hosts_only: true
keyed_groups: # also a group for each guest, such as guest_web
  - key: cachetune_host_guests | map(attribute='name')
    prefix: guest
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Constructable

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS = ("cachetune_assignment", "cachetune_guests")


class InventoryModule(BaseInventoryPlugin, Constructable):
    """Hosts, a group and variables from the variables file."""

    NAME = "cachetune.resctrl.fit"

    def verify_file(self, path: str) -> bool:
        """Whether the source is one of this plugin, by its name."""
        return bool(super().verify_file(path)) and path.endswith(("fit.yml", "fit.yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Add the hosts. Raises AnsibleParserError for a file that is not a variables file of fit."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        file = Path(path).parent / Path(self.get_option("file")).expanduser()
        found = self._read(loader, file)
        group = inventory.add_group(self._sanitize_group_name(self.get_option("group")))
        for key in _KEYS:
            inventory.set_variable(group, key, found[key])
        known = set(inventory.hosts)
        for host, guests in found["cachetune_guests"].items():
            if self.get_option("known_hosts_only") and host not in known:
                raise AnsibleParserError(
                    f"{file} assigns guests to {host!r}, which is in no inventory before this one: the name of a host "
                    "is that of its snapshot (the module host_info takes the inventory's)"
                )
            self._add(str(host), guests, group)

    def _read(self, loader: Any, file: Path) -> Mapping[str, Any]:
        found = loader.load_from_file(str(file))
        problem = _problem(found)
        if problem:
            raise AnsibleParserError(f"{file} is no variables file of 'cachetune fit --assign --vars': {problem}")
        result: Mapping[str, Any] = found
        return result

    def _add(self, host: str, guests: list[Any], group: str) -> None:
        self.inventory.add_host(host, group=group)
        self.inventory.set_variable(host, "cachetune_host_guests", guests)
        variables, strict = self.inventory.hosts[host].get_vars(), self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, host, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, host, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, host, strict=strict)


def _problem(found: object) -> str:
    """What a file lacks to be a variables file of fit; "" for one that is."""
    if not isinstance(found, dict):
        return "it has no variables"
    for key in _KEYS:
        if not isinstance(found.get(key), dict):
            return f"{key!r} is missing, or no dictionary"
    for host, guests in found["cachetune_guests"].items():
        if not isinstance(guests, list) or not all(isinstance(each, dict) and "name" in each for each in guests):
            return f"the guests of {host!r} are no list of guests with names"
    return ""
