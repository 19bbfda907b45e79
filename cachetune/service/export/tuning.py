"""A guest's groups as a tuning file: the <cputune> that a plan makes the same groups from."""

from cachetune.domain import Head, tuning_text
from cachetune.service.applied import AppliedGuest


def export(guest: AppliedGuest, schema: str) -> str:
    """The text of the tuning file, which names the schema; an empty <cputune> for a guest without requests."""
    return tuning_text(guest.domain, Head().naming(schema))
