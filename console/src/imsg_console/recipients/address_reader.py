"""Reads the addresses in the rows of a sheet: however people write them, and each person once."""

import re
from collections.abc import Mapping

from imsg_channels import BY_NAME
from imsg_console.recipients.classify_recipient import (
    choose_key,
    explain,
    find_address,
    is_address,
    normalize,
    strip_invisible,
)
from imsg_console.sanitize import line
from imsg_console.texts import Texts
from imsg_contract.addresses import identity

DUPLICATE = "people.duplicate"
SEVERAL = "people.several"

_NOTHING = frozenset({"", "-", "--", "—", "——", "/", "无", "没有", "暂无", "空", "n/a", "#n/a", "na", "none", "null"})
"""What people write into a cell to leave it empty, as `normalize` writes it in small letters."""

_BETWEEN = re.compile(r"[\s,;，；、/|]+")
"""The separators of addresses in one cell."""


class SeenPeople:
    """The people of the rows that were read so far."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, str], int] = {}

    def find_or_record(self, row: int, contacts: Mapping[str, str], about: str = "") -> int | None:
        """Return the earlier row that has one of the contacts; where there is none, record the row and return None.

        `contacts` is method → address, or any other name → text. Rows `about` different things are no duplicates.
        """
        keys = [(method, _normalize(method, text), about) for method, text in contacts.items()]
        first = next((self._rows[key] for key in keys if key in self._rows), None)
        if first is None:
            self._rows |= dict.fromkeys(keys, row)
        return first


def is_blank(cell: str) -> bool:
    """Return whether a cell of addresses holds none on purpose."""
    return normalize(cell).lower() in _NOTHING


def read_cell(cell: str, method: str) -> tuple[str, str]:
    """Return the address of a cell in the API's form and an empty text, or an empty text and what is wrong.

    What is wrong is the key of a sentence for `describe`.
    """
    if (address := find_address(strip_invisible(cell), method)) is not None:
        return address[0], ""
    if sum(is_address(piece, method) for piece in _BETWEEN.split(cell)) > 1:
        return "", SEVERAL
    return "", explain(cell, method) or choose_key(method, f"people.no_{method}", "people.no_address")


def describe(t: Texts, why: str, text: str = "") -> str:
    """Return what is wrong with a row; `text` is the cell that is wrong, or the number of the earlier row."""
    if why == DUPLICATE or not text:
        return t(why, row=text)
    return t("people.wrong", text=line(text, 60), why=t(why))


def _normalize(method: str, text: str) -> str:
    channel = BY_NAME.get(method)
    return identity((channel and channel.address.parse(text)) or text)
