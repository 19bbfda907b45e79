"""Where a finding is, as CI systems want it: a path from the root of the repository, and an identity across edits."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from cachetune.findings import Finding
from cachetune.service.validation import STDIN

_ROOTS = ("GITHUB_WORKSPACE", "CI_PROJECT_DIR")
_MOVING = re.compile(r"\[[0-9]+\]|\bline [0-9]+")
"""The parts of paths and messages that change when other elements come and go."""


def in_repository(file: str) -> str:
    """The path of a file from the root of the repository, or an absolute path if it is outside.

    The root is the checkout in GitHub Actions and GitLab CI, elsewhere the working directory.
    """
    if file == STDIN:
        return file
    path = Path(os.path.abspath(file))  # noqa: PTH100 - a path through a symbolic link stays as it is
    checkouts = [Path(value) for name in _ROOTS if (value := os.environ.get(name))]
    for root in (*checkouts, *(each.resolve() for each in checkouts), Path.cwd()):
        if path.is_relative_to(root):
            return str(path.relative_to(root))
    return str(path)


def fingerprints(file: str, findings: Iterable[Finding]) -> Iterator[str]:
    """An identity for each finding of a file, which stays the same when lines and other elements come and go.

    Equal findings are counted in document order.
    """
    seen = Counter[str]()
    for finding in findings:
        name = "\0".join((file, finding.rule, _MOVING.sub("", finding.path), _MOVING.sub("", finding.message)))
        seen[name] += 1
        yield hashlib.sha256(f"{name}\0{seen[name]}".encode(errors="surrogateescape")).hexdigest()
