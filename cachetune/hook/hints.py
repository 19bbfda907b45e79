"""Hints for the user who starts a guest: those of a plan name options of ``plan`` and ``apply``; the hook differs."""

import re

from cachetune.hook import FLAGS, VALUES
from cachetune.text import listed

# Where the hook's script has its options from, and the services theirs.
OPTIONS_FILE = "/etc/default/cachetune"
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_COMMAND = re.compile(r"'[^']*'")


def hint_for_hook(hint: str) -> str:
    """The hint with the hook's options named as such, and the command that has each other option."""
    text = re.sub(r"(?<![\w-])--compact\b", "'cachetune compact'", hint).replace("plan with", "use")
    options = list(dict.fromkeys(_OPTION.findall(_COMMAND.sub("", text))))
    own = [option for option in options if option in FLAGS or option in VALUES]
    others = [option for option in options if option not in own]
    remarks = [
        *([f"{listed(own)}: HOOK_OPTIONS in {OPTIONS_FILE}"] if own else []),
        *([f"{listed(others)}: 'cachetune apply'"] if others else []),
    ]
    return f"{text} ({'; '.join(remarks)})" if remarks else text
