"""The pictures of the manual are what the program draws today."""

import pytest

from tests import pictures


@pytest.mark.slow
def test_the_pictures_are_those_of_today() -> None:
    drawn = pictures.pictures()
    committed = {file.stem: file.read_text() for file in pictures.PICTURES.iterdir()}
    assert committed.keys() == drawn.keys()
    for name, svg in drawn.items():
        assert committed[name] == svg, f"{name}.svg differs; run: python -m tests.pictures"
