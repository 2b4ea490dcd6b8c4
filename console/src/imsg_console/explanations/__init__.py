"""Explains codes of providers: what a code means for a message, and what to do about it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from imsg_channels import BY_NAME, METHODS
from imsg_channels.smtp import SMTP
from imsg_console.explanations import general
from imsg_console.explanations.table import Table
from imsg_console.texts import Texts


def _table(method: str) -> Table:
    """Read a channel's table: the module that is called by it, else what its description says."""
    name = f"{__name__}.{method}"
    if find_spec(name) is None:
        return {code: remedy for code, (_, _, remedy) in BY_NAME[method].explanations.items()}
    table: Table = import_module(name).CODES
    return table


TABLES: Mapping[str, Table] = {method: _table(method) for method in METHODS}

OTHERWISE: Table = {"failed": "words", "expired": general.CODES["expired"], "retrying": "wait", "uncertain": "check"}
"""By status, for a code that no table knows."""

ONCE_SETTLED: Mapping[str, str] = {
    "wait": "later",
    "wait_for_room": "make_room",
    "limit": "later",
}
"""Remedies while iMSG retries → those after its last try."""

ADMINISTRATOR = frozenset({"operator", "top_up", "key", "clock", "allow", "grant", "signature", "approval"})
"""What an administrator has to do first; then iMSG continues, or a user resends the message."""

UNCHANGED_IN_VAIN = frozenset(
    {
        "address", "number", "ask_tag", "content", "rewrite", "template", "complete", "smaller", "attach", "suppressed",
        "opted_out",
    }
)  # fmt: skip
"""Remedies that need a correction: the unchanged message would fail again."""

VAGUE = frozenset({"5", "554"})
"""Names of refusals without a reason, as servers give them for spam, for a policy, or in a bad hour."""

_SMTP = re.compile(r"[245]\d\d(?: [245]\.\d{1,3}\.\d{1,3})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Explanation:
    """The meaning of a code, and the remedy."""

    meaning: str
    remedy: str


def explain(texts: Texts, method: str, status: str, code: str | None) -> Explanation | None:
    """Explain the code of a message; None where its status needs no explanation."""
    if status not in OTHERWISE:
        return None
    meaning, remedy = _find(method, code or "") or (f"otherwise.{status}", OTHERWISE[status])
    if status == "uncertain":
        remedy = "check"
    elif status != "retrying":
        remedy = ONCE_SETTLED.get(remedy, remedy)
    return Explanation(describe_meaning(texts, meaning), _describe_remedy(texts, remedy, goes_on=status == "retrying"))


def explain_listed(texts: Texts, method: str, code: str) -> Explanation | None:
    """Explain a code that stops a provider; None where no table has it."""
    if (known := _find(method, code)) is None:
        return None
    meaning, remedy = known
    return Explanation(describe_meaning(texts, meaning), _describe_remedy(texts, remedy, goes_on=True))


def _describe_remedy(texts: Texts, remedy: str, *, goes_on: bool) -> str:
    words = texts(f"explanations.remedy.{remedy}")
    if remedy not in ADMINISTRATOR:
        return words
    return texts.join(words, texts("explanations.then.goes_on" if goes_on else "explanations.then.resend"))


def describe_meaning(texts: Texts, meaning: str) -> str:
    """Return the sentence about a code: of the catalogues, or of the channel's description."""
    table, _, code = meaning.partition(".")
    described = BY_NAME[table].explanations if table in BY_NAME else {}
    if code not in described:
        return texts(f"explanations.{meaning}")
    zh, en, _ = described[code]
    return zh if texts.language == "zh" else en


def is_hopeless(method: str, status: str, code: str | None) -> bool:
    """Return whether a failed message would fail again unchanged; a vague code does not count."""
    if status != "failed":
        return False
    table = TABLES.get(method, {})
    exact = [name for name in _names(method, code or "") if name not in VAGUE]
    known = next((remedy for name in exact if (remedy := table.get(name) or general.CODES.get(name))), None)
    return known is not None and known in UNCHANGED_IN_VAIN


def _find(method: str, code: str) -> tuple[str, str] | None:
    """Return the key of what a code means, and the remedy."""
    tables = {method: TABLES.get(method, {}), "general": general.CODES}
    for name in _names(method, code):
        for table, codes in tables.items():
            if name in codes:
                return f"{table}.{name}", codes[name]
    return None


def _names(method: str, code: str) -> Iterator[str]:
    """Yield the names by which the tables may have a code, the most exact first."""
    yield code
    if method == SMTP.name and _SMTP.fullmatch(code):
        plain, _, enhanced = code.partition(" ")
        yield from (enhanced, plain, plain[0])
    if code.startswith("http_"):
        yield code[: len("http_5")]
    yield code.partition(".")[0]
