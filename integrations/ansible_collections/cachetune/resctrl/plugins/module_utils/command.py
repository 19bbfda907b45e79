"""Run ``cachetune ... --json`` on the managed host and read its answer.

The command's document, its exit code and what it says on stderr are the whole interface; the package of cachetune is
not imported, because it may be in a virtual environment. Whatever the command prints, a module ends with ``fail_json``.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible.module_utils.basic import AnsibleModule

ARGUMENTS: dict[str, dict[str, Any]] = {
    "executable": {"type": "str", "default": "cachetune"},
    "timeout": {"type": "int", "default": 300},
}
LOCK: dict[str, dict[str, Any]] = {"lock_timeout": {"type": "float", "default": 10.0}}

_RULE = re.compile(r"\[(CT[0-9]{3})\]$")
_GRACE_SECONDS = 30  # for a stopped run to undo its steps
_EXCERPT = 300  # characters of output that is no document, in a message


class Answer(NamedTuple):
    """What a run of the command answered.

    ``document`` is empty if it printed none. ``findings`` are as in the document Refusal. ``error`` and ``hint`` are
    those of stderr, without a finding's rule; ``warnings`` are from stderr.
    """

    code: int
    document: dict[str, Any]
    findings: tuple[dict[str, Any], ...]
    error: str
    hint: str
    warnings: tuple[str, ...]
    stdout: str
    stderr: str


class Command:
    """The command ``cachetune``, as a module's parameters say.

    ``document`` is what the command's standard input is called in findings.
    """

    def __init__(self, module: AnsibleModule, document: str = "<stdin>") -> None:
        self._module, self._document = module, document
        self._path = _path_of(module)

    def document(self, *words: str, codes: Sequence[int] = (0,)) -> dict[str, Any]:
        """The document of a run that ends with one of the codes; any other end fails the task."""
        answer = self.run(*words)
        if answer.code not in codes or not answer.document:
            self.fail(answer)
        return answer.document

    def run(self, *words: str, data: str | None = None, text: bool = False) -> Answer:
        """Run the command. With ``text``, stdout is no document. Fails the task if there is no answer to read."""
        code, stdout, stderr = self._execute([self._path, *words], data)
        document = {} if text else self._parsed(stdout, code, stderr)
        said = _said(stderr)
        found = entries(document, "findings") or said.findings
        findings = tuple(self._named(each) for each in found)
        return Answer(code, document, findings, said.error, said.hint, said.warnings, stdout, stderr)

    def fail(self, answer: Answer, *, changed: bool = False, **result: Any) -> None:
        """End the task with what the command answered: its errors with their rules and hints."""
        wrong = [each for each in answer.findings if each.get("severity") == "error"]
        sentences = [_sentence(each) for each in wrong]
        report = result.get("report") or {}
        if report.get("error"):
            sentences.append(_with_hint(str(report["error"]), str(report.get("hint") or "")))
        sentences += [f"not undone: {each}" for each in _list(report.get("undo_errors"))]
        if not sentences:
            other = f"{self._path!r} exited with {answer.code}: {answer.stderr.strip()[:_EXCERPT] or 'no message'}"
            sentences.append(_with_hint(answer.error or other, answer.hint))
        self._module.fail_json(
            msg="; ".join(sentences),
            changed=changed,
            rc=answer.code,
            findings=list(answer.findings),
            rules=sorted({str(each["rule"]) for each in wrong if each.get("rule")}),
            stderr=answer.stderr,
            **result,
        )

    def _named(self, finding: dict[str, Any]) -> dict[str, Any]:
        return {**finding, "document": self._document} if finding.get("document") == "<stdin>" else finding

    def warn(self, *texts: str) -> None:
        """Show warnings of the command, each once."""
        for text in dict.fromkeys(texts):
            self._module.warn(text)

    def _execute(self, command: Sequence[str], data: str | None) -> tuple[int, str, str]:
        timeout = self._module.params["timeout"]
        try:
            process = subprocess.Popen(  # run_command has no timeout
                command,
                stdin=subprocess.DEVNULL if data is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "NO_COLOR": "1"},
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
            self._module.fail_json(msg=f"cannot run {command[0]!r}: {error}", cmd=list(command))
        sent = None if data is None else data.encode("utf-8", "surrogateescape")
        try:
            stdout, stderr = process.communicate(sent, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            try:
                stdout, stderr = process.communicate(timeout=_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                stdout, stderr = b"", b""
            self._module.fail_json(
                msg=f"cachetune was stopped after {timeout} s, the task's timeout; "
                "'cachetune log' shows what it did, and 'cachetune recover' undoes a run that was cut off",
                cmd=list(command),
                stdout=stdout.decode(errors="replace"),
                stderr=stderr.decode(errors="replace"),
            )
        return process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace")

    def _parsed(self, stdout: str, code: int, stderr: str) -> dict[str, Any]:
        if not stdout.strip():
            return {}
        try:
            document = json.loads(stdout)
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, dict) and document.get("schema_version") == 1:
            return document
        why = "no JSON document" if not isinstance(document, dict) else "a document of another version"
        self._module.fail_json(
            msg=f"{self._path!r} printed {why} that this collection can read: {stdout[:_EXCERPT]!r}; "
            "is it the command cachetune, of a version that fits the collection?",
            rc=code,
            stderr=stderr,
        )
        raise AssertionError  # fail_json does not return


class _Said(NamedTuple):
    """What stderr says."""

    error: str
    hint: str
    findings: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...]


def entries(document: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects in a list of a document; anything else in its place is left out."""
    return [each for each in _list(document.get(name)) if isinstance(each, dict)]


