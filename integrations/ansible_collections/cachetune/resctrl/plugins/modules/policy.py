#!/usr/bin/python
# Copyright: the cachetune developers
# SPDX-License-Identifier: Apache-2.0

"""Ansible module: the policy of a host, and the default group."""

from __future__ import annotations

DOCUMENTATION = r"""
module: policy
short_description: What the default group of a host keeps
version_added: 0.1.0
description:
  - Manages C(/etc/cachetune/host.toml), which says what no plan may take from the default group of a host, and
    which ways
    no guest gets, and gives the default group what the policy says.
  - A new policy is checked by the command before it replaces the old one.
author:
  - The cachetune developers (@cachetune)
extends_documentation_fragment:
  - cachetune.resctrl.command
  - cachetune.resctrl.command.lock
attributes:
  check_mode:
    description: Checks the policy and plans; writes only a temporary file.
    support: full
  diff_mode:
    description: Shows the file and the values of the default group, before and after.
    support: full
  platform:
    description: Linux.
    platforms: linux
    support: full
options:
  state:
    description:
      - With V(present), the file has the policy.
      - With V(absent), there is no file, and the default group gets back what it had at first.
    type: str
    choices: [present, absent]
    default: present
  policy:
    description:
      - The policy, as in L(host.toml,
        https://github.com/cachetune/cachetune/blob/main/docs/reference/host-policy.md).
    type: dict
  content:
    description: The text of the file, instead of O(policy).
    type: str
  src:
    description: The path of a file on the managed host with the text, instead of O(policy).
    type: path
  path:
    description: The file. Only the default is read by the agent, the hook and all verbs.
    type: path
    default: /etc/cachetune/host.toml
  default_group:
    description:
      - Whether the default group now gets what the policy says, as C(cachetune default) does. Otherwise only plans
        go by
        it, and the agent, when it has nothing else to do.
    type: bool
    default: true
  backup:
    description: Keep a copy of a file that is replaced or removed, with the time in its name.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: The services of the host keep four ways of L3 and all of the bandwidth that they need
  cachetune.resctrl.policy:
    policy:
      default:
        L3:
          least: 4ways
        MB:
          least: 30%
      reserved:
        L3:
          "0": "0-1"
    backup: true
  become: true

- name: A file in the playbook's directory, and only plans go by it
  cachetune.resctrl.policy:
    content: "{{ lookup('ansible.builtin.file', 'host.toml') }}"
    default_group: false
  become: true

- name: No policy
  cachetune.resctrl.policy:
    state: absent
  become: true
"""

RETURN = r"""
path:
  description: The file.
  type: str
  returned: success
  sample: /etc/cachetune/host.toml
plan:
  description: What was planned for the default group, the document that C(cachetune schema plan) describes.
  type: dict
  returned: success and with O(default_group)
  sample: {"schema_version": 1, "steps": [{"kind": "write_schemata", "path": "."}]}
report:
  description: What was done to the default group. Empty in check mode, and if there was nothing to do.
  type: dict
  returned: success and with O(default_group)
  sample: {"schema_version": 1, "outcome": "done"}
backup_file:
  description: Path of the copy of the file that was replaced or removed.
  type: str
  returned: with O(backup), if there was a file
  sample: /etc/cachetune/host.toml.4711.2026-11-30@21:00:00~
findings:
  description: Why the default group cannot have what the policy says.
  type: list
  elements: dict
  returned: failure
  sample: [{"rule": "CT240", "severity": "error"}]
"""

from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cachetune.resctrl.plugins.module_utils.command import (
    ARGUMENTS,
    LOCK,
    Command,
    entries,
    warnings_of,
)
from ansible_collections.cachetune.resctrl.plugins.module_utils.managed_file import ManagedFile
from ansible_collections.cachetune.resctrl.plugins.module_utils.steps import difference
from ansible_collections.cachetune.resctrl.plugins.module_utils.toml import toml

# A plan on a simulated host reads the policy, and depends on nothing of this one.
_READ = ("plan", "--json", "--host=sim:skylake-2s")
_NO_GUEST = "<domain type='kvm'><name>policy</name></domain>"


