"""The schemas for editors are one file each, documented, and say what domain.rng says in each program they are for."""

import difflib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from lxml import etree
from xmlschema import XMLSchema10

from cachetune.domain.rules import RULES as DOMAIN_RULES
from cachetune.domain.xml.bundle import compact_bundle, documentation_of_schemas, relaxng_bundle, xsd_bundle
from cachetune.domain.xml.grammar import ElementType, grammar
from cachetune.domain.xml.schema import schema_path
from cachetune.plan.rules import RULES as PLAN_RULES
from tests.missing import skip_without

RNG = "{http://relaxng.org/ns/structure/1.0}"
XS = "{http://www.w3.org/2001/XMLSchema}"
DOCUMENTATION = "{http://relaxng.org/ns/compatibility/annotations/1.0}documentation"

CACHE = "<cache id='0' level='3' type='both' size='6' unit='MiB'/>"
TUNING = f"<cputune><cachetune vcpus='0-1'>{CACHE}<monitor level='3' vcpus='0'/></cachetune></cputune>"
# A document of libvirt with much that is not ours, new elements included, and our names where libvirt has other things.
DOMAIN = f"""
<domain type='kvm' id='7' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web</name>
  <metadata>
    <o:notes xmlns:o='urn:o'><cachetune levl='3'>free</cachetune><cputune><cachetune/>text</cputune></o:notes>
  </metadata>
  <memory unit='KiB'>1048576</memory>
  <cpu mode='host-model'><cache level='3' mode='emulate'/><numa><cell id='0'/></numa></cpu>
  <something new='1'>from <the>future</the></something>
  {TUNING.replace("<cputune>", "<cputune><shares>2048</shares><vcpupin vcpu='0' cpuset='4'/><newtune><a/></newtune>")}
  <devices><disk type='file'><target dev='vda'/></disk></devices>
  <qemu:commandline><qemu:arg value='-s'/></qemu:commandline>
</domain>"""
GOOD = {
    "a domain": DOMAIN,
    "a tuning file": TUNING,
    "a tuning file without requests": "<cputune/>",
    "cachetune alone": f"<cachetune vcpus='0-3,^1' mode='exclusive'>{CACHE}</cachetune>",
    "memorytune alone": "<memorytune threads='iothreads:1-2'><node id='0' bandwidth='6.25' unit='GB/s'/></memorytune>",
    "energytune alone": "<energytune><monitor vcpus='0'/></energytune>",
    "the largest numbers": TUNING.replace("id='0'", "id='4294967295'").replace("'6'", "'18446744073709551615'"),
}
BAD = {
    "a misspelled attribute": TUNING.replace("level", "levl"),
    "the same in a domain": DOMAIN.replace("level='3' type", "levl='3' type"),
    "a missing attribute": TUNING.replace("type='both'", ""),
    "an unknown value": TUNING.replace("both", "all"),
    "a blank after a value": TUNING.replace("'both'", "'both '"),
    "a sign before a number": TUNING.replace("size='6'", "size='+6'"),
    "a number that is too large": TUNING.replace("id='0'", "id='4294967296'"),
    "an unknown child": TUNING.replace("<monitor", "<moniter"),
    "text": TUNING.replace("<monitor", "text<monitor"),
    "an unknown unit": TUNING.replace("MiB", "MiBit"),
    "a list with blanks": TUNING.replace("0-1", "0, 1"),
    "another root": "<network/>",
}


def accepted_by_lxml_rng(text: str) -> bool:
    return bool(etree.RelaxNG(etree.fromstring(relaxng_bundle())).validate(etree.fromstring(text)))


def accepted_by_lxml_xsd(text: str) -> bool:
    return bool(etree.XMLSchema(etree.fromstring(xsd_bundle())).validate(etree.fromstring(text)))


@cache
def xml_schema() -> XMLSchema10:
    return XMLSchema10(xsd_bundle().decode(), allow="none")


def accepted_by_xmlschema(text: str) -> bool:
    return bool(xml_schema().is_valid(etree.fromstring(text)))


@pytest.mark.parametrize("accepts", [accepted_by_lxml_rng, accepted_by_lxml_xsd, accepted_by_xmlschema])
def test_each_library_gives_the_verdict_with_the_one_file(accepts: Callable[[str], bool]) -> None:
    assert {name for name, text in (GOOD | BAD).items() if accepts(text)} == set(GOOD)


