"""Hostile and broken input: one clear finding each, bounded memory and time, and never a traceback."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cachetune.domain import Checker, Checks, load, read_file
from cachetune.domain.problems import MAX_PROBLEMS
from cachetune.domain.xml.document import MAX_BYTES
from cachetune.errors import UnreadableFileError
from tests import waiting

ROOT = Path(__file__).parents[3]
LIMIT_KIB = 256 << 10
_MEASURE = """
import sys
sys.argv = ["cachetune", "validate", *sys.argv[1:]]
try:
    from cachetune.cli.main import main
    main()
finally:
    # Not ru_maxrss, which begins with what the parent of a new process has.
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
    print("peak", peak.split()[1], file=sys.stderr)
"""
LOL = (
    b"<!DOCTYPE domain [<!ENTITY a0 'lol'>"
    + b"".join(b"<!ENTITY a%d '%s'>" % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 12))
    + b"]><domain>&a11;</domain>"
)
EXTERNAL = b"<!DOCTYPE domain [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain><name>&x;</name></domain>"
REMOTE = b"<!DOCTYPE domain SYSTEM 'http://127.0.0.1:1/domain.dtd'><domain/>"
PARAMETER = b"<!DOCTYPE domain [<!ENTITY % x SYSTEM 'file:///etc/passwd'> %x;]><domain/>"
IN_ATTRIBUTE = b"<!DOCTYPE domain [<!ENTITY x 'y'>]><domain name='&x;'/>"
UTF7 = b'<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE domain><domain/>'
UTF16_DOCTYPE = "<?xml version='1.0' encoding='UTF-16'?><!DOCTYPE domain><domain/>".encode("utf-16")
LATE_DOCTYPE = b"<?xml version='1.0'?>\n<!-- x -->\n<?y z?>\n  <!DOCTYPE domain>\n<domain/>"


def cputune(inner: bytes, vcpus: int = 4) -> bytes:
    return b"<domain><vcpu>%d</vcpu><cputune>%s</cputune></domain>" % (vcpus, inner)


DOCUMENTS = {
    "entity expansion": (LOL, "CT008"),
    "external entity": (EXTERNAL, "CT008"),
    "remote DTD": (REMOTE, "CT008"),
    "parameter entity": (PARAMETER, "CT008"),
    "entity in an attribute": (IN_ATTRIBUTE, "CT008"),
    "DOCTYPE in UTF-7": (UTF7, "CT008"),
    "DOCTYPE in UTF-16": (UTF16_DOCTYPE, "CT008"),
    "DOCTYPE after comments": (LATE_DOCTYPE, "CT008"),
    "undefined entity": (b"<domain>&x;</domain>", "CT001"),
    "invalid UTF-8": (b"<domain>\xff\xfe</domain>", "CT001"),
    "NUL": (b"<domain>\0</domain>", "CT001"),
    "NUL after the end": (b"<domain/>\0<x/>", "CT001"),
    "empty": (b"", "CT001"),
    "blanks": (b" \n\t ", "CT001"),
    "no XML": (b"not XML at all", "CT001"),
    "two roots": (b"<domain/><domain/>", "CT001"),
    "unknown encoding": (b"<?xml version='1.0' encoding='no-such'?><domain/>", "CT001"),
    "cut off": (b"<domain><cputune><cachetune vcpus='0", "CT001"),
    "wrong root": (b"<network/>", "CT002"),
    "deep nesting": (b"<domain>" + b"<a>" * 100_000 + b"</a>" * 100_000 + b"</domain>", "CT010"),
    "long text": (b"<domain>" + b"x" * 15_000_000 + b"</domain>", "CT010"),
    "long attribute": (b"<domain a='" + b"x" * 15_000_000 + b"'/>", "CT010"),
    "a million elements": (b"<domain>" + b"<a/>" * 1_000_000 + b"</domain>", "CT010"),
    "crowded cachetune": (cputune(b"<cachetune vcpus='0'>" + b"<monitor/>" * 10_001 + b"</cachetune>"), "CT010"),
    "half a million digits": (cputune(b"<cachetune vcpus='%s'/>" % (b"9" * 500_000)), "CT101"),
}


@pytest.mark.parametrize(("data", "rule"), DOCUMENTS.values(), ids=list(DOCUMENTS))
def test_a_hostile_document_has_exactly_one_finding(data: bytes, rule: str) -> None:
    loaded = load(data, "hostile.xml")
    errors = [finding for finding in loaded.findings if finding.severity == "error"]
    assert [finding.rule for finding in errors] == [rule]
    assert loaded.domain is None
    assert errors[0].message.isprintable()
    assert "XML_PARSE_HUGE" not in errors[0].message


def test_a_doctype_in_a_comment_or_text_is_accepted() -> None:
    inside = b"<title>&lt;!DOCTYPE</title><metadata><![CDATA[<!DOCTYPE x>]]></metadata>"
    assert load(b"<!-- <!DOCTYPE domain> --><domain>%s</domain>" % inside, "guest.xml").findings == ()


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_valid_documents_in_other_encodings_are_read(codec: str) -> None:
    declared = "UTF-16" if codec.startswith("utf-16") else "UTF-8"
    text = f"<?xml version='1.0' encoding='{declared}'?><domain><name>gäst 客</name></domain>"
    domain = load(text.encode(codec), "guest.xml").domain
    assert domain is not None
    assert domain.name == "gäst 客"


def test_at_most_a_thousand_findings_are_reported() -> None:
    found = load(cputune(b"<cachetune><x/></cachetune>" * 5000), "guest.xml").findings
    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1].rule == "CT011"


SLOW = {
    "attributes": b"<domain " + b" ".join(b"a%d=''" % n for n in range(100_000)) + b"/>",
    "children": b"<domain>" + b"<a/>" * 200_000 + b"</domain>",
    "large lists": cputune(b"<cachetune vcpus='0-16383'><monitor vcpus='0-16383'/></cachetune>" * 20_000, 16384),
    "many monitors": cputune(
        b"<cachetune vcpus='0-16383'>" + b"".join(b"<monitor vcpus='%d'/>" % n for n in range(9000)) + b"</cachetune>",
        16384,
    ),
    "long list": cputune(b"<cachetune vcpus='" + b"^1,0," * 200_000 + b"0'><monitor/></cachetune>"),
    "leading zeros": cputune(b"<cachetune vcpus='%s'><monitor level='%s3'/></cachetune>" % ((b"0" * 500_000,) * 2)),
    "a line of findings": cputune(b"<cachetune x=''/>" * 900 + b" " * 9_000_000 + b"<cachetune x=''/>" * 90),
}


@pytest.mark.parametrize("data", SLOW.values(), ids=list(SLOW))
def test_large_documents_take_seconds_not_minutes(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "large.xml"
    path.write_bytes(data)
    result, peak = measured(str(path))
    assert result.returncode in (0, 1), result.stderr
    assert peak < LIMIT_KIB


def measured(*arguments: str, stdin: bytes = b"") -> tuple[subprocess.CompletedProcess[bytes], int]:
    """Run validate in its own process, with 30 s of CPU time, and return its peak memory in KiB too."""
    command = [sys.executable, "-c", _MEASURE, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = waiting.run(command, input=stdin, capture_output=True, env=environment, cpu_limit=30)
    assert b"Traceback" not in result.stderr
    return result, int(result.stderr.split()[-1])


@pytest.mark.parametrize(("data", "rule"), DOCUMENTS.values(), ids=list(DOCUMENTS))
def test_the_command_handles_it_in_bounded_memory(data: bytes, rule: str, tmp_path: Path) -> None:
    path = tmp_path / "hostile.xml"
    path.write_bytes(data)
    result, peak = measured(str(path))
    assert result.returncode == 1
    assert f"[{rule}]".encode() in result.stdout
    assert peak < LIMIT_KIB


def test_any_sixteen_bytes_give_a_result() -> None:
    state = 1
    for _ in range(300):
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 128) - 1
        (finding,) = Checker(Checks()).findings(state.to_bytes(16, "little"))
        assert finding.rule == "CT001"


@pytest.fixture
def unusable(tmp_path: Path) -> dict[str, Path]:
    """Return paths that are not readable files, by their fault."""
    paths = {"No such file": tmp_path / "none", "a directory": tmp_path, "a FIFO": tmp_path / "fifo"}
    paths |= {"a device": Path("/dev/zero"), "larger than": tmp_path / "large", "null byte": Path("a\0b")}
    os.mkfifo(paths["a FIFO"])
    with paths["larger than"].open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    return paths


@pytest.mark.parametrize("what", ["No such file", "a directory", "a FIFO", "a device", "larger than", "null byte"])
def test_an_unreadable_file_is_an_input_error_without_waiting(unusable: dict[str, Path], what: str) -> None:
    caught: list[BaseException] = []

    def read() -> None:
        try:
            read_file(str(unusable[what]))
        except UnreadableFileError as error:
            caught.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive(), "waits forever"
    assert what in str(caught[0])


def test_a_file_without_permission_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> int:
        raise PermissionError(13, "Permission denied")  # root can read everything, so the kernel's answer is mocked

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UnreadableFileError, match="Permission denied"):
        read_file(str(tmp_path / "guest.xml"))


def test_a_file_of_unknown_size_is_read_completely() -> None:
    assert read_file("/proc/self/status").startswith(b"Name:")


def test_standard_input_beyond_the_limit_is_refused_in_bounded_memory() -> None:
    result, peak = measured("-", stdin=b"<domain>" + b" " * (MAX_BYTES + 100))
    assert result.returncode == 2
    assert b"cannot read standard input: it is larger than 16 MiB" in result.stderr
    assert peak < LIMIT_KIB