class PolicyFile:
    """The module: check the new policy, plan for the default group, then write the file, then the default group."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module, self._values = module, module.params
        self._command = Command(module)
        self._file = ManagedFile(module, Path(module.params["path"]))
        self._result: dict[str, Any] = {"path": str(self._file.path)}
        self._steps: list[dict[str, Any]] = []

    def present(self) -> NoReturn:
        """The file has the policy and, if requested, the default group what it says."""
        text = self._text()
        part = self._file.stage(text, self._temporary())
        self._check(part)
        self._plan(f"--policy={part}")
        if self._writes() and text != self._file.before:
            self._result["backup_file"] = self._file.commit(part)
        self._carry_out(f"--policy={self._file.path}")
        self._end(text)

    def absent(self) -> NoReturn:
        """There is no file and, if requested, the default group has what it had at first."""
        self._plan("--reset")
        if self._writes():
            self._result["backup_file"] = self._file.remove()
        self._carry_out("--reset")
        self._end("")

    def _temporary(self) -> Path | None:
        """Where to stage the file: in check mode, not beside the file."""
        return None if self._writes() else Path(self._module.tmpdir)

    def _check(self, part: str) -> None:
        answer = self._command.run(*_READ, f"--policy={part}", "-", data=_NO_GUEST)
        if answer.code not in (0, 1):  # 1: the policy is valid, and too much for that host
            path = str(self._file.path)
            error, stderr = answer.error.replace(part, path), answer.stderr.replace(part, path)
            self._command.fail(answer._replace(error=error, stderr=stderr))

    def _plan(self, word: str) -> None:
        if not self._values["default_group"]:
            return
        answer = self._command.run("default", word, *self._lock(), "--dry-run", "--json")
        if answer.code or not answer.document:
            self._command.fail(answer)
        self._command.warn(*answer.warnings, *warnings_of(answer.document))
        self._result |= {"plan": answer.document, "report": {}}
        self._steps = entries(answer.document, "steps")

    def _carry_out(self, word: str) -> None:
        if not self._writes() or not self._steps:
            return
        answer = self._command.run("default", word, *self._lock(), "--yes", "--json")
        self._result["report"] = report = answer.document if "outcome" in answer.document else {}
        if answer.code:
            changed = answer.code == 3 or self._file.read_again() != self._file.before
            self._command.fail(answer, changed=changed, report=report)
        self._steps = entries(report, "done")

    def _text(self) -> str:
        if self._values["policy"] is not None:
            return toml(self._values["policy"])
        if self._values["src"] is not None:
            try:
                return Path(self._values["src"]).read_text(encoding="utf-8", errors="surrogateescape")
            except OSError as error:
                self._module.fail_json(msg=f"cannot read {self._values['src']}: {error.strerror}")
        text = str(self._values["content"])
        return text if text.endswith("\n") else f"{text}\n"

    def _lock(self) -> list[str]:
        return [f"--lock-timeout={self._values['lock_timeout']}"]

    def _writes(self) -> bool:
        return not self._module.check_mode

    def _end(self, text: str) -> NoReturn:
        diff = [difference(self._steps)] if self._steps else []
        if text != self._file.before:
            diff.append(self._file.difference(text))
        result = {name: value for name, value in self._result.items() if name != "backup_file" or value}
        self._module.exit_json(changed=bool(diff), diff=diff, **result)
        raise AssertionError  # exit_json does not return


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            **LOCK,
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "policy": {"type": "dict"},
            "content": {"type": "str"},
            "src": {"type": "path"},
            "path": {"type": "path", "default": "/etc/cachetune/host.toml"},
            "default_group": {"type": "bool", "default": True},
            "backup": {"type": "bool", "default": False},
        },
        required_if=[("state", "present", ("policy", "content", "src"), True)],
        mutually_exclusive=[("policy", "content", "src")],
        supports_check_mode=True,
    )
    policy = PolicyFile(module)
    if module.params["state"] == "absent":
        policy.absent()
    policy.present()


if __name__ == "__main__":
    main()
