"""Functions by their dotted names."""

import pytest

from convexbn.pipeline.names import named
from convexbn.reporting.selection import select


def test_a_name_gives_its_function():
    assert named("convexbn.reporting.selection.select") is select


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="selected"):
        named("convexbn.reporting.selection.selected")
