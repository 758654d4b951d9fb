from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.verify.scorers import find_scorer, grade


@pytest.mark.parametrize(
    ("name", "reply", "reference", "value"),
    [
        ("numeric", r"Therefore $\boxed{\frac{3}{4}}$.", "0.75", 1.0),
        ("numeric", "The area is 12 m2", "12", 1.0),
        ("numeric", "It costs $1,299.99.", "1299.99", 1.0),
        ("quantity", "1.5 km", "1500 m", 1.0),
        ("quantity", "It takes 90 minutes.", "1.5 h", 1.0),
        ("quantity", "25%", "0.25", 1.0),
        ("quantity", "25 percent of them", "25 %", 1.0),
        ("quantity", "25", "25 %", 0.0),
        ("quantity", "1500 g", "1500 m", 0.0),
        ("quantity", "1500", "1500 m", 0.0),
        ("quantity", "250 mL", "0.25 litres", 1.0),
        ("quantity", "9 m²", "9 m", 0.0),
        ("quantity", "none", "9 m", 0.0),
    ],
)
def test_numbers_and_quantities_are_read_as_a_reader_would(name: str, reply: str, reference: str, value: float) -> None:
    assert grade(find_scorer(name), reply, reference) == (value, None)


def test_a_reference_without_a_number_is_unscored() -> None:
    assert grade(find_scorer("quantity"), "3 m", "far")[0] is None


@given(st.text(st.characters(), max_size=200), st.text(st.characters(), max_size=50))
def test_no_text_breaks_a_quantity(reply: str, reference: str) -> None:
    value, reason = grade(find_scorer("quantity"), reply, reference)
    assert value in (0.0, 1.0) or (reason and "failed" not in reason)
