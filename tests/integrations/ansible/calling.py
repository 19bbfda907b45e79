"""Call a module as Ansible does on a host, but in this process: its parameters, its result."""

import importlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

Call = Callable[..., Mapping[str, Any]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """The result of a module with these parameters, with its ``warnings``.

    Ansible keeps warnings for all of a process, or prints them in one that has loaded a part of the controller.
    """
    from ansible.module_utils.basic import AnsibleModule
    from ansible.module_utils.testing import patch_module_args

    def call_module(module: str, /, *, check_mode: bool = False, **parameters: Any) -> Mapping[str, Any]:
        code = importlib.import_module(f"ansible_collections.cachetune.resctrl.plugins.modules.{module}")
        warnings: list[str] = []
        monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: warnings.append(text))
        with patch_module_args({"_ansible_check_mode": check_mode, **parameters}), pytest.raises(SystemExit):
            code.main()
        result: Mapping[str, Any] = json.loads(capsys.readouterr().out)
        return {**result, "warnings": warnings}

    return call_module
