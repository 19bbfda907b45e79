#!/usr/bin/python
# Copyright: the cachetune developers
# SPDX-License-Identifier: Apache-2.0

"""Ansible module: the cache and bandwidth of one guest."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tuning
short_description: Cache and memory bandwidth of a libvirt guest
version_added: 0.1.0
description:
  - Gives a running guest the cache and memory bandwidth that a request describes, changes single values of what it
    has,
    or takes all of it away. A change is done as a whole or not at all.
  - The request is a tuning file (C(<cputune>) alone, or domain XML), given as O(xml) or O(src). Without either and
    without values, it is what the host has for the guest already, its tuning file or its live XML.
  - The module plans first, and changes something only if the plan has steps. The change itself is planned again
    under the
    lock on resctrl, so what another program changes in between cannot make it wrong.
author:
  - The cachetune developers (@cachetune)
extends_documentation_fragment:
  - cachetune.resctrl.command
  - cachetune.resctrl.command.lock
attributes:
  check_mode:
    description: Plans only; writes nothing.
    support: full
  diff_mode:
    description: Shows the values of the groups, the threads in them, and the tuning file, before and after.
    support: full
  platform:
    description: Linux with resctrl mounted.
    platforms: linux
    support: full
options:
  guest:
    description: Name of the guest.
    type: str
    required: true
  state:
    description:
      - With V(present), the guest has what is requested.
      - With V(absent), it has no groups of cachetune. The default group gets the ways back.
    type: str
    choices: [present, absent]
    default: present
  xml:
    description: The request, as the text of a tuning file.
    type: str
  src:
    description: The request, as the path of a tuning file on the managed host.
    type: path
  vcpus:
    description:
      - Of which vCPUs values are changed, a list such as V(0-3). Like O(threads) and O(whole), needed only if the
        guest has
        several groups, or none.
    type: str
  threads:
    description: Of which other threads values are changed, V(emulator), V(iothreads), V(iothreads:LIST) or V(vhost).
    type: str
  whole:
    description: Values are changed for the whole process.
    type: bool
    default: false
  l3:
    description:
      - Size of L3 caches, C([ID=]SIZE). The size is V(6MiB), V(3ways), V(30%) or V(none), which drops the request;
        ID is a cache
        id or a list such as V(0-3). Without it, the value is for all caches.
    type: list
    elements: str
    default: []
  l3code:
    description: As O(l3), the size for code, on a host with CDP.
    type: list
    elements: str
    default: []
  l3data:
    description: As O(l3), the size for data, on a host with CDP.
    type: list
    elements: str
    default: []
  l2:
    description: As O(l3), of L2 caches.
    type: list
    elements: str
    default: []
  l2code:
    description: As O(l2), the size for code, on a host with CDP of L2.
    type: list
    elements: str
    default: []
  l2data:
    description: As O(l2), the size for data, on a host with CDP of L2.
    type: list
    elements: str
    default: []
  mb:
    description:
      - Memory bandwidth, C([ID=]RATE). The rate is V(50%), V(500MiB/s), V(6.25GB/s), a number in the host's unit,
        or V(none).
    type: list
    elements: str
    default: []
  smba:
    description: As O(mb), of slow memory (AMD).
    type: list
    elements: str
    default: []
  monitor:
    description: Monitors to add, each a list of vCPUs or a kind of threads; V(none) removes all.
    type: list
    elements: str
    default: []
  clear:
    description: Drop all that the group requests, then set the values.
    type: bool
    default: false
  exclusive:
    description:
      - Whether no other group and no device may have the ways. With a request, V(true) makes all of its groups
        exclusive, and
        otherwise the request decides.
    type: bool
  save:
    description:
      - Also write the request to the guest's tuning file, from which the agent and the hook of cachetune take it.
        It is written
        as given, once the host has it. With values, it is the tuning file that C(cachetune set --save) writes.
      - With O(state=absent), also remove the tuning file. Otherwise the agent or the hook applies it again.
      - If the guest is not running, only the tuning file is changed, unless O(require_running=true).
    type: bool
    default: false
  require_running:
    description: Fail if the guest is not running, also with O(save).
    type: bool
    default: false
  guests_d:
    description:
      - Directory of tuning files on the managed host. The default is E(CACHETUNE_GUESTS_D), or else
        V(/etc/cachetune/guests.d).
    type: path
  backup:
    description: Keep a copy of a tuning file that is replaced or removed, with the time in its name.
    type: bool
    default: false
  shrink_default:
    description: Take ways from the default group, as few as needed.
    type: bool
    default: false
  compact:
    description: Move groups that cachetune made to other ways if that makes room.
    type: bool
    default: false
  take_tasks:
    description: Also move threads out of foreign groups.
    type: bool
    default: false
  assign_counters:
    description: Assign bandwidth counters to monitors that have none (AMD ABMC, MPAM).
    type: bool
    default: false
  round:
    description: Round sizes to whole ways and bandwidths to the host's steps. By default, only percentages are
      rounded.
    type: str
    choices: [up, down, nearest]
  adopt:
    description: Also change groups that libvirt made for the guest.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Web has three ways of L3 and at most half of the memory bandwidth, also after its next start
  cachetune.resctrl.tuning:
    guest: web
    xml: |
      <cputune>
        <cachetune vcpus='0-1'>
          <cache id='0' level='3' type='both' size='3' unit='ways'/>
        </cachetune>
        <memorytune vcpus='0-1'>
          <node id='0' bandwidth='50'/>
        </memorytune>
      </cputune>
    shrink_default: true
    save: true
  become: true

- name: The request of a file in the playbook's directory
  cachetune.resctrl.tuning:
    guest: web
    xml: "{{ lookup('ansible.builtin.file', 'guests/web.xml') }}"
    save: true
  become: true

- name: One value of what it has
  cachetune.resctrl.tuning:
    guest: web
    vcpus: 0-1
    l3: 0=2ways
    save: true
  become: true

- name: The host has what its tuning file or live XML requests
  cachetune.resctrl.tuning:
    guest: web
  become: true

- name: Take it away
  cachetune.resctrl.tuning:
    guest: web
    state: absent
    save: true
  become: true

- name: On a simulated host that 'cachetune sim mount' has mounted
  cachetune.resctrl.tuning:
    guest: web
    l3: 3ways
    whole: true
    executable: /opt/cachetune/bin/cachetune
  environment:
    CACHETUNE_RESCTRL: /tmp/resctrl
    CACHETUNE_SYSFS: /tmp/sys
    CACHETUNE_RUN: /tmp/run
"""