def warnings_of(plan: Mapping[str, Any]) -> list[str]:
    """The warnings of a plan as sentences."""
    return [_sentence(each) for each in entries(plan, "warnings")]


def _said(stderr: str) -> _Said:
    """The messages of the command: 'error: TEXT [RULE]', below it '    hint: TEXT', and 'warning: TEXT'."""
    errors: list[dict[str, Any]] = []
    warnings: list[str] = []
    last: dict[str, Any] = {}
    for line in stderr.splitlines():
        place, severity, text = _message(line)
        if severity:
            rule = _RULE.search(text)
            last = {
                "rule": rule[1] if rule else "",
                "severity": severity,
                "message": place + (_RULE.sub("", text).rstrip()),
                "hint": "",
            }
            if severity == "error":
                errors.append(last)
            else:
                warnings.append(place + text)
        elif line.startswith("    hint: ") and last:
            last["hint"] = line.removeprefix("    hint: ")
    plain = [each for each in errors if not each["rule"]]
    first = plain[0] if plain else {"message": "", "hint": ""}
    return _Said(first["message"], first["hint"], tuple(each for each in errors if each["rule"]), tuple(warnings))


def _message(line: str) -> tuple[str, str, str]:
    """The place with its colon, the severity and the text of a line; severity is empty for any other line."""
    found = re.match(r"((?:\S.*?:[0-9]+:[0-9]+: )?)(error|warning): (.*)", line)
    return (found[1], found[2], found[3]) if found else ("", "", "")


def _sentence(finding: Mapping[str, Any]) -> str:
    rule, document, line = finding.get("rule"), finding.get("document"), finding.get("line")
    place = f"{document}:{line}: " if document and line else ""
    text = f"{place}{finding.get('message', '')}" + (f" [{rule}]" if rule else "")
    return _with_hint(text, str(finding.get("hint") or ""))


def _with_hint(text: str, hint: str) -> str:
    return f"{text} (hint: {hint})" if hint else text


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _path_of(module: AnsibleModule) -> str:
    executable: str = module.params["executable"]
    if "/" in executable:
        return executable
    path = module.get_bin_path(executable, opt_dirs=["/usr/local/bin"])
    if path is None:
        module.fail_json(
            msg=f"the command {executable!r} is not installed on this host; "
            "install cachetune, for example with the role cachetune.resctrl.cachetune, or set 'executable'"
        )
    return str(path)
