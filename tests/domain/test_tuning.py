"""The text of a tuning file: it names a schema for editors, which nothing here reads, and keeps the comments above."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from cachetune.domain import SCHEMA, Checker, Checks, Head, head_of, load, tuning_text
from cachetune.domain.model import Domain
from tests.effort import examples

XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
TUNING = (
    "<cputune><cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='6' unit='MiB'/></cachetune></cputune>"
)


def domain_of(text: str) -> Domain:
    loaded = load(text.encode(), "web.xml")
    assert loaded.findings == ()
    assert loaded.domain is not None
    return loaded.domain


def text_naming(schema: str, above: str = "") -> str:
    return tuning_text(domain_of(TUNING), head_of(f"{above}{TUNING}".encode()).naming(schema))


def test_relax_ng_is_named_in_a_processing_instruction() -> None:
    assert text_naming(SCHEMA).splitlines()[:2] == [
        f'<?xml-model href="{SCHEMA}" type="application/xml" schematypens="http://relaxng.org/ns/structure/1.0"?>',
        "<cputune>",
    ]
    compact = text_naming("../cachetune.rnc")
    assert compact.startswith('<?xml-model href="../cachetune.rnc" type="application/relax-ng-compact-syntax"?>\n')


def test_xml_schema_is_named_in_an_attribute() -> None:
    text = text_naming("cachetune.xsd")
    assert etree.fromstring(text).get(f"{XSI}noNamespaceSchemaLocation") == "cachetune.xsd"
    assert "xml-model" not in text


def test_no_schema_is_named_if_none_is_wanted() -> None:
    assert text_naming("").startswith("<cputune>\n")
    assert tuning_text(domain_of("<cputune/>"), Head()) == "<cputune/>\n"


def test_an_empty_tuning_file_names_its_schema_too() -> None:
    for schema in (SCHEMA, "cachetune.xsd"):
        text = tuning_text(domain_of("<cputune/>"), Head().naming(schema))
        assert schema in text
        assert domain_of(text).groups == ()


def test_comments_above_stay_and_the_named_schema_changes() -> None:
    above = "<!-- ticket 4711 -->\n<?xml-model href='old.rng'?>\n<?mine x?>\n"
    assert head_of(f"{above}{TUNING}".encode()).names_schema
    assert tuning_text(domain_of(TUNING), head_of(f"{above}{TUNING}".encode())).startswith(f"{above}<cputune>")
    changed = text_naming("new.rng", above).splitlines()
    assert changed[0].startswith('<?xml-model href="new.rng"')
    assert changed[1:4] == ["<!-- ticket 4711 -->", "<?mine x?>", "<cputune>"]
    to_xsd = text_naming("new.xsd", above)
    assert head_of(to_xsd.encode()) == Head(("<!-- ticket 4711 -->", "<?mine x?>"), "new.xsd")
    assert head_of(to_xsd.encode()).naming("").above == ("<!-- ticket 4711 -->", "<?mine x?>")


def test_the_head_of_domain_xml_is_not_that_of_a_tuning_file() -> None:
    assert head_of(b"<!-- WARNING: do not edit --><domain type='kvm'/>") == Head()


@settings(max_examples=examples(30))
@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1).filter(str.isprintable))
def test_any_schema_gives_a_file_that_is_read_without_findings(schema: str) -> None:
    for suffix in ("", ".rng", ".rnc", ".xsd"):
        text = text_naming(schema + suffix)
        found = head_of(text.encode())
        assert tuning_text(domain_of(text), found) == text
        assert found == Head().naming(schema + suffix)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_what_a_file_names_is_never_opened(tmp_path: Path, scheme: str) -> None:
    """A FIFO that nothing writes: opening it to read would block."""
    fifos = [tmp_path / "a.rng", tmp_path / "a.xsd"]
    for fifo in fifos:
        os.mkfifo(fifo)
    text = text_naming(f"{scheme}{fifos[0]}")
    text = tuning_text(domain_of(text), Head(head_of(text.encode()).above, f"{scheme}{fifos[1]}"))
    assert text.count(str(tmp_path)) == 2
    for engine in ("rng", "xsd"):
        assert Checker(Checks(engine=engine)).findings(text.encode()) == ()
    assert domain_of(text).groups
