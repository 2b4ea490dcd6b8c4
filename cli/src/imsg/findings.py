"""What the checks of `imsg doctor` and `imsg status` find, and how that is printed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from imsg.api import language as find_language
from imsg.output import print_table
from imsg.phrases import find_chinese
from imsg_contract.findings import Level

MARKS: Mapping[Level, str] = {"fault": "✗", "notice": "?", "well": "✓"}
"""The signs of findings, the worst first."""

TIMEOUT_S = 5.0
"""How long one check may take: a person waits."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `remedy` is empty where nothing has to be done."""

    part: str
    state: str
    remedy: str = ""
    level: Level | None = None
    """None: a fault where there is a remedy, else all is well. A check without an answer is a notice."""

    @property
    def mark(self) -> str:
        """Return the sign that begins the finding's row."""
        return MARKS[self.level or ("fault" if self.remedy else "well")]


def sort_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings, worst first."""
    return sorted(findings, key=lambda finding: [*MARKS.values()].index(finding.mark))


class Translate:
    """Chooses the Chinese or the English form of a text."""

    def __init__(self, language: str) -> None:
        self._is_chinese = language == "zh"

    def __call__(self, zh: str, en: str) -> str:
        """Return the text in the language of this run."""
        return zh if self._is_chinese else en


ENGLISH = Translate("en")


def print_findings(findings: Iterable[Finding], language: str | None = None) -> int:
    """Print a row for each finding, in the shell's language unless another is named.

    Return the exit code: 1 where one needs a remedy, else 0.
    """
    translate = find_chinese if (language or find_language()) == "zh" else str
    rows = [
        (finding.mark, *(translate(text) for text in (finding.part, finding.state, finding.remedy)))
        for finding in findings
    ]
    print_table(("", *map(translate, ("part", "what is found", "remedy"))), rows)
    return 1 if any(mark == MARKS["fault"] for mark, *_ in rows) else 0
