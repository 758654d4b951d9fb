from __future__ import annotations

import numpy as np
import pytest

from sharpen.fairness.codes import cells


def test_rows_of_one_combination_are_in_one_cell() -> None:
    cell_N = cells({"a": ["x", "y", "x", "x"], "b": ["p", "p", "q", "p"]}, 4)
    assert cell_N[0] == cell_N[3] and len(np.unique(cell_N)) == 3
    assert cells({}, 3).tolist() == [0, 0, 0]


def test_a_facet_with_another_number_of_rows_is_an_error() -> None:
    with pytest.raises(ValueError, match="2 rows of 3"):
        cells({"a": ["x", "y"]}, 3)
