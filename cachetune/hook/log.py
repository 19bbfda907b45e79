"""The hook's log: one line for each change and each error, on standard error and in syslog.

libvirt shows the standard error of a hook to the user who starts the guest, but only if the hook fails, and logs that
of a successful hook only when debugging. So each line also goes to syslog, as ``cachetune-hook``.
"""

import sys
import syslog
from collections.abc import Iterable

from cachetune.apply.report import Report
from cachetune.errors import CachetuneError
from cachetune.findings import Finding, location_of
from cachetune.hook.hints import hint_for_hook
from cachetune.plan.render import describe
from cachetune.text import printable

_NAME = "cachetune-hook"


class HookLog:
    """The log of one call. ``failed`` is true after the first error."""

    def __init__(self, guest: str, operation: str) -> None:
        self._about = f"{operation} of {guest}"
        self.failed = False
        syslog.openlog(_NAME, syslog.LOG_PID, syslog.LOG_DAEMON)

    def change(self, text: str) -> None:
        """Log a change."""
        self._log(syslog.LOG_NOTICE, text)

    def warnings(self, texts: Iterable[str]) -> None:
        """Log warnings, which do not stop a guest."""
        for text in texts:
            self._log(syslog.LOG_WARNING, f"warning: {text}")

    def problem(self, text: str, hint: str = "") -> None:
        """Log an error and its hint."""
        self.failed = True
        self._log(syslog.LOG_ERR, f"error: {text}" + (f"; {hint_for_hook(hint)}" if hint else ""))

    def failure(self, error: CachetuneError) -> None:
        """Log an exception."""
        self.problem(str(error), error.hint)

    def findings(self, findings: Iterable[Finding]) -> None:
        """Log the findings that are errors."""
        for finding in findings:
            if finding.severity == "error":
                where = location_of(finding) or (f"{finding.path}: " if finding.path.strip("/") else "")
                self.problem(f"{where}{finding.text}", finding.hint)

    def report(self, report: Report) -> None:
        """Log each step that was done, or what failed."""
        if report.exit_code:
            self.problem(report.error, report.hint)
            for failure in report.undo_errors:
                self.problem(f"not undone: {failure}", "run 'cachetune recover'")
            return
        for step in report.done:
            self.change(describe(step))
        for note in report.notes:
            self.change(f"note: {note}")

    def _log(self, priority: int, text: str) -> None:
        line = printable(f"{self._about}: {text}")
        syslog.syslog(priority, line.encode(errors="backslashreplace").decode())
        try:
            if sys.stderr:
                sys.stderr.write(f"{_NAME}: {line}\n")
        except OSError:  # stderr is closed, which must not stop a guest
            pass
