#!/usr/bin/python
# Copyright: the cachetune developers
# SPDX-License-Identifier: Apache-2.0

"""Ansible module: undo what the module tuning has changed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: undo
short_description: Undo what the module tuning has changed on a host
version_added: 0.1.0
description:
  - Takes the steps of earlier changes back, in one run that is done as a whole or not at all. Groups get exactly the
    ways and the threads that they had. Tuning files that were written get their previous content, and new ones are
    removed.
  - Fails, and changes nothing, if that is not possible, because the host has changed since or because a group that was
    removed cannot be made again in the presence of the others.
author:
  - The cachetune developers (@cachetune)
extends_documentation_fragment:
  - cachetune.resctrl.command
  - cachetune.resctrl.command.lock
attributes:
  check_mode:
    description: Checks the steps against the host; writes nothing.
    support: full
  diff_mode:
    description: Shows the values of the groups and the threads in them, before and after.
    support: full
  platform:
    description: Linux with resctrl mounted.
    platforms: linux
    support: full
options:
  changes:
    description:
      - Results of the module M(cachetune.resctrl.tuning) on this host, in the order in which they were made; at most
        one for each guest.
    type: list
    elements: dict
    required: true
  backup:
    description: Keep a copy of a tuning file that is replaced or removed, with the time in its name.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Change two guests, and go back if the host is not well
  block:
    - name: Change two guests
      cachetune.resctrl.tuning:
        guest: "{{ item }}"
        xml: "{{ lookup('ansible.builtin.file', item ~ '.xml') }}"
        save: true
      loop: [web, db]
      register: tuned
      become: true

    - name: See whether the host is well
      cachetune.resctrl.health:
        guests: [web, db]
      become: true
  rescue:
    - name: Go back
      cachetune.resctrl.undo:
        changes: "{{ tuned.results }}"
      become: true
"""

RETURN = r"""
report:
  description:
    - What was done, the document that C(cachetune schema report) describes. Empty in check mode, and if no group has
      changed.
  type: dict
  returned: always
  sample: {"schema_version": 1, "outcome": "done", "machine_names": ["cachetune-web"]}
"""

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cachetune.resctrl.plugins.module_utils.command import ARGUMENTS, LOCK, Command
from ansible_collections.cachetune.resctrl.plugins.module_utils.inverse import inverse
from ansible_collections.cachetune.resctrl.plugins.module_utils.steps import difference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Change = dict[str, Any]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            **LOCK,
            "changes": {"type": "list", "elements": "dict", "required": True},
            "backup": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    changes = [each for each in module.params["changes"] if each.get("changed") and not each.get("failed")]
    _check_once(module, changes)
    command = Command(module)
    plan = _plan(module, command, changes)
    if plan["steps"]:
        _apply(command, plan, "--dry-run")
    # The files first, or else a running agent applies them again between the two.
    files = [each for change in reversed(changes) if (each := _put_back(module, change))]
    report: Mapping[str, Any] = {}
    if plan["steps"] and not module.check_mode:
        lock = ["--lock-timeout", str(module.params["lock_timeout"])]
        report = _apply(command, plan, "--yes", *lock, changed=bool(files))
    diff = [difference(plan["steps"])] if plan["steps"] else []
    module.exit_json(changed=bool(plan["steps"] or files), report=report, diff=diff)


def _check_once(module: AnsibleModule, changes: Sequence[Change]) -> None:
    """Two changes of one guest can have made and removed the same group, which one plan cannot do."""
    names = [guest["machine_name"] for change in changes for guest in change["plan"].get("guests") or ()]
    if len(names) != len(set(names)):
        module.fail_json(msg="'changes' has two changes of one guest; undo the later one first, in a separate task")


def _apply(command: Command, plan: Mapping[str, Any], *words: str, changed: bool = False) -> dict[str, Any]:
    """Carry the plan out, or only check it. Fails the task with the reason."""
    answer = command.run("apply", *words, "--json", "-", data=json.dumps(plan))
    if answer.code:
        command.fail(answer, changed=changed, report=answer.document)
    return answer.document


def _plan(module: AnsibleModule, command: Command, changes: Sequence[Change]) -> dict[str, Any]:
    """A plan for the host as it is, with the steps back. Fails the task for changes of which no steps are known."""
    plan = command.document("remove", "--all-guests", "--dry-run", "--json")
    removals = {step["path"]: step for step in plan["steps"] if step["kind"] == "remove_group"}
    guests = {guest["machine_name"]: guest for change in changes for guest in change["plan"].get("guests") or ()}
    done = [step for change in changes for step in (change.get("report") or {}).get("done") or ()]
    try:
        steps = inverse(done, removals)
    except KeyError as path:
        module.fail_json(msg=f"the group {path} no longer exists; nothing was changed")
    except ValueError as kind:
        module.fail_json(msg=f"a step of the kind {str(kind)!r} cannot be undone; nothing was changed")
    return {**plan, "guests": list(guests.values()) or plan["guests"], "groups": [], "moved": [], "steps": steps}


def _put_back(module: AnsibleModule, change: Change) -> bool:
    """Give a tuning file its previous content. Whether it differed."""
    if not change.get("tuning_file") or change.get("previous_request") is None:
        return False
    file, before = Path(change["tuning_file"]), str(change["previous_request"])
    try:
        now = file.read_text(encoding="utf-8", errors="surrogateescape") if file.exists() else ""
        if now != before and not module.check_mode:
            if module.params["backup"] and now:
                module.backup_local(str(file))
            _replace(module, file, before)
    except OSError as error:
        module.fail_json(msg=f"cannot write {file}: {error.strerror}")
    return now != before


def _replace(module: AnsibleModule, file: Path, text: str) -> None:
    """Write the file as a whole, or remove it if there is nothing to write."""
    if not text:
        file.unlink()
        return
    fd, part = tempfile.mkstemp(prefix=".ansible-", dir=file.parent)
    module.add_cleanup_file(part)
    with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as writer:
        writer.write(text)
    Path(part).chmod(0o644)  # every user may read a tuning file
    module.atomic_move(part, str(file))


if __name__ == "__main__":
    main()
