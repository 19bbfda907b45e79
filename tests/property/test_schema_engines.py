"""The two schema engines, the diagnosis, and the check of single elements give one verdict on any document."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree

from cachetune.domain import Checker, Checks, load
from cachetune.domain.problems import Problems, TooManyProblemsError
from cachetune.domain.xml.bundle import relaxng_bundle, xsd_bundle
from cachetune.domain.xml.diagnosis import diagnose
from cachetune.domain.xml.schema import KINDS, ROOTS, relaxng_says, schema_path, xsd_says
from tests.effort import examples

pytestmark = pytest.mark.slow

WHOLE = etree.RelaxNG(etree.parse(schema_path("domain.rng")))
ALONE = etree.RelaxNG(etree.parse(schema_path("cachetune.rng")))
EDITORS_RNG = etree.RelaxNG(etree.fromstring(relaxng_bundle()))
EDITORS_XSD = etree.XMLSchema(etree.fromstring(xsd_bundle()))
XSI = "http://www.w3.org/2001/XMLSchema-instance"
SPACE = " xmlns:o='urn:other' xmlns:xsi='" + XSI + "'"

numbers = st.sampled_from(["0", "3", "007", "4294967295", "4294967296", "18446744073709551615", "18446744073709551616"])
decimals = st.sampled_from(["1.5", "6.25", "0.0", "12345678901.5", "0012345678.5", "1.1234567890", "1.", ".5", "1.5.5"])
odd = st.sampled_from(["", " 3", "3 ", "+3", "-0", "0x3", "1.5", "3\u0663", "x", "1e3", "3&#10;", "&#9;3"])
lists = st.sampled_from(
    ["0", "0-1", "3-0", "0-3,^1", "^1", "0,1,2", "^0-1", "0,", ",0", " 0", "0 ", "0--1", "", "99999"]
)
kinds = st.sampled_from(["both", "code", "data", "Both", "both ", "", "instruction"])
units = st.sampled_from(["B", "bytes", "KiB", "MiB", "mib", "kB", "E", "", "KiBs", " MiB", "Kibi"]) | st.sampled_from(
    ["ways", "way", "Ways", "%", "% ", "MiB/s", "GB/s", "gb/s", "percent"]
)
threads = st.sampled_from(["emulator", "vhost", "iothreads", "iothread", "Vhost", "emulator ", "emulator:1", "vhost:"])
attributes = {
    "vcpus": lists | odd,
    "threads": threads | lists.map("iothreads:{}".format) | odd,
    "id": numbers | odd,
    "level": numbers | odd,
    "type": kinds,
    "size": numbers | odd | decimals,
    "unit": units,
    "bandwidth": numbers | odd | decimals,
    "mode": st.sampled_from(["shareable", "exclusive", "Exclusive", "exclusive ", ""]),
    "o:id": numbers,
    "xml:lang": st.just("en"),
    "xsi:type": st.just("cache"),
    "xsi:nil": st.sampled_from(["true", "false"]),
    "xsi:schemaLocation": st.just("urn:x x.xsd"),
    "levl": numbers,
}
texts = st.sampled_from(
    ["", "", "", " ", "\n  ", "<!-- c -->", "<?p i?>", "x", "&#160;", "<![CDATA[ ]]>", "<![CDATA[y]]>"]
)


def good(*names: str) -> st.SearchStrategy[str]:
    """Valid attributes."""
    values = {
        "vcpus": "0-1",
        "threads": "iothreads:1-2",
        "id": "0",
        "level": "3",
        "type": "both",
        "size": "3",
        "unit": "MiB",
        "bandwidth": "50",
    }
    return st.just("".join(f" {name}='{values[name]}'" for name in names))


@st.composite
def wild(draw: st.DrawFn) -> str:
    """Arbitrary attributes."""
    names = draw(st.lists(st.sampled_from(sorted(attributes)), unique=True, max_size=5))
    return "".join(f" {name}='{draw(attributes[name])}'" for name in names)


def element(
    names: st.SearchStrategy[str], attributes: st.SearchStrategy[str], content: st.SearchStrategy[str]
) -> st.SearchStrategy[str]:
    return st.builds(lambda name, attrs, inner: f"<{name}{attrs}>{inner}</{name}>", names, attributes, content)


def mostly(usual: st.SearchStrategy[str], odd: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.integers(0, 15).flatmap(lambda chance: odd if chance == 7 else usual)


def several(content: st.SearchStrategy[str], most: int = 3, least: int = 0) -> st.SearchStrategy[str]:
    parts = st.lists(st.tuples(texts, content), min_size=least, max_size=most)
    return st.builds(lambda parts, last: "".join(text + part for text, part in parts) + last, parts, texts)


def child(name: str, *names: str) -> st.SearchStrategy[str]:
    return element(st.just(name), mostly(good(*names), wild()), mostly(st.just(""), texts))


strangers = element(
    st.sampled_from(["cache", "node", "monitor", "moniter", "o:cache", "cachetune", "x"]), wild(), texts
)
caches = child("cache", "id", "level", "type", "size", "unit")
own = st.sampled_from(["size='3' unit='ways'", "size='12.5' unit='%'", "size='6.25'"]).map(" {}".format)
caches = mostly(caches, st.builds("<cache id='0' level='3' type='both'{}/>".format, own))
rates = st.sampled_from(["'50' unit='%'", "'6.25' unit='GB/s'", "'500' unit='MiB/s'", "'6.25'", "'50' unit=''"])
nodes = mostly(child("node", "id", "bandwidth"), st.builds("<node id='0' bandwidth={}/>".format, rates))
monitors = mostly(child("monitor", "vcpus"), child("monitor", "level", "vcpus") | child("monitor", "threads"))
tunes = st.one_of(
    element(
        st.just("cachetune"),
        mostly(good("vcpus") | good("threads"), wild()),
        several(mostly(st.one_of(caches, monitors), strangers)),
    ),
    element(
        st.just("memorytune"),
        mostly(good("vcpus", "id"), wild()),
        several(mostly(st.one_of(nodes, monitors), strangers)),
    ),
    element(st.just("energytune"), mostly(st.just(""), wild()), several(mostly(monitors, strangers))),
)
others = element(
    st.sampled_from(["vcpupin", "metadata", "o:cachetune", "cputune", "cachetunes"]), wild(), several(tunes, 1)
)
cputunes = element(st.just("cputune"), mostly(st.just(""), wild()), several(mostly(tunes, others), least=1))
whole_domains = element(
    mostly(st.just("domain"), st.sampled_from(["network", "o:domain", "cachetune"])),
    mostly(st.just(" type='kvm'"), wild()).map(lambda attrs: SPACE + attrs),
    several(mostly(cputunes, st.one_of(others, tunes)), least=1),
)
tuning_files = element(st.just("cputune"), wild().map(lambda attrs: SPACE + attrs), several(mostly(tunes, others)))
domains = mostly(whole_domains, tuning_files)
thorough = settings(max_examples=examples(60))


def parsed(text: str, *, blanks: bool = False) -> etree._Element:
    return etree.fromstring(
        text,
        etree.XMLParser(remove_comments=True, remove_pis=True, resolve_entities=False, remove_blank_text=not blanks),
    )


def explained(root: etree._Element) -> bool:
    problems = Problems()
    try:
        diagnose(root, problems)
    except TooManyProblemsError:
        return True
    return bool(problems)


@thorough
@given(domains)
@example(f"<domain{SPACE}><cputune><memorytune><node id='0' bandwidth='1'> </node></memorytune></cputune></domain>")
def test_rng_xsd_and_the_diagnosis_agree(text: str) -> None:
    root = parsed(text)
    verdicts = {"gate": not relaxng_says(root), "xsd": not xsd_says(root), "explanation": not explained(root)}
    assert verdicts == dict.fromkeys(verdicts, WHOLE.validate(root))


def in_usual_places(root: etree._Element) -> etree._Element:
    """The document without what the XSD for editors is known to take differently.

    That is: our elements where libvirt has none, blanks around numbers, and attributes that an XSD engine obeys.
    """
    usual = {"domain": {None}, "cputune": {None, "domain"}, **{kind: {None, "cputune"} for kind in KINDS}}
    for each in [*root.iter(etree.Element)]:
        parent = each.getparent()
        above = None if parent is None else parent.tag
        if above not in usual.get(str(each.tag), {above}):
            each.tag = "renamed"
        for name, value in each.items():
            if name.startswith(f"{{{XSI}}}"):
                del each.attrib[name]
            elif name in {"id", "level", "size", "bandwidth"} and each.tag not in KINDS:
                each.set(name, value.strip())
    return root


@thorough
@given(domains | tunes.map(lambda text: re.sub("(?=[ >])", SPACE, text, count=1)))
def test_the_schemas_for_editors_agree_with_domain_rng(text: str) -> None:
    root = parsed(text, blanks=True)
    usual = in_usual_places(parsed(text, blanks=True))
    schema = WHOLE if root.tag in ROOTS else ALONE
    assert EDITORS_RNG.validate(root) == schema.validate(root)
    assert EDITORS_XSD.validate(usual) == schema.validate(usual)


@thorough
@given(domains)
def test_blank_texts_that_the_parser_drops_do_not_change_the_result(text: str) -> None:
    assert (relaxng_says(parsed(text)) == "") == WHOLE.validate(parsed(text, blanks=True))
    assert (xsd_says(parsed(text)) == "") == (xsd_says(parsed(text, blanks=True)) == "")


@thorough
@given(domains)
def test_any_document_gives_a_result_and_both_engines_agree(text: str) -> None:
    data = text.encode()
    found = Checker(Checks()).findings(data)
    assert found == Checker(Checks(engine="xsd")).findings(data)
    loaded = load(data, "")
    assert loaded.findings == found
    assert (loaded.domain is None) == any(finding.severity == "error" for finding in found)
    assert "CT009" not in {finding.rule for finding in found}
    assert all(finding.line >= 1 and finding.column >= 1 for finding in found)


@thorough
@given(st.lists(domains, min_size=2, max_size=4))
def test_earlier_documents_do_not_change_the_result(texts: list[str]) -> None:
    checker = Checker(Checks(libvirt=(9, 0)))
    for text in (*texts, *texts):
        assert checker.findings(text.encode()) == Checker(Checks(libvirt=(9, 0))).findings(text.encode())
