"""Numbers and CPU sets are accepted and refused as by the kernel's parsers."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachetune.sim.numbers import (
    NumberError,
    format_cpu_list,
    format_cpu_mask,
    parse_cpu_list,
    parse_cpu_mask,
    signed,
    unsigned,
)

REFUSED = {"EINVAL": errno.EINVAL, "ERANGE": errno.ERANGE, "EOVERFLOW": errno.EOVERFLOW}


def _answer(function: object, *arguments: object) -> object:
    try:
        return function(*arguments)  # type: ignore[operator]
    except NumberError as error:
        return errno.errorcode[error.errno]


@pytest.mark.parametrize(
    ("text", "base", "expected"),
    [
        ("12", 10, 12),
        ("+12", 10, 12),
        ("12\n", 10, 12),
        ("12\n\n", 10, "EINVAL"),
        (" 12", 10, "EINVAL"),
        ("-1", 10, "EINVAL"),
        ("++1", 10, "EINVAL"),
        ("", 10, "EINVAL"),
        ("+", 10, "EINVAL"),
        ("4294967295", 10, 4294967295),
        ("4294967296", 10, "ERANGE"),
        ("fF", 16, 255),
        ("0xff", 16, 255),
        ("0XfF", 16, 255),
        ("0x", 16, "EINVAL"),
        ("+0x1", 16, 1),
        ("0x10", 0, 16),
        ("010", 0, 8),
        ("0", 0, 0),
        ("08", 0, "EINVAL"),
        ("0xg", 0, "EINVAL"),
        ("10", 0, 10),
        ("²", 10, "EINVAL"),
    ],
)
def test_an_unsigned_number_is_parsed_as_in_the_kernel(text: str, base: int, expected: object) -> None:
    assert _answer(unsigned, text, base, 32) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-1", -1),
        ("2147483647", 2147483647),
        ("2147483648", "ERANGE"),
        ("-2147483648", -2147483648),
        ("-2147483649", "ERANGE"),
        ("-0x10", -16),
        ("-+1", "EINVAL"),
    ],
)
def test_a_signed_number_is_parsed_as_in_the_kernel(text: str, expected: object) -> None:
    assert _answer(signed, text, 0, 32) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        ("0-3,8", {0, 1, 2, 3, 8}),
        ("0 3\t5\n7", {0, 3, 5}),
        (",,0,,", {0}),
        ("all", set(range(10))),
        ("ALL", set(range(10))),
        ("N", {9}),
        ("5-N", {5, 6, 7, 8, 9}),
        ("n", "EINVAL"),
        ("0-9:1/3", {0, 3, 6, 9}),
        ("all:2/4", {0, 1, 4, 5, 8, 9}),
        ("0-9:3/2", "EINVAL"),
        ("0-9:0/0", "EINVAL"),
        ("3:1/2", "EINVAL"),
        ("3-1", "EINVAL"),
        ("10", "ERANGE"),
        ("0-10", "ERANGE"),
        ("4294967296", "EOVERFLOW"),
        ("-1", "EINVAL"),
        ("1-", "EINVAL"),
        ("0x1", "EINVAL"),
        ("1\x002", {1}),
        ("1\n2", {1}),
        ("1 \n2", {1, 2}),
        ("\n1", {1}),
        ("0-3:1/2\n9", {0, 2, 9}),
        ("1:2", "EINVAL"),
        ("1;2", "EINVAL"),
    ],
)
def test_a_cpu_list_is_parsed_as_in_the_kernel(text: str, expected: object) -> None:
    assert _answer(parse_cpu_list, text, 10) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        ("3", {0, 1}),
        ("00000003", {0, 1}),
        ("1,00000001", {0, 32}),
        ("1 00000001\nrubbish", {0, 32}),
        (",3,", {0, 1}),
        ("100000001", "EOVERFLOW"),
        ("1,0,0", "EOVERFLOW"),
        ("100,00000000", "EOVERFLOW"),
        ("0x3", "EINVAL"),
        ("x", "EINVAL"),
    ],
)
def test_a_cpu_mask_is_parsed_as_in_the_kernel(text: str, expected: object) -> None:
    assert _answer(parse_cpu_mask, text, 40) == expected


@given(st.frozensets(st.integers(0, 99)))
def test_a_formatted_cpu_set_parses_as_the_same_set(cpus: frozenset[int]) -> None:
    assert parse_cpu_list(format_cpu_list(cpus) + "\n", 100) == cpus
    assert parse_cpu_mask(format_cpu_mask(cpus, 100) + "\n", 100) == cpus


def test_a_cpu_mask_has_one_bit_per_cpu() -> None:
    assert format_cpu_mask({0, 71}, 72) == "80,00000000,00000001"
    assert format_cpu_mask((), 2) == "0"