RETURN = r"""
plan:
  description: What was planned, the document that C(cachetune schema plan) describes. Empty if the guest is not
    running.
  type: dict
  returned: success
  sample: {"schema_version": 1, "steps": [{"kind": "create_group", "path": "cachetune-web-vcpus_0-1"}]}
report:
  description:
    - What was done, the document that C(cachetune schema report) describes. Empty in check mode, and if there was
      nothing to do.
  type: dict
  returned: always
  sample: {"schema_version": 1, "outcome": "done", "machine_names": ["cachetune-web"]}
running:
  description: Whether the guest was running. With O(state=absent), whether the host knew of groups or a request of
    it.
  type: bool
  returned: success
  sample: true
tuning_file:
  description: Path of the guest's tuning file, with O(save).
  type: str
  returned: success and with O(save)
  sample: /etc/cachetune/guests.d/web.xml
previous_request:
  description: Content of the tuning file before, with which a later task can go back; empty without a file.
  type: str
  returned: success and with O(save)
  sample: <cputune/>
backup_file:
  description: Path of the copy of the tuning file that was replaced or removed.
  type: str
  returned: with O(backup), if there was a file
  sample: /etc/cachetune/guests.d/web.xml.4711.2026-11-30@21:00:00~
findings:
  description: What is wrong with the request, or why it does not fit, as in the document Refusal of cachetune.
  type: list
  elements: dict
  returned: failure
  sample:
    - rule: CT207
      severity: error
      message: "L3 cache 0: no room for 7077888 bytes (3 ways): 0 of 11 ways are free"
      hint: pass --shrink-default to take ways from the default group
rules:
  description: The rules of the errors among RV(findings); C(cachetune explain RULE) explains each.
  type: list
  elements: str
  returned: failure
  sample: ["CT207"]
rc:
  description: Exit code of the command.
  type: int
  returned: failure
  sample: 2
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cachetune.resctrl.plugins.module_utils.command import (
    ARGUMENTS,
    LOCK,
    Command,
    entries,
    warnings_of,
)
from ansible_collections.cachetune.resctrl.plugins.module_utils.managed_file import guest_in, tuning_file
from ansible_collections.cachetune.resctrl.plugins.module_utils.steps import difference

if TYPE_CHECKING:
    from ansible_collections.cachetune.resctrl.plugins.module_utils.command import Answer

_AMOUNTS = ("l3", "l3code", "l3data", "l2", "l2code", "l2data", "mb", "smba", "monitor")
_MEMBERS = ("vcpus", "threads")
_FLAGS = ("shrink_default", "compact", "take_tasks", "assign_counters", "adopt")
_NOT_RUNNING = "is not running on this host"
_NOT_KNOWN = "is not known: it is not running"


class Tuning:
    """The module: plan, then change what the plan says, then the tuning file."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module, self._values = module, module.params
        self._guest: str = module.params["guest"]
        self._command = Command(module, document=module.params["src"] or "xml")
        self._file = tuning_file(module, self._guest) if module.params["save"] else None
        self._result: dict[str, Any] = {"plan": {}, "report": {}, "running": True}
        self._steps: list[dict[str, Any]] = []  # that were taken; in check mode, that would be
        self._text: str | None = None  # what the tuning file has at the end, if it is managed
        if self._file:
            self._result["tuning_file"] = str(self._file.path)
            self._result["previous_request"] = self._file.before

    def present(self) -> NoReturn:
        """The guest has what a request, or values, say."""
        if self._has_values():
            self._set()
        xml = self._request()
        if self._file and xml is None:
            self._fail("'save' needs 'xml', 'src' or values: what the guest has already is saved already")
        words = ["apply", f"--guest={self._guest}", *self._how(), *self._exclusive("--exclusive", "")]
        words += [] if xml is None else ["-"]
        answer = self._command.run(*words, *self._saving(), "--dry-run", "--json", data=xml)
        if answer.code == 2 and _NOT_RUNNING in answer.error and self._file and xml is not None:
            self._save_only(answer, xml)
        self._planned(answer)
        part = self._file.stage(xml) if self._writes() and self._file and xml != self._file.before and xml else ""
        self._carry_out(words, xml)
        if self._file and xml is not None:
            self._saved(xml, part)
        self._end()

    def absent(self) -> NoReturn:
        """The guest has no groups of cachetune and, with ``save``, no tuning file."""
        words = ["remove", f"--guest={self._guest}", *self._directory(), *self._lock()]
        answer = self._command.run(*words, "--dry-run", "--json")
        if answer.code == 2 and _NOT_KNOWN in answer.error:
            self._result["running"] = False
            self._end()
        kept = () if self._file else answer.warnings  # with 'save', the file that they are about is removed
        self._planned(answer._replace(warnings=kept))
        if not self._file or not self._file.path.exists():
            self._carry_out(words)
            self._end()
        # The file first, or else a running agent applies it again between the two.
        if self._writes():
            self._result["backup_file"] = self._file.remove()
        self._text = ""
        self._carry_out(words)
        self._end()

    def _set(self) -> NoReturn:
        """Values of what the guest has: the command merges them, under the lock."""
        words = ["set", *self._words_of_values(), *self._how()]
        self._planned(self._command.run(*words, *self._saving(), "--dry-run", "--json", "--", self._guest))
        if self._file and not self._writes():
            shown = self._command.run(*words, "--xml", "--", self._guest, text=True)
            self._text = shown.stdout if shown.code == 0 else self._file.before
        if self._file and self._writes() and self._values["backup"] and self._file.before:
            shown = self._command.run(*words, "--xml", "--", self._guest, text=True)
            if shown.code == 0 and shown.stdout != self._file.before:
                self._result["backup_file"] = self._module.backup_local(str(self._file.path))
        # also without steps: the tuning file can differ
        self._carry_out([*words, *self._saving()], always=self._file is not None, after=("--", self._guest))
        if self._file and self._writes():
            self._text = self._file.read_again()
        self._end()

    def _save_only(self, answer: Answer, xml: str) -> NoReturn:
        """Only the tuning file, of a guest that is not running. The request is checked, and planned without
        threads."""
        if self._values["require_running"]:
            self._command.fail(answer)
        checked = self._command.run("validate", "--json", "-", data=xml)
        findings = [each for file in entries(checked.document, "files") for each in entries(file, "findings")]
        if checked.code:
            self._command.fail(checked._replace(findings=tuple(findings)))
        if (named := guest_in(xml)) not in ("", self._guest):
            self._fail(f"the request is of guest {named!r}, not of {self._guest!r}")
        words = ["plan", "--json", "--machine-name=cachetune-planned", *self._how(only_plan=True), "-"]
        planned = self._command.run(*words, data=xml)
        for each in planned.findings if planned.code else ():
            if each.get("severity") == "error":
                self._command.warn(f"it does not fit now: {each.get('message')} [{each.get('rule')}]")
        self._result["running"] = False
        self._result["msg"] = f"guest {self._guest!r} is not running: only its tuning file is changed"
        if self._file:
            part = self._file.stage(xml) if self._writes() and xml != self._file.before else ""
            self._saved(xml, part)
        self._end()

    def _planned(self, answer: Answer) -> None:
        """Take the plan of a rehearsal, or fail with its findings."""
        if answer.code or not answer.document:
            self._command.fail(answer, **self._so_far())
        self._result["plan"] = answer.document
        self._command.warn(*answer.warnings, *warnings_of(answer.document))
        self._steps = entries(answer.document, "steps")

    def _carry_out(
        self, words: list[str], data: str | None = None, *, always: bool = False, after: tuple[str, ...] = ()
    ) -> None:
        """Make the change, unless nothing is to be done or this is check mode."""
        if not self._writes() or not (self._steps or always):
            return
        answer = self._command.run(*words, "--yes", "--json", *after, data=data)
        if answer.code == 2 and _NOT_KNOWN in answer.error:  # removed by the agent since
            return
        report = answer.document if "outcome" in answer.document else {}
        self._result["report"] = report
        if answer.code:
            self._command.fail(answer, **{**self._so_far(), "changed": self._file_changed() or answer.code == 3})
        self._steps = entries(report, "done")

    def _saved(self, text: str, part: str) -> None:
        """The tuning file has the text: what was staged is put in place."""
        if self._file and part:
            self._result["backup_file"] = self._file.commit(part)
        self._text = text

    def _file_changed(self) -> bool:
        return self._file is not None and self._file.read_again() != self._file.before

    def _request(self) -> str | None:
        """The text of the request, which ends with a newline; None without ``xml`` and ``src``."""
        if self._values["src"] is not None:
            try:
                text = Path(self._values["src"]).read_text(encoding="utf-8", errors="surrogateescape")
            except OSError as error:
                self._fail(f"cannot read {self._values['src']}: {error.strerror}")
        elif self._values["xml"] is not None:
            text = self._values["xml"]
        else:
            return None
        return text if text.endswith("\n") else f"{text}\n"

    def _has_values(self) -> bool:
        named = [name for name in (*_MEMBERS, *_AMOUNTS, "whole", "clear") if self._values[name]]
        request = next((name for name in ("xml", "src") if self._values[name] is not None), "")
        if named and request:
            self._fail(f"{request!r} is a whole request, and {named[0]!r} changes one value: pass only one of them")
        return bool(named) or (not request and self._values["exclusive"] is not None)

    def _words_of_values(self) -> list[str]:
        words = [f"--{name}={self._values[name]}" for name in _MEMBERS if self._values[name]]
        words += [f"--{name}={each}" for name in _AMOUNTS for each in self._values[name]]
        words += [*self._flag("whole", "--all"), *self._flag("clear", "--clear")]
        return [*words, *self._exclusive("--exclusive", "--shareable")]

    def _exclusive(self, yes: str, no: str) -> list[str]:
        chosen = self._values["exclusive"]
        word = "" if chosen is None else yes if chosen else no
        return [word] if word else []

    def _how(self, *, only_plan: bool = False) -> list[str]:
        words = [word for name in _FLAGS for word in self._flag(name, f"--{name.replace('_', '-')}")]
        if self._values["round"]:
            words.append(f"--round={self._values['round']}")
        return words if only_plan else [*words, *self._directory(), *self._lock()]

    def _flag(self, name: str, word: str) -> list[str]:
        return [word] if self._values[name] else []

    def _directory(self) -> list[str]:
        return [f"--guests-d={self._values['guests_d']}"] if self._values["guests_d"] else []

    def _lock(self) -> list[str]:
        return [f"--lock-timeout={self._values['lock_timeout']}"]

    def _saving(self) -> list[str]:
        return ["--save"] if self._file else []

    def _writes(self) -> bool:
        return not self._module.check_mode

    def _so_far(self) -> dict[str, Any]:
        return {name: value for name, value in self._result.items() if name in ("plan", "report") and value}

    def _fail(self, message: str) -> NoReturn:
        self._module.fail_json(msg=message)
        raise AssertionError  # fail_json does not return

    def _end(self) -> NoReturn:
        diff = [difference(self._steps)] if self._steps else []
        if self._file and self._text is not None and self._text != self._file.before:
            diff.append(self._file.difference(self._text))
        result = {name: value for name, value in self._result.items() if name != "backup_file" or value}
        self._module.exit_json(changed=bool(diff), diff=diff, **result)
        raise AssertionError  # exit_json does not return


def main() -> None:
    """Run the module."""
    amounts = {name: {"type": "list", "elements": "str", "default": []} for name in _AMOUNTS}
    flags = {name: {"type": "bool", "default": False} for name in (*_FLAGS, "whole", "clear", "save", "backup")}
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            **LOCK,
            "guest": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "xml": {"type": "str"},
            "src": {"type": "path"},
            "vcpus": {"type": "str"},
            "threads": {"type": "str"},
            **amounts,
            **flags,
            "require_running": {"type": "bool", "default": False},
            "exclusive": {"type": "bool"},
            "guests_d": {"type": "path"},
            "round": {"type": "str", "choices": ["up", "down", "nearest"]},
        },
        mutually_exclusive=[("xml", "src"), ("vcpus", "threads")],
        supports_check_mode=True,
    )
    tuning = Tuning(module)
    if module.params["state"] == "absent":
        tuning.absent()
    tuning.present()


if __name__ == "__main__":
    main()
