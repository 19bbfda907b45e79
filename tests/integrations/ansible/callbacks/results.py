"""A callback plugin of the tests: each task's result as a line of JSON in the file that RESULTS names."""

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: results
type: aggregate
short_description: The results of all tasks, for the tests
description: Appends a line of JSON for each result.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "results"
    CALLBACK_NEEDS_ENABLED = True

    def v2_runner_on_ok(self, result: Any) -> None:
        self._write(result, "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ARG002
        self._write(result, "failed")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._write(result, "unreachable")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._write(result, "skipped")

    def _write(self, result: Any, status: str) -> None:
        line = {
            "task": result.task.get_name(),
            "host": result.host.get_name(),
            "status": status,
            "result": json.loads(json.dumps(result.result, default=str)),
        }
        with open(os.environ["RESULTS"], "a") as file:  # noqa: PTH123
            file.write(json.dumps(line) + "\n")
