"""A guest's groups as a tuning file: the <cputune> that a plan makes the same groups from."""

from cachetune.domain import format_cputune
from cachetune.service.applied import AppliedGuest


def export(guest: AppliedGuest) -> str:
    """The text of the tuning file; an empty <cputune> for a guest without requests."""
    return format_cputune(guest.domain) or "<cputune/>\n"
