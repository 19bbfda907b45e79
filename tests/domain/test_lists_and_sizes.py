"""Lists of numbers and sizes with units: libvirt's grammar, and properties of any value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachetune.idset import (
    MAX_VCPUS,
    format_ids,
    format_mask,
    ids_of,
    mask_of,
    parse_cpu_list,
    parse_vcpu_mask,
    parse_vcpus,
)
from cachetune.units import MAX_SIZE, factor_of, format_size, parse_size, reduce_size

ids = st.frozensets(st.integers(0, MAX_VCPUS - 1) | st.integers(0, 70), max_size=60)

LISTS = {
    "0": {0},
    "0-3": {0, 1, 2, 3},
    "3-3": {3},
    "0-3,^1": {0, 2, 3},
    "^1,0-3": {0, 1, 2, 3},
    "2,0,2": {0, 2},
    "0-1,^0,^1": set(),
    "^7": set(),
    "1,": {1},
    "1, ": {1},
    " 1 , 3 - 4 ": {1, 3, 4},
    "007": {7},
    "0" * 5000 + "7": {7},
    "16383": {16383},
}
NO_LISTS = ["", " ", ",", ",1", "1,,", "1,,2", "3-0", "-1", "1-", "0--1", "^0-1", "^", "^ 1", "1 2", "1;2", "x", "+1"]
NO_LISTS += ["1.0", "0x1", "16384", "^16384", "0-16384", "9" * 5000, "٣", "1\u00a0", "²"]


@pytest.mark.parametrize(("text", "expected"), LISTS.items())
def test_a_vcpu_list_is_parsed_as_in_libvirt(text: str, expected: set[int]) -> None:
    assert parse_vcpus(text) == expected


@pytest.mark.parametrize("text", NO_LISTS)
def test_a_list_that_libvirt_refuses_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_vcpus(text)


@given(ids)
def test_a_formatted_list_parses_as_the_same_set(numbers: frozenset[int]) -> None:
    text = format_ids(numbers)
    assert parse_cpu_list(text) == numbers
    if numbers:
        assert parse_vcpus(text) == numbers
        assert format_ids(parse_vcpus(text)) == text


@given(ids)
def test_masks_and_sets_agree(numbers: frozenset[int]) -> None:
    mask = mask_of(numbers)
    assert ids_of(mask) == numbers
    assert format_mask(mask) == format_ids(numbers)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(0, 5)), min_size=1, max_size=8))
def test_a_list_applies_its_items_from_left_to_right(items: list[tuple[bool, int, int]]) -> None:
    expected: set[int] = set()
    texts = []
    for exclude, first, more in items:
        if exclude:
            expected.discard(first)
            texts.append(f"^{first}")
        else:
            expected.update(range(first, first + more + 1))
            texts.append(f"{first}-{first + more}")
    assert ids_of(parse_vcpu_mask(",".join(texts))) == expected


@given(st.text(alphabet="0123456789-,^ \tx", max_size=12))
def test_any_text_parses_or_is_a_value_error(text: str) -> None:
    try:
        numbers = parse_vcpus(text)
    except ValueError:
        return
    assert all(0 <= number < MAX_VCPUS for number in numbers)


@pytest.mark.parametrize(("text", "expected"), [("", set()), ("\n", set()), ("0-3,8\n", {0, 1, 2, 3, 8}), ("5", {5})])
def test_a_kernel_list_may_be_empty_and_ends_with_a_newline(text: str, expected: set[int]) -> None:
    assert parse_cpu_list(text) == expected


@pytest.mark.parametrize("text", ["x", "1-", "-1", "3-1", "1,,2", "0-99999999999"])
def test_an_invalid_kernel_list_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_cpu_list(text)


UNITS = {"b": 1, "byte": 1, "bytes": 1}
for _power, _letter in enumerate("kmgtpe", start=1):
    UNITS |= {_letter: 1024**_power, f"{_letter}ib": 1024**_power, f"{_letter}b": 1000**_power}


@pytest.mark.parametrize(("unit", "factor"), UNITS.items())
def test_units_are_libvirts_in_upper_or_lower_case(unit: str, factor: int) -> None:
    assert {factor_of(unit), factor_of(unit.upper()), factor_of(unit.title())} == {factor}


@pytest.mark.parametrize("unit", ["", "x", "kibi", "MiBit", "zib", "ki", "bits", "\u212aiB", " b"])
def test_an_unknown_unit_is_a_value_error(unit: str) -> None:
    with pytest.raises(ValueError, match="unknown unit"):
        factor_of(unit)


@pytest.mark.parametrize("unit", [None, ""])
def test_a_size_without_a_unit_is_in_kib(unit: str | None) -> None:
    assert parse_size("3", unit) == 3072


@pytest.mark.parametrize("number", ["", "x", "-1", "1.5", "0x10", "1 ", "++1", "²"])
def test_an_invalid_number_is_a_value_error(number: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        parse_size(number, "B")


def test_sizes_have_at_most_64_bits() -> None:
    assert parse_size(str(MAX_SIZE), "B") == MAX_SIZE
    assert parse_size("0" * 5000 + "1", "EiB") == 1 << 60
    for number, unit in ((str(MAX_SIZE + 1), "B"), ("16", "EiB"), ("9" * 5000, "B")):
        with pytest.raises(OverflowError):
            parse_size(number, unit)


SHOWN = {0: "0 B", 3000: "3000 B", 3072 << 10: "3 MiB", 1536 << 10: "1536 KiB", 15 << 60: "15360 PiB", 1 << 40: "1 TiB"}


@pytest.mark.parametrize(("size", "text"), SHOWN.items())
def test_sizes_are_formatted_in_the_largest_binary_unit_that_divides_them(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(0, MAX_SIZE) | st.integers(0, 1 << 24).map(lambda number: number << 20))
def test_a_formatted_size_parses_as_the_same_size(size: int) -> None:
    number, unit = reduce_size(size)
    assert parse_size(str(number), unit) == size
