import pickle
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachetune import documents
from cachetune.cbm import Bandwidth, Cbm, Masks, is_contiguous, largest_run, run, runs
from cachetune.errors import DocumentError

MASKS = st.integers(0, (1 << 64) - 1)


@given(MASKS)
def test_the_runs_of_a_mask_add_up_to_it(mask: int) -> None:
    found = list(runs(mask))
    assert sum(run(start, length) for start, length in found) == mask
    assert all(a + n < b for (a, n), (b, _) in pairwise(found)), "runs touch or are out of order"


@given(MASKS)
def test_a_mask_is_contiguous_when_it_has_at_most_one_run(mask: int) -> None:
    assert is_contiguous(mask) == (len(list(runs(mask))) <= 1)


@given(MASKS)
def test_the_largest_run_is_the_longest_sequence_of_ones(mask: int) -> None:
    assert largest_run(mask) == max(map(len, f"{mask:b}".split("0")))


@given(MASKS)
def test_a_mask_parses_from_its_text(mask: int) -> None:
    assert Cbm.parse(f"  {mask:016x}\n") == mask


@pytest.mark.parametrize("text", ["", "0x", "0xf", "-1", "1_0", "g", "1" * 17, "1 2", "\N{FULLWIDTH DIGIT ONE}"])
def test_text_that_is_not_a_mask_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a hexadecimal mask"):
        Cbm.parse(text)


@given(MASKS, MASKS)
def test_set_operations_on_masks_give_masks(left: int, right: int) -> None:
    for found, number in (
        (Cbm(left) & Cbm(right), left & right),
        (Cbm(left) | right, left | right),
        (left ^ Cbm(right), left ^ right),
        (Cbm(left) & ~Cbm(right), left & ~right),
    ):
        assert type(found) is Cbm
        assert found == number


def test_a_mask_is_shown_in_hexadecimal() -> None:
    assert (repr(Cbm(0x7FF)), str(Cbm(0x7FF)), f"{Cbm(0x7FF):04x}") == ("0x7ff", "0x7ff", "07ff")
    assert repr(Masks({"L3": {0: Cbm(3)}})) == "Masks({'L3': {0: 0x3}})"


MASKS_TABLE = Masks({"L3": {0: Cbm(3), 1: Cbm(0)}, "L2": {4: Cbm(1)}})


def test_a_table_distinguishes_no_mask_from_an_empty_one() -> None:
    assert (MASKS_TABLE.at("L3", 0), MASKS_TABLE.at("L3", 1), MASKS_TABLE.at("L3", 2)) == (3, 0, None)
    assert MASKS_TABLE.at("L9", 0) is None
    assert (MASKS_TABLE.row("L3"), MASKS_TABLE.row("L9")) == ({0: 3, 1: 0}, {})


def test_an_update_makes_a_new_table() -> None:
    before = dict(MASKS_TABLE)
    updated = MASKS_TABLE.updated({"L3": {1: Cbm(8)}, "L1": {0: Cbm(2)}})
    assert updated == {"L3": {0: 3, 1: 8}, "L2": {4: 1}, "L1": {0: 2}}
    assert dict(MASKS_TABLE) == before
    assert isinstance(updated, Masks)
    assert updated.covers(Masks({"L2": {4: Cbm(1)}}))
    assert not updated.covers(MASKS_TABLE)


def test_a_table_does_not_change_with_the_dict_that_it_was_made_from() -> None:
    rows = {"L3": {0: Cbm(1)}}
    table = Masks(rows)
    rows["L3"][0] = Cbm(2)
    assert table.at("L3", 0) == 1
    with pytest.raises(TypeError):
        table["L3"] = {}  # type: ignore[index]


def test_a_table_is_made_of_its_entries_again_and_pickles() -> None:
    assert Masks.of(MASKS_TABLE.entries()) == MASKS_TABLE
    assert MASKS_TABLE.places() == {("L3", 0), ("L3", 1), ("L2", 4)}
    copy = pickle.loads(pickle.dumps(MASKS_TABLE))  # noqa: S301 - our own bytes
    assert copy == MASKS_TABLE
    assert type(copy.at("L3", 0)) is Cbm


class Document(msgspec.Struct):
    masks: Masks = msgspec.field(default_factory=Masks)
    bandwidth: Bandwidth = msgspec.field(default_factory=Bandwidth)


def test_tables_are_objects_of_objects_in_json() -> None:
    document = Document(MASKS_TABLE, Bandwidth({"MB": {0: 50}}))
    text = documents.encode_line(document)
    assert text == b'{"masks":{"L3":{"0":"3","1":"0"},"L2":{"4":"1"}},"bandwidth":{"MB":{"0":50}}}\n'
    assert documents.decode(text, Document, "x") == document
    assert documents.decode(b"{}", Document, "x") == Document()


@pytest.mark.parametrize(
    "text",
    [
        '{"masks": []}',
        '{"masks": {"L3": []}}',
        '{"masks": {"L3": {"0": 3}}}',
        '{"masks": {"L3": {"0": "xyz"}}}',
        '{"masks": {"L3": {"x": "3"}}}',
        '{"masks": {"L3": {"0x1": "3"}}}',
        '{"bandwidth": {"MB": {"0": "50"}}}',
        '{"bandwidth": {"MB": {"0": true}}}',
        '{"bandwidth": {"MB": {"0": 1.5}}}',
    ],
)
def test_a_table_of_another_form_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(DocumentError, match=r"expected|not a hexadecimal mask") as caught:
        documents.decode(text.encode(), Document, "x")
    assert "`$." in str(caught.value)
