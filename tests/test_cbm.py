from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachetune.cbm import Cbm, is_contiguous, largest_run, run, runs

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
