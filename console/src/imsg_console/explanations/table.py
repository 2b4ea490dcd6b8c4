"""The form of a table of codes."""

from collections.abc import Mapping

Table = Mapping[str, str]
"""Code → remedy. The catalogues say what each code means (`explanations.TABLE.CODE`) and what each remedy is."""


def group_codes(**codes: str) -> dict[str, str]:
    """Make a table from the codes of each remedy, which are separated by spaces."""
    return {code: remedy for remedy, listed in codes.items() for code in listed.split()}
