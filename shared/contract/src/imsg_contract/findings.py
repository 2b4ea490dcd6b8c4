"""What a check finds: of which part, how bad it is, what it means and what to do, in both languages."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

Level = Literal["fault", "notice", "well"]
"""A fault has to be mended now; a notice may become one, or could not be checked."""

LEVELS: tuple[Level, ...] = ("fault", "notice", "well")
"""The worst first."""


class Sentence(BaseModel):
    """A text in both languages."""

    model_config = ConfigDict(frozen=True)

    zh: str
    en: str

    def choose(self, *, english: bool) -> str:
        """Return the text in a language."""
        return self.en if english else self.zh


class Finding(BaseModel):
    """The result of one check."""

    model_config = ConfigDict(frozen=True)

    part: str
    """The kind of the part, such as `channel`."""
    name: str = ""
    """Which one of them, such as `smtp`."""
    level: Level
    state: Sentence
    remedy: Sentence | None = None
    """The next step; None where nothing has to be done."""


def make_finding(
    part: str, level: Level, state: tuple[str, str], remedy: tuple[str, str] | None = None, *, name: str = ""
) -> Finding:
    """Make a finding of texts in Chinese and English."""
    step = None if remedy is None else Sentence(zh=remedy[0], en=remedy[1])
    return Finding(part=part, name=name, level=level, state=Sentence(zh=state[0], en=state[1]), remedy=step)


class Replica(BaseModel):
    """The report of one replica of a service about itself."""

    model_config = ConfigDict(frozen=True)

    service: str
    replica: str
    """Host and process."""
    version: str
    since: datetime
    at_s: int = 0
    """The time of the report, by Redis' clock (Unix seconds)."""
    conditions: tuple[str, ...] = ()
    """The conditions of its readiness."""
    unmet: tuple[str, ...] = ()
    """The conditions of its readiness that do not hold."""
    findings: tuple[Finding, ...] = ()
