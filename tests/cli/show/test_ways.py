import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachetune.cli.show.ways import io_picture, letter_of, owners_picture, scale, ways_picture

MASKS = st.integers(0, (1 << 20) - 1)


def test_the_highest_way_is_on_the_left() -> None:
    assert ways_picture(0b00111, 5) == "··███"


def test_ways_shared_with_io_look_different_in_the_mask_and_outside() -> None:
    assert ways_picture(0b0110, 4, 0b1100) == "░▓█·"


@given(MASKS, MASKS)
def test_each_way_is_one_character_and_none_is_lost(mask: int, shareable: int) -> None:
    picture = ways_picture(mask, 20, shareable)
    assert int("".join("1" if c in "█▓" else "0" for c in picture), 2) == mask
    assert int("".join("1" if c in "░▓" else "0" for c in picture), 2) == shareable


def test_owners_are_letters_and_shared_ways_are_marked() -> None:
    assert owners_picture([("d", 0b11000), ("A", 0b01100), ("B", 0b00001)], 6) == "·d#A·B"


def test_ways_shared_with_io_are_marked_below() -> None:
    assert io_picture(0b1100, 4) == "^^  "


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