@pytest.mark.slow
def test_jing_and_xerces_give_the_verdict_with_the_one_file(tmp_path: Path) -> None:
    """jing reads both syntaxes of RELAX NG; for XML Schema it runs Xerces, which Java editors use."""
    jing = shutil.which("jing") or skip_without("jing is not installed (Debian: jing)")
    files = {name: tmp_path / f"{number}.xml" for number, (name, text) in enumerate((GOOD | BAD).items())}
    for name, path in files.items():
        path.write_text((GOOD | BAD)[name])
    bundles = {"b.rng": relaxng_bundle(), "b.rnc": compact_bundle(), "b.xsd": xsd_bundle()}
    for schema, data in bundles.items():
        (tmp_path / schema).write_bytes(data)
        compact = ["-c"] if schema == "b.rnc" else []
        words = [jing, *compact, tmp_path / schema, *files.values()]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
        assert not done.stderr
        refused = {line.partition(":")[0] for line in done.stdout.splitlines()}
        assert {name for name, path in files.items() if str(path) not in refused} == set(GOOD), done.stdout


@pytest.mark.slow
def test_the_compact_schema_is_what_trang_makes_of_the_other(tmp_path: Path) -> None:
    """After a change of the schemas: UPDATE_GOLDEN=1 pytest tests/domain/xml/test_bundle.py."""
    trang = shutil.which("trang") or skip_without("trang is not installed (Debian: trang)")
    (tmp_path / "bundle.rng").write_bytes(relaxng_bundle())
    subprocess.run([trang, tmp_path / "bundle.rng", tmp_path / "bundle.rnc"], check=True, timeout=120)
    made = "".join(f"{line.rstrip()}\n" for line in (tmp_path / "bundle.rnc").read_text().splitlines())
    committed = Path(schema_path("bundle.rnc"))
    if os.environ.get("UPDATE_GOLDEN"):
        committed.write_text(made)
    assert not [*difflib.unified_diff(committed.read_text().splitlines(), made.splitlines(), "bundle.rnc", "trang")]


def test_no_schema_refers_to_another_file() -> None:
    for data in (relaxng_bundle(), xsd_bundle()):
        refers = [
            node.tag
            for node in etree.fromstring(data).iter(etree.Element)
            if etree.QName(node).localname in ("include", "import", "externalRef", "redefine", "override")
        ]
        assert not refers
    assert not re.search(rb"^\s*(include|external)\b", compact_bundle(), re.MULTILINE)


def documented_in_rng() -> Iterator[tuple[str, str]]:
    for node in etree.fromstring(relaxng_bundle()).iter(f"{RNG}element", f"{RNG}attribute"):
        if node.get("name"):
            yield str(node.get("name")), str(node.findtext(DOCUMENTATION))


def documented_in_xsd() -> Iterator[tuple[str, str]]:
    for node in etree.fromstring(xsd_bundle()).iter(f"{XS}element", f"{XS}attribute"):
        yield str(node.get("name")), str(node.findtext(f"{XS}annotation/{XS}documentation"))


def test_every_element_and_attribute_has_the_same_documentation_in_both_languages() -> None:
    in_rng, in_xsd = set(documented_in_rng()), set(documented_in_xsd())
    assert {name for name, _ in in_xsd - in_rng} == {"metadata"}
    assert not in_rng - in_xsd
    names = {name for name, _ in in_rng}
    assert names == {"domain", "cputune", *_names(grammar())}
    assert compact_bundle().count(b"## ") == len([*documented_in_rng()])


def test_documentation_is_one_or_two_sentences_and_the_rules() -> None:
    for (definition, name), text in documentation_of_schemas().items():
        prose, _, rules = text.partition(" Rules: ")
        where = f"{definition}/@{name}" if name else definition
        assert 2 <= len(re.findall(r"[.;:](?= |$)", prose)) + 1 <= 5, where
        assert len(text) < 300, where
        assert not re.search("[<>&]", text), f"{where}: editors take this for markup"
        ids = rules.rstrip(".").split(", ")
        assert ids == sorted(ids), where
        assert set(ids) <= {*DOMAIN_RULES, *PLAN_RULES}, where


def _names(kinds: dict[str, ElementType]) -> set[str]:
    found = set(kinds)
    for kind in kinds.values():
        found |= set(kind.attributes) | _names(kind.children)
    return found
