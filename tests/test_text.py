"""Text for people: control characters, numbers with their nouns, lists in a sentence."""

import pytest

from cachetune import text


def test_control_characters_are_escaped() -> None:
    assert text.printable("web\x1b[2J\nd\u00f6m\u202e") == "web\\x1b[2J\\nd\u00f6m\\u202e"


@pytest.mark.parametrize(("number", "counted"), [(0, "0 ways"), (1, "1 way"), (2, "2 ways")])
def test_a_number_has_its_noun(number: int, counted: str) -> None:
    assert text.count(number, "way") == counted


def test_zeros_are_left_out_of_a_list_of_counts() -> None:
    counted = text.counts((2, "group", "to create"), (0, "group", "to remove"), (1, "task", "to move"))
    assert counted == "2 groups to create, 1 task to move"
    assert text.counts((0, "group", "to create")) == ""


@pytest.mark.parametrize(
    ("words", "most", "sentence"),
    [
        ([], None, ""),
        (["a"], None, "a"),
        (["a", "b"], None, "a and b"),
        (["a", "b", "c"], 3, "a, b and c"),
        (["a", "b", "c", "d"], 3, "a, b, c and d"),
        (["a", "b", "c", "d", "e"], 3, "a, b, c and 2 more"),
    ],
)
def test_words_are_listed_as_in_a_sentence(words: list[str], most: int | None, sentence: str) -> None:
    assert text.listed(words, most) == sentence


def test_the_last_two_words_can_be_joined_by_another_word() -> None:
    assert text.listed(["a", "b", "c"], joint="or") == "a, b or c"
