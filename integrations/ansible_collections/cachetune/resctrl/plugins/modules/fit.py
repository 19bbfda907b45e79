#!/usr/bin/python
# Copyright: the cachetune developers
# SPDX-License-Identifier: Apache-2.0

"""Ansible module: whether requests of several guests fit on a host together."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fit
short_description: Check whether guests fit on a host together
version_added: 0.1.0
description:
  - Plans the requests of all guests one after another on a snapshot of the host, with C(cachetune fit --together), and
    fails if one of them does not fit after those before it. It never changes anything.
  - M(cachetune.resctrl.tuning) in check mode says the same for each guest alone. Two guests can fit separately, and not
    together.
  - Guests need not be running. Those that have groups on the host keep their ways, or get others.
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
    description: Linux with resctrl mounted.
    platforms: linux
    support: full
options:
  guests:
    description:
      - The guests in the order in which their requests are applied.
      - C(cachetune fit) has one set of options for all guests. If these differ, each guest is planned with all of them,
        and with the rounding that needs the least room, so a guest may still be refused when it is tuned.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the guest.
        type: str
        required: true
      xml:
        description: Its request, C(<cputune>) alone or domain XML.
        type: str
        required: true
      shrink_default:
        description: Take ways from the default group, as few as needed.
        type: bool
        default: false
      compact:
        description: Move groups that cachetune made to other ways if that makes room.
        type: bool
        default: false
      round:
        description: Round sizes to whole ways and bandwidths to the host's steps.
        type: str
        choices: [up, down, nearest]
  policy:
    description: The policy of the host, if the file exists.
    type: path
    default: /etc/cachetune/host.toml
"""

EXAMPLES = r"""
- name: Both guests fit
  cachetune.resctrl.fit:
    guests:
      - {name: web, xml: "{{ lookup('ansible.builtin.file', 'web.xml') }}", shrink_default: true}
      - {name: db, xml: "{{ lookup('ansible.builtin.file', 'db.xml') }}", shrink_default: true}
  become: true
"""

RETURN = r"""
fits:
  description: The answer for each guest, in order, as in the document that C(cachetune schema fit) describes.
  type: list
  elements: dict
  returned: always, unless the command could not answer
  sample: [{"guest": "web", "answer": "fits", "means": ["shrunk"]}]
"""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cachetune.resctrl.plugins.module_utils.command import ARGUMENTS, Command, entries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_ROUNDINGS = ("down", "nearest", "up")  # the first needs the least room
_LONGEST = 255  # bytes of a file's name

Guest = dict[str, Any]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "guests": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "xml": {"type": "str", "required": True},
                    "shrink_default": {"type": "bool", "default": False},
                    "compact": {"type": "bool", "default": False},
                    "round": {"type": "str", "choices": ["up", "down", "nearest"]},
                },
            },
            "policy": {"type": "path", "default": "/etc/cachetune/host.toml"},
        },
        supports_check_mode=True,
    )
    guests: list[Guest] = module.params["guests"]
    command = Command(module)
    with tempfile.TemporaryDirectory(dir=module.tmpdir) as directory:
        files = [_file(module, Path(directory), guest) for guest in guests]
        snapshot = Path(directory, "host")  # no name of a guest's file
        snapshot.write_text(_snapshot(command), encoding="utf-8")
        words = ["fit", "--together", "--json", *_options(guests)]
        if Path(module.params["policy"]).exists():
            words.append(f"--policy={module.params['policy']}")
        document = command.document(*words, "--", *files, str(snapshot), codes=(0, 1, 2)) if guests else {}
    unusable = [f"{Path(str(each.get('file'))).stem}: {_why(each)}" for each in entries(document, "unusable")]
    fits = [fit for guest in entries(document, "guests") for fit in entries(guest, "hosts")]
    refused = [_sentence(fit, alone=not n) for n, fit in enumerate(fits) if fit.get("answer") != "fits"]
    if unusable or refused:
        module.fail_json(msg="; ".join([*unusable, *refused]), fits=fits, changed=False)
    module.exit_json(changed=False, fits=fits)


def _file(module: AnsibleModule, directory: Path, guest: Guest) -> str:
    """The request in a file that is called like its guest; its path. Fails the task for a name that no file has."""
    name = guest["name"]
    path = directory / f"{name}.xml"
    if not name or name.startswith(".") or "/" in name or "\0" in name or len(os.fsencode(path.name)) > _LONGEST:
        module.fail_json(msg=f"guest {name!r}: no file can have this name")
    if path.exists():
        module.fail_json(msg=f"guest {name!r} is in 'guests' twice")
    path.write_text(guest["xml"], encoding="utf-8", errors="surrogateescape")
    return str(path)


def _snapshot(command: Command) -> str:
    answer = command.run("snapshot")
    if answer.code:
        command.fail(answer)
    return answer.stdout


def _options(guests: Sequence[Guest]) -> Iterator[str]:
    for name in ("shrink_default", "compact"):
        if any(guest[name] for guest in guests):
            yield f"--{name.replace('_', '-')}"
    given = {guest["round"] for guest in guests}
    yield from [f"--round={each}" for each in _ROUNDINGS if each in given][:1]


def _why(unusable: Mapping[str, Any]) -> str:
    """Why a request cannot be used: its errors, or else the reason."""
    errors = [each for each in entries(unusable, "findings") if each.get("severity") == "error"]
    return ", ".join(_finding(each) for each in errors) or str(unusable.get("reason"))


def _sentence(fit: Mapping[str, Any], *, alone: bool) -> str:
    """Which guest does not fit and why, and the options with which it would."""
    errors = [each for each in entries(fit, "findings") if each.get("severity") == "error"]
    missing = " ".join(map(str, fit.get("missing") or ()))
    hint = f" (it would with {missing})" if missing else ""
    others = "" if alone else " with the guests before it"
    return f"{fit.get('guest')} does not fit{others}: {', '.join(map(_finding, errors))}{hint}"


def _finding(finding: Mapping[str, Any]) -> str:
    return f"{finding.get('message')} [{finding.get('rule')}]"


if __name__ == "__main__":
    main()
