"""An address is read on its own, whatever stands beside it."""

from __future__ import annotations

import pytest

from ocrd.layout.addresses import addresses
from ocrd.layout.order import rows
from ocrd.layout.pieces import Piece
from tests.unit.layout.printed import lines, piece, row


def beside(page: list[Piece]) -> list[list[str]]:
    """What stands beside each other, from left to right, in all of a page."""
    return [
        [" ".join(it.text for it in line) for line in text]
        for found, _ in addresses(rows(page))
        for text in found
    ]


FACTS = "Invoice 44/26\nDated 18 January\nTerms: cash"


@pytest.mark.parametrize(
    "town",
    [
        "28195 Bremen", "D-28195 Bremen", "1010 Wien", "1017 AB Amsterdam", "Portland, OR 97205",
        "Worcester WR2 4AY", "Ottawa, ON K1A 0B1",
    ],
)  # fmt: skip
def test_an_address_is_read_before_what_stands_beside_it(town: str) -> None:
    address = f"Anna Lind\n4 Old Lane\n{town}"
    page = [*lines(address, 100, 100), *lines(FACTS, 600, 100)]
    assert beside(page) == [address.split("\n"), FACTS.split("\n")]


def test_addresses_beside_each_other_end_before_the_items_below_them() -> None:
    first, second = "Bill to\nAnna Lind\n28195 Bremen", "Ship to\nIan Lee\n4 Old Lane\n1010 Wien"
    items = [*row(240, ("Item", 100), ("Sum", 600)), *row(280, ("Rope", 100), ("4.50", 600))]
    page = [*lines(first, 100, 100), *lines(second, 600, 100), *items]
    assert beside(page) == [first.split("\n"), second.split("\n")]
    rest = [line for _, others in addresses(rows(page)) for line in others]
    assert [it.text for line in rest for it in line] == ["Item", "Sum", "Rope", "4.50"]


def test_facts_beside_an_address_keep_their_rows() -> None:
    page = [*lines("Anna Lind\n4 Old Lane\n28195 Bremen", 100, 100)]
    for n, fact in enumerate((("Number", "R-317"), ("Date", "5 May"), ("Customer", "K-442"))):
        page += row(100 + 25 * n, (fact[0], 500), (fact[1], 700))
    assert beside(page)[1] == ["Number R-317", "Date 5 May", "Customer K-442"]


@pytest.mark.parametrize(
    "page",
    [
        [*lines("28195 Bremen\n1010 Wien\n97070 Würzburg", 100, 100), *lines(FACTS, 600, 100)],
        lines("Anna Lind\n4 Old Lane\n28195 Bremen", 100, 100),
        [*lines("Anna Lind\n28195 Bremen", 100, 100), *lines("Rope\nSail", 600, 100)],
        [*lines("Rope\nAnchor\nLantern", 100, 100), *lines("4.50\n86.00\n19.90", 600, 100)],
        [
            *lines("Anna Lind\n4 Old Lane\n28195 Bremen", 100, 100, pitch=60),
            *lines(FACTS, 600, 100, pitch=60),
        ],
        [*lines("Anna Lind\n4 Old Lane\n28195 Bremen", 100, 100), piece("x" * 60, 90, 112)],
    ],
    ids=["towns", "alone", "of two lines", "goods", "far apart", "across"],
)
def test_nothing_else_is_an_address_with_something_beside_it(page: list[Piece]) -> None:
    assert beside(page) == []
