"""The exact message and place of each fault."""

import pytest

from cachetune.domain import load
from cachetune.findings import Finding


def findings(text: str) -> tuple[Finding, ...]:
    return load(text.encode(), "guest.xml").findings


def lines(text: str) -> list[str]:
    return [f"{f.line}:{f.column}: {f.message} [{f.rule}]" for f in findings(text)]


def cputune(inner: str) -> str:
    return f"<domain type='kvm'>\n<vcpu>4</vcpu>\n<cputune>\n{inner}\n</cputune>\n</domain>\n"


CASES = {
    "<cachetune vcpus='0'><cache id='0' levl='3' type='both' size='3' unit='MiB'/></cachetune>": [
        "4:36: attribute 'levl' is not allowed on <cache>; did you mean 'level'? [CT003]"
    ],
    "<cachetune vcpus='0'><cache id='0' zzz='' level='3' type='both' size='3' unit='MiB'/></cachetune>": [
        "4:36: attribute 'zzz' is not allowed on <cache> [CT003]"
    ],
    "<cachetune vcpus='0'><cache\n  type='both'\n  id='0' size='3' unit='MiB'/></cachetune>": [
        "4:22: <cache> is missing the required attribute 'level' [CT004]"
    ],
    "<cachetune vcpus='0'><cache id='0' level='3' type='Both' size='3' unit='MiB'/></cachetune>": [
        "4:46: 'Both' is not a valid type for <cache>; did you mean 'both'? [CT005]"
    ],
    "<cachetune vcpus='0'><cache id='0' level='3' type='both' size=' 3' unit='Mib/s'/></cachetune>": [
        "4:58: ' 3' is not a valid size for <cache>; did you mean '3'? [CT005]",
        "4:68: 'Mib/s' is not a valid unit for <cache> [CT005]",
    ],
    "<cachetune vcpus='0'><cache id='-1' level='4294967296' type='both' size='3' unit='B'/></cachetune>": [
        "4:29: '-1' is not a valid id for <cache> [CT005]",
        "4:37: '4294967296' is not a valid level for <cache> [CT005]",
    ],
    "<cachetune vcpus='0'><moniter vcpus='0'/></cachetune>": [
        "4:22: <moniter> is not allowed in <cachetune>; did you mean <monitor>? [CT006]"
    ],
    "<memorytune vcpus='0' xmlns:a='urn:a'><a:node/></memorytune>": [
        "4:39: <a:node> is not allowed in <memorytune>; did you mean <node>? [CT006]"
    ],
    "<memorytune vcpus='0'><cache/></memorytune>": ["4:23: <cache> is not allowed in <memorytune> [CT006]"],
    "<memorytune vcpus='0'><node id='0' bandwidth='50'/>\n  half</memorytune>": [
        "5:3: text 'half' is not allowed in <memorytune> [CT007]"
    ],
    "<memorytune vcpus='0'><node id='0' bandwidth='50'><!-- é --> x</node></memorytune>": [
        "4:62: text 'x' is not allowed in <node> [CT007]"
    ],
    "<!-- é 中 𝄞 --><cachetune vcpus='0' foo='1'><monitor/></cachetune>": [
        "4:36: attribute 'foo' is not allowed on <cachetune> [CT003]"
    ],
    "<cachetune xmlns:a='urn:a' a:vcpus='1' vcpus='3-1'><monitor/></cachetune>": [
        "4:28: attribute 'a:vcpus' is not allowed on <cachetune> [CT003]"
    ],
    "<cachetune vcpus='3-1'><monitor/></cachetune>": ["4:12: invalid vCPU list '3-1': range 3-1 is descending [CT101]"],
    "<cachetune vcpus='0-16384'><monitor/></cachetune>": [
        "4:12: invalid vCPU list '0-16384': vCPU 16384 is beyond the maximum of 16383 [CT101]"
    ],
    "<cachetune\n vcpus='0-5'><monitor/></cachetune>": [
        "5:2: ignoring vCPUs 4-5 in '0-5': the guest has 4 vCPUs [CT150]"
    ],
    "<cachetune vcpus='0'><monitor/></cachetune>\n<memorytune vcpus='0-1'><monitor/></memorytune>": [
        "5:13: <memorytune> for vCPUs 0-1 overlaps the <cachetune> on line 4 for vCPU 0 [CT103]"
    ],
    "<cachtune vcpus='0'/>": [
        "4:1: ignoring unknown element <cachtune> in <cputune>; did you mean <cachetune>? [CT156]"
    ],
}


