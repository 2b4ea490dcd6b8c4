"""The form of a table of codes."""

from collections.abc import Mapping

Table = Mapping[str, str]
"""Code → what to do about it; what each means is said by the catalogues, `explanations.TABLE.CODE`."""
