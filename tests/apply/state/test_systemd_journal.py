"""A real journald, in a private mount and network namespace, stores what a run sends to it; journalctl finds it."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from cachetune.apply.record import MESSAGE_ID
from tests import waiting

pytestmark = pytest.mark.slow

JOURNALD = Path("/usr/lib/systemd/systemd-journald")
# Neither the kernel's log nor its audit is touched: both belong to the machine.
WITH_JOURNALD = """
set -e
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /etc/systemd
printf '[Journal]\\nStorage=volatile\\nAudit=no\\nReadKMsg=no\\n' >/etc/systemd/journald.conf
mkdir -p /run/systemd/journal /run/log/journal
"$1" 2>/dev/null &
until [ -S /run/systemd/journal/socket ]; do kill -0 $!; sleep 0.1; done
"$2" -c "$3"
for try in 1 2 3 4 5 6 7 8 9 10; do
    journalctl --quiet --directory=/run/log/journal --output=json CACHETUNE_GUESTS=web | grep . && break
    sleep 0.2
done
kill $!
"""
# A run on a simulated resctrl that is taken for the kernel's.
RUN = """
import tempfile
from pathlib import Path
from cachetune.apply import record
from cachetune.apply.run import Connection, apply
from tests.apply.test_record import web_plan
from tests.samples import host_with_guest
record.is_kernels = lambda _: True
with tempfile.TemporaryDirectory() as run:
    connection = Connection(host_with_guest("skylake-2s"), Path(run), program="apply")
    apply(web_plan(connection), connection)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a journald in its own namespaces")
@pytest.mark.skipif(not JOURNALD.exists(), reason="there is no journald (Debian's systemd)")
def test_journald_stores_a_change_with_its_fields_and_adds_the_process() -> None:
    words = ["unshare", "--mount", "--net", "/bin/sh", "-c", WITH_JOURNALD, "sh", str(JOURNALD), sys.executable, RUN]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    assert shutil.which("unshare")
    done = waiting.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    entry = json.loads(done.stdout)
    assert entry["MESSAGE"].startswith("apply: web: done: 1 control group and 2 monitor groups to create")
    expected = {
        "MESSAGE_ID": MESSAGE_ID,
        "PRIORITY": "5",
        "SYSLOG_IDENTIFIER": "cachetune",
        "CACHETUNE_PROGRAM": "apply",
        "CACHETUNE_OUTCOME": "done",
        "_TRANSPORT": "journal",
        "_UID": "0",
    }
    assert {name: entry.get(name) for name in expected} == expected
