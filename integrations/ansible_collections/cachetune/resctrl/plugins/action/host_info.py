"""The part of the module host_info on the controller: the host's name in the inventory, and the file in ``dest``."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Run the module on the host, and write the snapshot to a file here."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the result of the module, with the path of the file. A host's name that is no file's is an error."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        arguments["name"] = arguments.get("name") or variables["inventory_hostname"]
        result.update(
            self._execute_module(module_name="cachetune.resctrl.host_info", module_args=arguments, task_vars=variables)
        )
        dest = arguments.get("dest")
        if not dest or result.get("failed"):
            return result
        return result | self._saved(Path(self._loader.path_dwim(dest)), str(arguments["name"]), result["host"])

    def _saved(self, directory: Path, name: str, snapshot: dict[str, Any]) -> dict[str, Any]:
        """The snapshot in its file, written as a whole, so that a reader never sees a part of it."""
        if "/" in name or name.startswith("."):
            return {"failed": True, "msg": f"the name {name!r} cannot be that of a file: set 'name'"}
        path = directory / f"{name}.json"
        if self._task.check_mode:
            return {"dest": str(path)}
        try:
            directory.mkdir(parents=True, exist_ok=True)
            fd, part = tempfile.mkstemp(prefix=f".{name}.", dir=directory)
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                json.dump(snapshot, file, indent=1)
                file.write("\n")
            Path(part).chmod(0o644)
            Path(part).rename(path)
        except OSError as error:
            return {"failed": True, "msg": f"cannot write {path}: {error.strerror}"}
        return {"dest": str(path)}
