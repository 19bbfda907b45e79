from hypothesis import given
from hypothesis import strategies as st

from cachetune.cbm import Cbm
from cachetune.host.bandwidth import shows
from cachetune.host.resctrl.schemata import Schemata, folded, format_schemata, merge, parse

IDS = st.integers(0, 200)
MASKS = st.dictionaries(
    st.sampled_from(["L2", "L3", "L2CODE", "L2DATA", "L3CODE", "L3DATA", "L10"]),
    st.dictionaries(IDS, st.integers(0, (1 << 20) - 1).map(Cbm), min_size=1),
)
BANDWIDTH = st.dictionaries(
    st.sampled_from(["MB", "SMBA"]), st.dictionaries(IDS, st.integers(0, 2**32 - 1), min_size=1)
)
WIDTHS = dict.fromkeys(["L2", "L3", "L2CODE", "L2DATA", "L3CODE", "L3DATA", "L10"], 20)


def test_the_padding_of_old_and_new_kernels_means_the_same() -> None:
    old = "    MB:0= 20;1=100\nL3DATA:0=00f;1=7ff\nL3CODE:0=7ff;1=7ff\n"
    new = "MB:0=20;1=100\nL3DATA:0=f;1=7ff\nL3CODE:0=7ff;1=7ff\n"
    assert parse(old) == parse(new)
    assert parse(new).masks == {"L3DATA": {0: 0xF, 1: 0x7FF}, "L3CODE": {0: 0x7FF, 1: 0x7FF}}
    assert parse(new).bandwidth == {"MB": {0: 20, 1: 100}}


def test_ids_eight_and_nine_are_decimal() -> None:
    assert parse("L3:08=f;09=3\n").masks == {"L3": {8: 0xF, 9: 3}}


def test_a_trailing_semicolon_and_blanks_are_harmless() -> None:
    assert parse(" L3 : 0 = f ; 1 = 3 ;\n\n").masks == {"L3": {0: 0xF, 1: 3}}


def test_uninitialized_resources_have_no_values() -> None:
    found = parse("    MB:uninitialized\n    L3:uninitialized\n")
    assert (found.masks, found.bandwidth, found.uninitialized) == ({}, {}, ("MB", "L3"))


def test_unknown_lines_are_kept_unchanged() -> None:
    text = "NEW:0=1\nL3:0=xyz\nMB:0=max\nL2:0\nno colon\nL3:-1=f\nMB:0=1_0\n"
    found = parse(text)
    assert (found.masks, found.bandwidth) == ({}, {})
    assert found.other_lines == tuple(text.splitlines())


def test_the_written_text_matches_libvirts() -> None:
    masks = {"L3": {1: 0x1FF0F, 0: 3}, "L2": {0: 0xF}}
    text = format_schemata(masks, {"MB": {1: 100, 0: 50}}, {"L3": 20, "L2": 10})
    assert text == "L2:0=00f\nL3:0=00003;1=1ff0f\nMB:0=50;1=100\n"


def test_code_comes_before_data_and_level_two_before_ten() -> None:
    masks = {name: {0: 1} for name in ("L10", "L3DATA", "L3CODE", "L2")}
    assert format_schemata(masks, {}, dict.fromkeys(masks, 4)) == "L2:0=1\nL3CODE:0=1\nL3DATA:0=1\nL10:0=1\n"


def test_a_resource_without_values_gives_no_line() -> None:
    assert format_schemata({"L3": {}}, {"MB": {}}, {"L3": 11}) == ""


@given(MASKS, BANDWIDTH)
def test_what_is_written_reads_back_the_same(
    masks: dict[str, dict[int, Cbm]], bandwidth: dict[str, dict[int, int]]
) -> None:
    assert parse(format_schemata(masks, bandwidth, WIDTHS)) == Schemata(masks, bandwidth)


@given(st.text(max_size=200))
def test_any_text_can_be_parsed(text: str) -> None:
    found = parse(text)
    assert len(found.other_lines) <= text.count("\n") + 1


def test_a_write_changes_only_what_it_names() -> None:
    before, written = parse("L3:0=f;1=f0\nMB:0=100;1=100\nNEW:0=1\n"), parse("L3:1=3\nMB:0=50\n")
    after = merge(before, written)
    assert after == parse("L3:0=f;1=3\nMB:0=50;1=100\nNEW:0=1\n")
    assert shows((), after, written)
    assert not shows((), before, written)


def test_a_value_that_is_missing_is_not_shown() -> None:
    assert not shows((), parse("L3:0=f\n"), parse("L3:1=f\n"))
    assert not shows((), parse("L3:0=f\n"), parse("MB:0=100\n"))
    assert shows((), parse("L3:0=f\n"), parse(""))


def test_ids_with_the_same_value_are_together_in_one_line() -> None:
    text = "L2:" + ";".join(f"{i}={'3' if i == 7 else 'ff'}" for i in range(256)) + "\nMB:0=50;1=100\n"
    assert folded(text) == "L2:0-6,8-255=ff;7=3 MB:0=50;1=100"
