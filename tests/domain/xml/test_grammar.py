"""The grammar read from cachetune.rng; every element and attribute of it is exercised."""

import pytest
from lxml import etree

from cachetune.domain import format_cputune, load
from cachetune.domain.xml.grammar import ElementType, grammar
from cachetune.domain.xml.schema import relaxng_says, schema_path, xsd_says

XS = "{http://www.w3.org/2001/XMLSchema}"
RNG = "{http://relaxng.org/ns/structure/1.0}"

# element: its attributes, with required ones in capitals; and its children
EXPECTED = {
    "cachetune": ("vcpus threads id mode", "cache monitor"),
    "cachetune/cache": ("ID LEVEL TYPE SIZE unit", ""),
    "cachetune/monitor": ("level vcpus threads", ""),
    "memorytune": ("vcpus threads id", "node monitor"),
    "memorytune/node": ("ID BANDWIDTH unit resource", ""),
    "memorytune/monitor": ("vcpus threads", ""),
    "energytune": ("vcpus threads id", "monitor"),
    "energytune/monitor": ("vcpus threads", ""),
}

# attribute: a valid value, which must appear in the result, and an invalid one
VALUES = {
    "cachetune/@vcpus": ("2", "two"),
    "cachetune/@threads": ("iothreads:1-2", "iothreads:"),
    "cachetune/@id": ("mine", None),
    "cachetune/@mode": ("exclusive", "private"),
    "cachetune/cache/@id": ("9", "-9"),
    "cachetune/cache/@level": ("2", "L2"),
    "cachetune/cache/@type": ("data", "instruction"),
    "cachetune/cache/@size": ("5", "5.5.5"),
    "cachetune/cache/@unit": ("GiB", "MiBit"),
    "cachetune/monitor/@level": ("3", ""),
    "cachetune/monitor/@vcpus": ("1", "1,"),
    "memorytune/@vcpus": ("3", " 3"),
    "cachetune/monitor/@threads": ("vhost", "vhosts"),
    "memorytune/@threads": ("emulator", "Emulator"),
    "memorytune/@id": ("mine", None),
    "memorytune/node/@id": ("4", "0x4"),
    "memorytune/node/@bandwidth": ("77", "77%"),
    "memorytune/node/@unit": ("GB/s", "gb/s"),
    "memorytune/node/@resource": ("SMBA", "smba"),
    "memorytune/monitor/@vcpus": ("1", "1-"),
    "memorytune/monitor/@threads": ("iothreads", "iothreads 1"),
    "energytune/@threads": ("vhost", "vhost "),
    "energytune/@vcpus": ("0-1,^0", "^0-1"),
    "energytune/@id": ("mine", None),
    "energytune/monitor/@vcpus": ("0", "+0"),
    "energytune/monitor/@threads": ("emulator", ""),
}
VALID = {
    "cache": "id='0' level='3' type='both' size='1' unit='MiB'",
    "node": "id='0' bandwidth='10'",
    "monitor": "",
}


def walk(kinds: dict[str, ElementType], above: str = "") -> dict[str, ElementType]:
    found = {}
    for name, kind in kinds.items():
        found[above + name] = kind
        found |= walk(kind.children, f"{above}{name}/")
    return found


def test_the_grammar_is_read_correctly_from_the_schema() -> None:
    found = {
        path: (
            " ".join(name.upper() if required else name for name, (_, required) in kind.attributes.items()),
            " ".join(kind.children),
        )
        for path, kind in walk(grammar()).items()
    }
    assert found == EXPECTED


def test_every_attribute_of_the_schema_is_exercised() -> None:
    assert set(VALUES) == {f"{path}/@{name}" for path, kind in walk(grammar()).items() for name in kind.attributes}


def with_value(path: str, value: str) -> str:
    """Return the XML of a running guest whose only element has ``value`` at ``path``; a tuning file for threads."""
    element, _, attribute = path.rpartition("/@")
    tune, _, child = element.partition("/")
    child = child or {"cachetune": "cache", "memorytune": "node", "energytune": "monitor"}[tune]
    outer = etree.fromstring(f"<{tune} vcpus='0-3'><{child} {VALID[child]}/></{tune}>")
    if attribute == "threads":
        del outer.attrib["vcpus"]
    (outer if element == tune else outer[0]).set(attribute, value)
    text = etree.tostring(outer, encoding="unicode")
    if attribute == "threads":
        return f"<cputune>{text}</cputune>"
    return f"<domain type='kvm' id='1'><vcpu>4</vcpu><cputune>{text}</cputune></domain>"


@pytest.mark.parametrize(("path", "value"), [(path, values[0]) for path, values in VALUES.items()])
def test_a_valid_value_is_accepted_and_read(path: str, value: str) -> None:
    loaded = load(with_value(path, value).encode(), "guest.xml")
    assert loaded.domain is not None, loaded.findings
    shown = {"0-1,^0": "1"}.get(value, value)
    assert f"{path.rpartition('@')[2]}='{shown}'" in format_cputune(loaded.domain)


@pytest.mark.parametrize(
    ("path", "value"), [(path, values[1]) for path, values in VALUES.items() if values[1] is not None]
)
def test_an_invalid_value_is_refused_at_its_attribute(path: str, value: str) -> None:
    (finding,) = load(with_value(path, value).encode(), "guest.xml").findings
    assert finding.rule == "CT005"
    assert finding.path.rpartition("/")[2] == "@" + path.rpartition("@")[2]


LISTED = [
    (f"{path}/@{name}", value)
    for path, kind in walk(grammar()).items()
    for name, (data_type, _) in kind.attributes.items()
    for value in data_type.values
]


@pytest.mark.parametrize(("path", "value"), LISTED)
def test_a_listed_value_is_refused_with_blanks_around_it(path: str, value: str) -> None:
    for text in (f"{value} ", f" {value}", f"\n{value}"):
        root = etree.fromstring(with_value(path, text))
        assert relaxng_says(root)
        assert xsd_says(root)
        assert not relaxng_says(etree.fromstring(with_value(path, value)))


def test_rng_and_xsd_have_the_same_patterns_for_texts() -> None:
    rng = etree.parse(schema_path("cachetune.rng"))
    xsd = etree.parse(schema_path("cachetune.xsd"))
    for name in ("cpuset", "threads", "anyUnit", "decimal"):
        (in_rng,) = list(rng.getroot().find(f"{RNG}define[@name='{name}']").iter(f"{RNG}param"))[-1:]
        in_xsd = xsd.getroot().find(f"{XS}simpleType[@name='{name}']/{XS}restriction/{XS}pattern")
        assert in_rng.text == in_xsd.get("value")


def test_the_schemas_work_in_libxml2_alone() -> None:
    """cachetune.rng and cachetune.xsd only use their standards, so any editor can use them."""
    text = "<cachetune vcpus='0-3,^1'><cache id='0' level='3' type='code' size='{}'/></cachetune>"
    good = etree.fromstring(text.format("0018446744073709551615"))
    bad = etree.fromstring(text.format("18446744073709551616"))
    for schema in (
        etree.RelaxNG(etree.parse(schema_path("cachetune.rng"))),
        etree.XMLSchema(etree.parse(schema_path("cachetune.xsd"))),
    ):
        assert schema.validate(good)
        assert not schema.validate(bad)
