"""What completion knows of each verb, imported as at a TAB: a program, because only a fresh process imports."""

import json
import sys
from typing import Any

import click

from cachetune.cli.completion.declarations import RULES, declarations
from cachetune.cli.main import VERBS, Verbs


def described(name: str, command: click.Command) -> dict[str, Any]:
    """All that completion uses of a command and of its subcommands."""
    parameters = command.get_params(click.Context(command, info_name=name))
    kinds = [each.type.to_info_dict() for each in parameters]
    return {
        "help": command.help,
        "parameters": [
            (each.name, each.opts, each.metavar, each.nargs, getattr(each, "help", "")) for each in parameters
        ],
        "types": [(kind["name"], kind.get("choices")) for kind in kinds],
        "commands": {word: described(word, each) for word, each in getattr(command, "commands", {}).items()},
    }


def main() -> None:
    """Print the verbs, the modules that were empty while they were imported, the rules, and the modules at the end."""
    group = Verbs()
    with declarations():
        commands = {name: group.get_command(click.Context(group), name) for name in VERBS}
        found = {name: described(name, command) for name, command in commands.items() if command}
        empty = [name for name, module in sys.modules.items() if type(module).__name__ == "_Empty"]
    with declarations(*RULES):
        from cachetune.explain import catalog

        rules = {name: rule.summary for name, rule in catalog.RULES.items()}
    print(json.dumps([found, empty, rules, list(sys.modules)]))  # noqa: T201 - its output


if __name__ == "__main__":
    main()
