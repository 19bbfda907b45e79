#!/usr/bin/python
# Copyright: the cachetune developers
# SPDX-License-Identifier: Apache-2.0

"""Ansible module: whether the guests of a host are well with what they have."""

from __future__ import annotations

DOCUMENTATION = r"""
module: health
short_description: Whether a host is well after a change of its guests' tuning
version_added: 0.1.0
description:
  - Compares the guests with what they request, reads the counters of their groups for O(seconds), and adds up the
    memory traffic of the host. The task fails if something is wrong.
  - A guest with too little cache reads from memory what it had in the cache before, so the memory traffic of its host
    grows. With O(baseline), the RV(bytes_per_second) of a run before the change, that is a problem, too.
  - The role P(cachetune.resctrl.rollout#role) rolls back a batch of hosts with problems.
author:
  - The cachetune developers (@cachetune)
extends_documentation_fragment:
  - cachetune.resctrl.command
attributes:
  check_mode:
    description: Reads only, always.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
  platform:
    description: Linux with resctrl mounted.
    platforms: linux
    support: full
options:
  guests:
    description: Names of the guests that matter. Those that do not run have no problems.
    type: list
    elements: str
    default: []
  seconds:
    description: For how long the counters are read.
    type: float
    default: 5.0
  baseline:
    description: Memory traffic of the host before the change, in bytes per second.
    type: float
  growth_percent:
    description: By how much the memory traffic may be more than O(baseline).
    type: float
    default: 50.0
  least:
    description: Memory traffic, in bytes per second, up to which growth does not matter.
    type: float
    default: 1000000000.0
"""

EXAMPLES = r"""
- name: Measure the host before the change
  cachetune.resctrl.health:
    seconds: 5
  register: before
  become: true

- name: See whether web is well after the change
  cachetune.resctrl.health:
    guests: [web]
    baseline: "{{ before.bytes_per_second }}"
    growth_percent: 30
  become: true
"""

RETURN = r"""
problems:
  description: What is wrong, a sentence each; empty if the host is well.
  type: list
  elements: str
  returned: always
  sample: ["web: drifted: 2 tasks to move"]
bytes_per_second:
  description: Memory traffic of the default group and of all groups with an owner; null if the host does not count it.
  type: float
  returned: success
  sample: 268435456.0
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cachetune.resctrl.plugins.module_utils.command import ARGUMENTS, Command

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_WELL = ("applied", "none")
_BROKEN = ("Error", "Vanished")
_MIB = 1 << 20


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "guests": {"type": "list", "elements": "str", "default": []},
            "seconds": {"type": "float", "default": 5.0},
            "baseline": {"type": "float"},
            "growth_percent": {"type": "float", "default": 50.0},
            "least": {"type": "float", "default": 1e9},
        },
        supports_check_mode=True,
    )
    values, command = module.params, Command(module)
    readings = command.document("monitor", "--interval", str(values["seconds"]), "--count", "1", "--json")
    traffic = _traffic(readings)
    problems = [*_broken_counters(readings, values["guests"]), *_growth(traffic, values)]
    if values["guests"]:
        drift = command.document("diff", "--all-guests", "--json", codes=(0, 1, 2))
        problems = [*_drift(drift, values["guests"]), *problems]
    result = {"changed": False, "problems": problems, "bytes_per_second": traffic}
    if problems:
        module.fail_json(msg="; ".join(problems), **result)
    module.exit_json(**result)


def _drift(document: Mapping[str, Any], guests: Collection[str]) -> Iterator[str]:
    """Guests that do not have what they request."""
    for guest in document.get("guests") or ():
        tuning = guest.get("tuning") or {}
        if guest.get("name") in guests and tuning.get("state") not in _WELL:
            todo = [
                f"{number} {what.replace('_', ' ')}" for what, number in (tuning.get("summary") or {}).items() if number
            ]
            why = "; ".join(tuning.get("why") or ()) or ", ".join(todo)
            yield f"{guest['name']}: {tuning.get('state')}" + (f": {why}" if why else "")


def _broken_counters(readings: Mapping[str, Any], guests: Collection[str]) -> Iterator[str]:
    """Counters of the guests that the kernel cannot read. One without a value, such as an unassigned one, is fine."""
    for monitor in readings.get("monitors") or ():
        for counter in monitor.get("counters") or ():
            if monitor.get("guest") in guests and counter.get("state") in _BROKEN:
                place = f"{counter.get('event')} of {counter.get('resource')} {counter.get('id')}"
                yield f"{monitor['guest']}: {place} is {counter['state']}"


def _traffic(readings: Mapping[str, Any]) -> float | None:
    """The sum of the control groups, which have their monitor groups in them."""
    rates = [
        float(counter["per_second"])
        for monitor in readings.get("monitors") or ()
        if monitor.get("kind") == "control"
        for counter in monitor.get("counters") or ()
        if counter.get("event") == "mbm_total_bytes" and counter.get("per_second") is not None
    ]
    return sum(rates) if rates else None


def _growth(traffic: float | None, values: Mapping[str, Any]) -> Iterator[str]:
    """Whether the memory traffic is more than it may be."""
    before = values["baseline"]
    if traffic is None or before is None:
        return
    allowed = max(before * (1 + values["growth_percent"] / 100), values["least"])
    if traffic > allowed:
        yield (
            f"memory traffic is {traffic / _MIB:.0f} MiB/s; it was {before / _MIB:.0f} MiB/s before "
            f"and may be {allowed / _MIB:.0f} MiB/s"
        )


if __name__ == "__main__":
    main()
