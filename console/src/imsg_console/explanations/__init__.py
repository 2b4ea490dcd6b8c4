"""Providers' answers in plain words: what a code means for a message, and what to do about it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from imsg_channels import METHODS
from imsg_channels.smtp import SMTP
from imsg_console.explanations import general
from imsg_console.explanations.table import Table
from imsg_console.texts import Texts


def _table(method: str) -> Table:
    """Read a channel's table, the module that is called by it; a channel need not have one."""
    name = f"{__name__}.{method}"
    if find_spec(name) is None:
        return {}
    found: Table = import_module(name).CODES
    return found


TABLES: Mapping[str, Table] = {method: _table(method) for method in METHODS}

OTHERWISE: Table = {
    "failed": (
        "服务商拒绝了这条消息，理由见它的原话。",
        "The provider refused it; its own words say why.",
        "words",
    ),
    "expired": general.CODES["expired"],
    "retrying": ("这次没有成功。", "This try did not succeed.", "wait"),
    "uncertain": ("不知道服务商是否已收下。", "Whether the provider has it is not known.", "check"),
}
"""By status, for a code that no table knows."""

ONCE_SETTLED: Mapping[str, str] = {
    "wait": "later",
    "wait_for_room": "make_room",
    "operator": "operator_first",
    "top_up": "top_up_first",
    "limit": "later",
}
"""Remedies that hold only while iMSG goes on trying → what to do once it does not."""

UNCHANGED_IN_VAIN = frozenset(
    {"address", "number", "ask_tag", "content", "rewrite", "template", "complete", "smaller", "attach"}
)
"""Remedies that say: correct something first. The same once more would fail once more."""

VAGUE = frozenset({"5", "554"})
"""Names of refusals without a reason, as servers give them for spam, for a policy, or in a bad hour."""

_SMTP = re.compile(r"[245]\d\d(?: [245]\.\d{1,3}\.\d{1,3})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Said:
    """An answer in plain words."""

    meaning: str
    remedy: str


def explained(texts: Texts, method: str, status: str, code: str | None) -> Said | None:
    """Put an answer into plain words; None where there is nothing to explain (it was sent, or waits its turn)."""
    if status not in OTHERWISE:
        return None
    zh, en, remedy = _known(method, code or "") or OTHERWISE[status]
    if status == "uncertain":
        remedy = "check"
    elif status != "retrying":
        remedy = ONCE_SETTLED.get(remedy, remedy)
    return Said(zh if texts.language == "zh" else en, texts(f"answers.{remedy}"))


def is_hopeless(method: str, status: str, code: str | None) -> bool:
    """Tell whether a message that failed would fail again as it is; a code that says nothing exact does not."""
    if status != "failed":
        return False
    table = TABLES.get(method, {})
    exact = [name for name in _names(method, code or "") if name not in VAGUE]
    known = next((found for name in exact if (found := table.get(name) or general.CODES.get(name))), None)
    return known is not None and known[2] in UNCHANGED_IN_VAIN


def _known(method: str, code: str) -> tuple[str, str, str] | None:
    table = TABLES.get(method, {})
    for name in _names(method, code):
        if (found := table.get(name) or general.CODES.get(name)) is not None:
            return found
    return None


def _names(method: str, code: str) -> Iterator[str]:
    """Name where an answer may stand, the most exact first."""
    yield code
    if method == SMTP.name and _SMTP.fullmatch(code):
        plain, _, enhanced = code.partition(" ")
        yield from (enhanced, plain, plain[0])
    if code.startswith("http_"):
        yield code[: len("http_5")]
    yield code.partition(".")[0]
