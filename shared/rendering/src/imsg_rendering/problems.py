"""What a template takes, and what may be wrong with it."""

from dataclasses import dataclass
from typing import Literal

MAX_SOURCE_CHARACTERS = 48 * 1024
"""Of all texts of a source. With its values it stays below what a job may hold."""

MAX_PARAMS = 64

MAX_VALUE_CHARACTERS = 2_000

Reason = Literal["too_long", "syntax", "limit", "missing", "value"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a template, or with what it is rendered with."""

    reason: Reason
    zh: str
    en: str
    field: str = ""
    """The text, such as `html`; the name of the param where that is what is wrong."""
    line: int = 0
    column: int = 0
    """From 1; 0 where it is not about a place."""


class TemplateError(Exception):
    """A template cannot be compiled, or not be rendered with these params."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.en)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Param:
    """What a template takes. It is required unless each use has a `default`, or stands under a condition on it."""

    name: str
    required: bool
    alone_in: tuple[str, ...] = ()
    """The texts that are this param and nothing else: the limits of these are its own."""