@pytest.mark.parametrize(("inner", "expected"), CASES.items())
def test_a_message_names_the_fault_and_its_position(inner: str, expected: list[str]) -> None:
    assert lines(cputune(inner)) == expected


def test_all_faults_are_reported_at_once_without_consequential_ones() -> None:
    found = lines(
        cputune(
            """<cachetune vcpus='0-1'> junk
  <cache id='0' levl='3' type='Both' size='3 ' unit='MiB'/>
  <cache id='0' level='3' type='code' size='3'/>
  <monitor level='2' vcpus='0-9'/>
  <monitr/>
</cachetune>
<memorytune vcpus='1-2'><node id='0' bandwidth='50'/><node id='0' bandwidth='5'/></memorytune>
<energytune><monitor/></energytune>"""
        )
    )
    rules = " ".join(line[-6:-1] for line in found)
    assert rules == "CT007 CT003 CT005 CT005 CT153 CT108 CT150 CT112 CT006 CT103 CT107 CT104"


def test_a_misspelled_vcpus_does_not_mean_the_whole_process() -> None:
    found = lines(
        cputune("<cachetune vcpu='0'><monitor vcpus='0'/></cachetune><cachetune vcpus='1'><monitor/></cachetune>")
    )
    assert found == ["4:12: attribute 'vcpu' is not allowed on <cachetune>; did you mean 'vcpus'? [CT003]"]


def test_an_invalid_list_is_not_compared_with_others() -> None:
    found = findings(
        cputune(
            "<cachetune vcpus='1-0'><monitor vcpus='0-1'/><monitor vcpus='0'/><monitor vcpus='3'/></cachetune>"
            "<memorytune vcpus='0-1'><monitor/></memorytune>"
        )
    )
    assert [finding.rule for finding in found] == ["CT101"]


def test_the_wrong_root_is_reported_with_its_namespace() -> None:
    assert lines("<domain xmlns='urn:x'/>") == [
        "1:1: the root element is <domain> in the namespace 'urn:x', expected <domain> or <cputune> [CT002]"
    ]
    assert lines("<!-- -->\n <network/>") == [
        "2:2: the root element is <network>, expected <domain> or <cputune> [CT002]"
    ]


def test_malformed_xml_is_reported_with_its_place() -> None:
    (finding,) = findings("<domain>\n <cputune>\n </domain>")
    assert (finding.rule, finding.line) == ("CT001", 3)
    assert finding.message == "not well-formed XML: opening and ending tag mismatch: cputune line 2 and domain"


def test_values_in_messages_are_printable_and_short() -> None:
    (finding,) = findings(cputune("<cachetune vcpus='&#x9b;31m&#10;" + "x" * 1000 + "'/>"))
    assert finding.message.isprintable()
    assert len(finding.message) < 200


def test_paths_number_elements_of_the_same_name() -> None:
    text = cputune(
        "<cachetune vcpus='0'><monitor level='3'/><cache id='0' level='3' type='both' size='1' unit='MiB'/>"
        "<cache id='1' level='3' type='both' size='x' unit='MiB'/></cachetune><memorytune vcpus='1'><nod/></memorytune>"
    )
    assert [f.path for f in findings(text)] == [
        "/domain/cputune/cachetune[1]/cache[2]/@size",
        "/domain/cputune/memorytune[1]/nod[1]",
    ]
    twice = "<domain><cputune/><cputune><cachetune a=''/></cputune></domain>"
    assert [f.path for f in findings(twice) if f.rule == "CT003"] == ["/domain/cputune[2]/cachetune[1]/@a"]


ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "latin-1": "ISO-8859-1",
    "utf-32": "UTF-32",
}


@pytest.mark.parametrize(("codec", "declared"), ENCODINGS.items())
def test_columns_count_characters_in_every_encoding(codec: str, declared: str) -> None:
    head = f"<?xml version='1.0' encoding='{declared}'?>"
    text = head + "\n<domain><name>é</name><cputune><cachetune foo=''/></cputune></domain>"
    (finding,) = [f for f in load(text.encode(codec), "guest.xml").findings if f.severity == "error"]
    assert (finding.line, finding.column) == (2, text.splitlines()[1].index("foo") + 1)


def test_an_encoding_unknown_to_python_still_gives_lines() -> None:
    text = "<?xml version='1.1'?>\n<domain><cputune>\n<cachetune foo=''/></cputune></domain>"
    (finding,) = [f for f in findings(text) if f.severity == "error"]
    assert (finding.line, finding.path) == (3, "/domain/cputune/cachetune[1]/@foo")
