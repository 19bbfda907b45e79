"""The file with the host's policy: every key, and what is wrong with one, named."""

from pathlib import Path

import pytest

from cachetune.cbm import Cbm
from cachetune.errors import DocumentError, UnreadableFileError
from cachetune.plan.policy import BandwidthPolicy, LeastWays, Policy, Reserved
from cachetune.service import policy as policy_module
from cachetune.service.policy import parse_policy, read_policy
from cachetune.units import Rate, Size

ROOT = Path(__file__).parents[2]


def parsed(text: str) -> Policy:
    return parse_policy(text.encode(), "host.toml")


def test_a_size_is_for_every_cache_of_the_resource() -> None:
    found = parsed('[default.L3]\nleast = "2ways"\n[default.L2CODE]\nleast = "10%"\n')
    assert found.least == (LeastWays("L2CODE", None, Size(10, "%")), LeastWays("L3", None, Size(2, "ways")))


def test_or_for_one_cache_and_for_the_others() -> None:
    found = parsed('[default.L3]\nleast = { 0 = "6MiB", others = "2ways" }\n')
    assert found.least == (LeastWays("L3", 0, Size(6 << 20)), LeastWays("L3", None, Size(2, "ways")))


def test_bandwidth_has_a_least_and_a_value() -> None:
    found = parsed('[default.MB]\nleast = "20%"\nvalue = "50%"\n[default.SMBA]\nvalue = "800"\n')
    assert found.bandwidth == (
        BandwidthPolicy("MB", Rate(20, "%"), Rate(50, "%")),
        BandwidthPolicy("SMBA", None, Rate(800)),
    )


def test_reserved_ways_are_numbers_or_a_mask() -> None:
    found = parsed('[reserved.L3]\n0 = "0-1,10"\n1 = "0x600"\n')
    assert found.reserved == (Reserved("L3", 0, Cbm(0x403)), Reserved("L3", 1, Cbm(0x600)))


def test_an_empty_file_is_a_policy_without_rules() -> None:
    assert parsed("") == Policy("host.toml")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('[defaults.L3]\nleast = "2ways"', "unknown key 'defaults'; did you mean 'default'?"),
        ('[default.L3]\nleest = "2ways"', "unknown key 'default.L3.leest'; did you mean 'least'?"),
        ('[default.l3]\nleast = "2ways"', "unknown key 'default.l3'; did you mean 'L3'?"),
        ('[default.MB]\nminimum = "2"', "unknown key 'default.MB.minimum'; known are least, value"),
        ('[reserved.L4]\n0 = "0"', "unknown key 'reserved.L4'; did you mean 'L3'?"),
        ('[default.L3]\nleast = "2 wayz"', "default.L3.least: "),
        ('[default.L3]\nleast = { 0 = "2" }', "default.L3.least.0: '2' has no unit"),
        ('[default.L3]\nleast = { first = "2ways" }', "default.L3.least: 'first' is not a cache id"),
        ("[default.L3]\nleast = 2", "`$.default.L3.least`"),
        ('[default.MB]\nvalue = "fast"', "default.MB.value: "),
        ('[reserved.L3]\n0 = "some"', "reserved.L3.0: 'some' is neither a mask"),
        ('[reserved.L3]\n0 = ""', "reserved.L3.0: '' is neither a mask"),
        ('[reserved.L3]\n0 = "64"', "reserved.L3.0: '64' is neither a mask"),
        ('[reserved.L3]\n0 = "0-1048575"', "is neither a mask"),
        ('[reserved.L3]\nall = "0"', "reserved.L3: 'all' is not a cache id"),
        ("default = 3", "`$.default`"),
        ("[default", "host.toml is not valid: "),
        ("a = 1\na = 2", "host.toml is not valid: "),
        ("\udcff", "host.toml is not valid: "),
        ("x = " + "[" * 5000, "host.toml is not valid: "),
        ("# " + "x" * (1 << 20), "too large"),
    ],
)
def test_what_is_wrong_is_named_with_its_key(text: str, what: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_policy(text.encode(errors="surrogateescape"), "host.toml")
    assert what in str(caught.value)


def test_a_missing_default_file_is_no_policy_and_a_missing_file_that_is_named_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy_module, "POLICY_FILE", tmp_path / "host.toml")
    assert read_policy(None) is None
    with pytest.raises(UnreadableFileError):
        read_policy(tmp_path / "host.toml")
    (tmp_path / "host.toml").write_text('[default.L3]\nleast = "2ways"\n')
    assert read_policy(None) == read_policy(tmp_path / "host.toml")
    with pytest.raises(UnreadableFileError):
        read_policy(tmp_path)


def test_the_example_is_valid_and_has_every_section() -> None:
    found = read_policy(ROOT / "examples" / "host.toml")
    assert found is not None
    assert all((found.least, found.bandwidth, found.reserved))
