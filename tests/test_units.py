"""Sizes and rates as people write them: in one word on the command line, in two attributes in XML."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachetune.units import MAX_RATE, MAX_SIZE, DecimalsError, Rate, RateUnit, Size, format_size

SIZES = {
    "6MiB": Size(6 << 20),
    "6 MiB": Size(6 << 20),
    "6m": Size(6 << 20),
    "6MB": Size(6_000_000),
    "2.25MiB": Size(2304 << 10),
    "0.5 KiB": Size(512),
    "3ways": Size(3, "ways"),
    "1way": Size(1, "ways"),
    "3 Ways": Size(3, "ways"),
    "30%": Size(30, "%"),
    "030.0%": Size(30, "%"),
    "12.5 %": Size(Decimal("12.5"), "%"),
    "100%": Size(100, "%"),
    "0%": Size(0, "%"),
}
NO_SIZES = {
    "": "is not a number with its unit",
    "6": "'6' has no unit: expected a number with its unit, such as 6MiB, 3ways or 30%",
    "MiB": "is not a number with its unit",
    "-6MiB": "is not a number with its unit",
    "6  MiB": "is not a number with its unit",
    "6MiB\n": "is not a number with its unit",
    "٣MiB": "is not a number with its unit",
    "1e3KiB": "is not a number with its unit",
    "6,5MiB": "is not a number with its unit",
    "9" * 5000 + "B": "is not a number with its unit",
    "6MiBs": "unknown unit 'MiBs'",
    "100.1%": "100.1% is more than 100%",
    "16EiB": "16 EiB is more than 2^64-1 bytes",
    "16.5EiB": "16 EiB is more than 2^64-1 bytes",
    "2.5ways": "2.5 ways has decimals: write 2 or 3 ways",
    "0.3KiB": "0.3 KiB has decimals: write 307 or 308 B",
    "1.0000000001MiB": "not a size: '1.0000000001'",
    "1.0000000001%": "not a number: '1.0000000001'",
}


@pytest.mark.parametrize(("text", "size"), SIZES.items())
def test_a_size_is_a_number_with_its_unit(text: str, size: Size) -> None:
    assert Size.parse(text) == size


@pytest.mark.parametrize(("text", "why"), NO_SIZES.items(), ids=lambda text: text[:20])
def test_what_is_no_size_says_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        Size.parse(text)


RATES = {
    "50": Rate(50),
    "50%": Rate(50, "%"),
    "12.5%": Rate(Decimal("12.5"), "%"),
    "500MiB/s": Rate(500, "MiB/s"),
    "500 mib/s": Rate(500, "MiB/s"),
    "6.25GB/s": Rate(Decimal("6.25"), "GB/s"),
    "6.250 GB/s": Rate(Decimal("6.25"), "GB/s"),
    str(MAX_RATE): Rate(MAX_RATE),
}
NO_RATES = {
    "": "is not a number, with a unit or in the host's own",
    "6.25": "6.25 has decimals: write 6 or 7",
    "50.0": "50.0 has decimals: write 50 or 51",
    "50 MB/s": "expected a number, with a unit or in the host's own: 50%, 500MiB/s, 6.25GB/s or 50",
    "50GB": "expected a number",
    "101%": "101% is more than 100%",
    str(MAX_RATE + 1): "4294967296 is more than 4294967295",
    "5000000000GB/s": "5000000000GB/s is more than 4294967295GB/s",
}


@pytest.mark.parametrize(("text", "rate"), RATES.items())
def test_a_rate_may_have_a_unit(text: str, rate: Rate) -> None:
    assert Rate.parse(text) == rate


@pytest.mark.parametrize(("text", "why"), NO_RATES.items())
def test_what_is_no_rate_says_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        Rate.parse(text)


decimals = st.decimals(0, 100, places=3).map(lambda number: Decimal(int(number)) if number == int(number) else number)
numbers = decimals.map(lambda number: int(number) if number == int(number) else number.normalize())
sizes = (
    st.integers(0, MAX_SIZE).map(Size)
    | st.integers(0, MAX_SIZE).map(lambda ways: Size(ways, "ways"))
    | numbers.map(lambda number: Size(number, "%"))
)
units: st.SearchStrategy[RateUnit] = st.sampled_from(["%", "MiB/s", "GB/s"])
rates = st.integers(0, MAX_RATE).map(Rate) | st.builds(Rate, numbers, units)


@given(sizes)
def test_a_size_as_shown_is_the_same_size(size: Size) -> None:
    assert Size.parse(str(size)) == size


@given(rates)
def test_a_rate_as_shown_is_the_same_rate(rate: Rate) -> None:
    assert Rate.parse(str(rate)) == rate


@given(st.text(alphabet="0123456789.%/ MiBGKwaysb", max_size=14))
def test_any_word_is_a_size_or_a_value_error(text: str) -> None:
    for parse in (Size.parse, Rate.parse):
        try:
            found = parse(text)
        except ValueError:
            continue
        assert found.number >= 0


@pytest.mark.parametrize(("number", "unit", "instead"), [("2.25", "MiB", "2304 KiB"), ("3.0", None, "3 KiB")])
def test_decimals_of_bytes_in_xml_say_what_to_write(number: str, unit: str | None, instead: str) -> None:
    with pytest.raises(DecimalsError) as caught:
        Size.of(number, unit)
    assert caught.value.instead == instead


@given(st.integers(0, MAX_SIZE))
def test_bytes_are_shown_exactly(size: int) -> None:
    assert str(Size(size)) == format_size(size)
