"""What the hook says: one line for each change and each trouble, on standard error and in the system's log.

libvirt shows a hook's standard error to whoever starts the guest, but only when the hook fails; of one that succeeds
it logs nothing unless it debugs. So each line also goes to syslog, as ``cachetune-hook``.
"""

import sys
import syslog
from collections.abc import Iterable

from cachetune.apply.report import Report
from cachetune.errors import CachetuneError
from cachetune.findings import Finding
from cachetune.plan.render import describe
from cachetune.text import printable

_NAME = "cachetune-hook"


class HookLog:
    """Speaks for one call. ``failed`` once anything was an error."""

    def __init__(self, guest: str, operation: str) -> None:
        self._about = f"{operation} of {guest}"
        self.failed = False
        syslog.openlog(_NAME, syslog.LOG_PID, syslog.LOG_DAEMON)

    def change(self, text: str) -> None:
        """Something was done."""
        self._say(syslog.LOG_NOTICE, text)

    def trouble(self, text: str, hint: str = "") -> None:
        """Something is not as it should be."""
        self.failed = True
        self._say(syslog.LOG_ERR, f"error: {text}" + (f"; {hint}" if hint else ""))

    def failure(self, error: CachetuneError) -> None:
        """An error, and what to do about it."""
        self.trouble(str(error), error.hint)

    def findings(self, findings: Iterable[Finding]) -> None:
        """Those findings that are errors."""
        for finding in findings:
            if finding.severity == "error":
                where = f"{finding.document}:{finding.line}:{finding.column}" if finding.document else finding.path
                said = f"{finding.message} [{finding.rule}]"
                self.trouble(f"{where}: {said}" if where.strip("/") else said, finding.hint)

    def report(self, report: Report) -> None:
        """Each step that was done, or what went wrong."""
        if report.exit_code:
            self.trouble(report.error, report.hint)
            for failure in report.undo_errors:
                self.trouble(f"not undone: {failure}", "run 'cachetune recover'")
            return
        for step in report.done:
            self.change(describe(step))
        for note in report.notes:
            self.change(f"note: {note}")

    def _say(self, priority: int, text: str) -> None:
        line = printable(f"{self._about}: {text}")
        syslog.syslog(priority, line.encode(errors="backslashreplace").decode())
        try:
            if sys.stderr:
                sys.stderr.write(f"{_NAME}: {line}\n")
        except OSError:  # whoever listened has gone; that is no reason to end a guest
            pass
