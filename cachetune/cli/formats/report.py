"""What a format renders: the result for all files, and the options that decide what fails."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cachetune.service.validation import Outcome, Validation


class Report(NamedTuple):
    """The result of a run. With ``strict`` a file with warnings fails; ``exit_zero`` ignores files that fail."""

    found: "Validation"
    strict: bool = False
    exit_zero: bool = False

    def fails(self, outcome: "Outcome") -> bool:
        """Whether a file that could be read fails the run."""
        return outcome.invalid or (self.strict and bool(outcome.findings))

    @property
    def exit_code(self) -> int:
        """The exit code of ``validate``: 2 if a file could not be read, even with ``exit_zero``."""
        if any(outcome.unreadable for outcome in self.found.reported):
            return 2
        return int(not self.exit_zero and any(map(self.fails, self.found.outcomes)))
