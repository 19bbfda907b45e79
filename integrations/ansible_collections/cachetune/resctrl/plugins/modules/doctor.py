#!/usr/bin/python
# Copyright: the cachetune developers
# SPDX-License-Identifier: Apache-2.0

"""Ansible module: whether a host is fit for cache tuning."""

from __future__ import annotations

DOCUMENTATION = r"""
module: doctor
short_description: Check whether a host is fit for tuning
version_added: 0.1.0
description:
  - Runs the checks of C(cachetune doctor) on processor, kernel, mount, counters, other programs, guests, state and
    installation, and fails if one finds a problem of the level O(fail_on) or worse. It never changes anything.
author:
  - The cachetune developers (@cachetune)
extends_documentation_fragment:
  - cachetune.resctrl.command
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
  platform:
    description: Linux.
    platforms: linux
    support: full
options:
  fail_on:
    description: The least severe problem that fails the task.
    type: str
    choices: [warn, fail, never]
    default: fail
  checks:
    description: Run only these checks, such as V(CT621). By default, all are run.
    type: list
    elements: str
    default: []
  ignore:
    description: Findings of these checks do not fail the task. They are returned.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: The host is fit for tuning
  cachetune.resctrl.doctor:
  become: true

- name: Not even a warning, except about a kernel that lacks a feature
  cachetune.resctrl.doctor:
    fail_on: warn
    ignore: [CT614]
  become: true

- name: Which problems are there?
  cachetune.resctrl.doctor:
    fail_on: never
  become: true
  register: examined

- name: Show them
  ansible.builtin.debug:
    msg: "{{ examined.findings | map(attribute='text') }}"
"""

RETURN = r"""
findings:
  description: The checks that warn or fail, as in the document that C(cachetune schema doctor) describes.
  type: list
  elements: dict
  returned: always
  sample:
    - id: CT621
      status: fail
      text: there is no resctrl at /sys/fs/resctrl
      fix: "mount it: mount -t resctrl resctrl /sys/fs/resctrl"
worst:
  description: The worst status of all checks, V(ok), V(warn), V(fail), or V(skipped) if nothing could be checked.
  type: str
  returned: always
  sample: ok
diagnosis:
  description: The whole document, with the checks that found nothing, and those that were skipped with the reason.
  type: dict
  returned: always
  sample: {"schema_version": 1, "worst": "ok"}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cachetune.resctrl.plugins.module_utils.command import ARGUMENTS, Command, entries

_LEVELS = {"warn": ("warn", "fail"), "fail": ("fail",), "never": ()}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "fail_on": {"type": "str", "choices": ["warn", "fail", "never"], "default": "fail"},
            "checks": {"type": "list", "elements": "str", "default": []},
            "ignore": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    words = ["doctor", "--json", "--", *module.params["checks"]]
    diagnosis = Command(module).document(*words, codes=(0, 1, 2))
    findings = [each for each in entries(diagnosis, "checks") if each.get("status") in ("warn", "fail")]
    result = {"changed": False, "findings": findings, "worst": diagnosis.get("worst"), "diagnosis": diagnosis}
    levels, ignored = _LEVELS[module.params["fail_on"]], module.params["ignore"]
    wrong = [each for each in findings if each["status"] in levels and each.get("id") not in ignored]
    if wrong:
        module.fail_json(msg="; ".join(_sentence(each) for each in wrong), **result)
    if levels and result["worst"] == "skipped":
        module.fail_json(msg="nothing could be checked: every check was skipped; use 'become'", **result)
    module.exit_json(**result)


def _sentence(check: dict[str, str]) -> str:
    fix = f" (fix: {check['fix']})" if check.get("fix") else ""
    return f"{check.get('text')} [{check.get('id')}]{fix}"


if __name__ == "__main__":
    main()
