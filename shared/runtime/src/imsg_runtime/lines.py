"""Lines for people that keep their template and values, so that they can be printed in another language."""

from typing import Self


class Line(str):
    """A line in English. Its words have `{0}`, `{1}` in place of its values."""

    __slots__ = ("values", "words")

    words: str
    values: tuple[object, ...]

    def __new__(cls, words: str, *values: object) -> Self:
        """Fill the values in; words without values are the line."""
        line = super().__new__(cls, words.format(*values) if values else words)
        line.words, line.values = words, values
        return line


def fill(words: str, *values: object) -> Line:
    """Return a line of words with values."""
    return Line(words, *values)
