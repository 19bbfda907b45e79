#!/usr/bin/python
# Copyright: the cachetune developers
# SPDX-License-Identifier: Apache-2.0

"""Ansible module: what a host has, who uses it, and which guests have drifted."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: Read what a host has of cache and bandwidth, and who uses it
version_added: 0.1.0
description:
  - Returns the snapshot of a host, as C(cachetune snapshot) saves it, what is free, and which running guests have
    something else than their request.
  - With O(dest), the snapshot also becomes a file on the controller, for C(cachetune fit), which ranks hosts for a
    guest,
    and for every verb that takes C(--host FILE).
author:
  - The cachetune developers (@cachetune)
extends_documentation_fragment:
  - cachetune.resctrl.command
attributes:
  check_mode:
    description: Reads the host as always. No file is written to O(dest); use C(check_mode=false) for it.
    support: full
  diff_mode:
    description: Changes nothing on the host.
    support: none
  platform:
    description: Linux with resctrl mounted.
    platforms: linux
    support: full
options:
  name:
    description:
      - Name of the host in the snapshot, and so in all answers of C(cachetune fit). The default is its name in the
        inventory, so that an assignment fits the inventory.
    type: str
  dest:
    description:
      - A directory on the controller, relative to the playbook, or absolute. The snapshot becomes O(name) with the
        suffix
        C(.json) in it; a file of the same name is replaced.
    type: path
  drift:
    description: Whether to check the running guests for drift.
    type: bool
    default: true
  guests_d:
    description:
      - Directory of tuning files on the managed host. The default is E(CACHETUNE_GUESTS_D), or else
        V(/etc/cachetune/guests.d).
    type: path
"""

EXAMPLES = r"""
- name: Collect the snapshots of all hosts, also in check mode
  cachetune.resctrl.host_info:
    dest: snapshots
  become: true
  check_mode: false
  register: host

- name: Rank the hosts for a guest
  ansible.builtin.command:
    argv: [cachetune, fit, --json, guest-web.xml, snapshots]
  delegate_to: localhost
  run_once: true
  changed_when: false
  check_mode: false
  register: fit

- name: No guest may have something else than its request
  ansible.builtin.assert:
    that: host.drifted | length == 0
    fail_msg: "{{ host.drifted | join(', ') }} drifted"

- name: Free ways of the first L3 cache
  ansible.builtin.debug:
    msg: "{{ (host.caches | selectattr('resource', 'equalto', 'L3') | first).free_ways }}"
"""

RETURN = r"""
host:
  description: The snapshot, the document that C(cachetune schema host) describes.
  type: dict
  returned: success
  sample: {"schema_version": 1, "identity": {"hostname": "node-1", "taken": 1795445870.3}}
caches:
  description: What is free of each cache, as in the document that C(cachetune schema usage) describes.
  type: list
  elements: dict
  returned: success
  sample: [{"resource": "L3", "id": 0, "ways": 11, "free_ways": 3, "largest_hole_ways": 3}]
closids:
  description: Control groups that are used, and how many there can be.
  type: dict
  returned: success
  sample: {"used": 2, "total": 8, "left": 6}
rmids:
  description: Monitored groups that are used, and how many there can be.
  type: dict
  returned: success
  sample: {"used": 3, "total": 144, "left": 141}
guests:
  description: The running guests with the state of their tuning, as in the document that C(cachetune schema drift)
    describes.
  type: list
  elements: dict
  returned: success and with O(drift)
  sample: [{"name": "web", "pid": 4707, "tuning": {"state": "drifted", "asker": "file"}}]
drifted:
  description: Names of the guests that have something else than their request.
  type: list
  elements: str
  returned: success and with O(drift)
  sample: ["web"]
refused:
  description: Names of the guests whose request is invalid, or does not fit.
  type: list
  elements: str
  returned: success and with O(drift)
  sample: []
dest:
  description: The file on the controller.
  type: str
  returned: success and with O(dest)
  sample: /home/admin/fleet/snapshots/node-1.json
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cachetune.resctrl.plugins.module_utils.command import ARGUMENTS, Command, entries


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "name": {"type": "str"},
            "dest": {"type": "path"},  # for the action plugin, which writes the file on the controller
            "drift": {"type": "bool", "default": True},
            "guests_d": {"type": "path"},
        },
        supports_check_mode=True,
    )
    command = Command(module)
    host = command.document("snapshot")
    # A host that is simulated, or a copy, has no identity.
    host["identity"] = host.get("identity") or {"hostname": "", "taken": time.time()}
    if module.params["name"]:
        host["identity"]["hostname"] = module.params["name"]
    usage = command.document("show", "--json")
    result = {name: usage.get(name) for name in ("caches", "closids", "rmids")}
    if module.params["drift"]:
        result |= _drift(command, module.params["guests_d"])
    module.exit_json(changed=False, host=host, **result)


def _drift(command: Command, guests_d: str | None) -> dict[str, Any]:
    words = [f"--guests-d={guests_d}"] if guests_d else []
    # 1 if a guest has drifted, 2 if a request is refused: both are the answer
    guests = entries(command.document("diff", "--all-guests", *words, "--json", codes=(0, 1, 2)), "guests")
    return {
        "guests": guests,
        "drifted": _names(guests, "drifted"),
        "refused": _names(guests, "refused", "invalid"),
    }


def _names(guests: list[dict[str, Any]], *states: str) -> list[str]:
    """The names of the guests in one of these states."""
    return [str(guest.get("name")) for guest in guests if (guest.get("tuning") or {}).get("state") in states]


if __name__ == "__main__":
    main()
