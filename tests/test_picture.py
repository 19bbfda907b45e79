"""The picture language: each way is one character, with one meaning in every picture."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachetune.picture import bar, io_picture, legend, letter_of, owners_picture, scale

ALL = "Ways: letter = a, # = several groups, - = other groups, . = free, ^ = shared with I/O"
MASKS = st.integers(0, (1 << 20) - 1)


def test_the_highest_way_is_on_the_left() -> None:
    assert owners_picture([("A", 0b00111)], 5) == "..AAA"


def test_owners_are_letters_and_shared_ways_are_marked() -> None:
    assert owners_picture([("d", 0b11000), ("A", 0b01100), ("B", 0b00001)], 6) == ".d#A.B"


def test_a_picture_of_one_group_also_shows_what_the_others_have_and_what_is_shared_with_them() -> None:
    assert owners_picture([("A", 0b001110)], 6, others=0b011000) == ".-#AA."


@given(MASKS, MASKS)
def test_each_way_is_one_character_and_none_is_lost(mask: int, others: int) -> None:
    picture = owners_picture([("A", mask)], 20, others)
    assert int("".join("1" if c in "A#" else "0" for c in picture), 2) == mask
    assert int("".join("1" if c in "-#" else "0" for c in picture), 2) == others


def test_ways_shared_with_io_are_marked_below() -> None:
    assert io_picture(0b1100, 4) == "^^  "


@pytest.mark.parametrize(
    ("pictures", "text"),
    [(["ddAA"], "Ways: letter = a"), (["##--", ".d#", "^^"], ALL), (["...."], "Ways: . = free")],
)
def test_the_legend_has_only_what_the_pictures_have(pictures: list[str], text: str) -> None:
    assert legend(pictures, "a") == text


@pytest.mark.parametrize(("ways", "text"), [(1, "0"), (2, "10"), (11, "10        0"), (20, "19                 0")])
def test_the_scale_names_the_highest_way_and_way_0(ways: int, text: str) -> None:
    assert scale(ways) == text
    assert len(text) == ways


def test_letters_do_not_repeat_and_run_out_into_question_marks() -> None:
    letters = [letter_of(i) for i in range(60)]
    named = [letter for letter in letters if letter != "?"]
    assert len(set(named)) == len(named) == 51
    assert letters[0] == "d"
    assert "D" not in letters


@pytest.mark.parametrize(
    ("fill", "drawn"), [(0, "░░░░"), (0.001, "█░░░"), (0.5, "██░░"), (0.94, "███░"), (0.95, "████"), (1.2, "████")]
)
def test_a_bar_is_full_or_empty_only_if_the_amount_is(fill: float, drawn: str) -> None:
    assert (bar(fill, 4), bar(fill, 0)) == (drawn, "")
