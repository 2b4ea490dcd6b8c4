"""WeChat's error codes: what each means for a message, as one table."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, NamedTuple

from imsg_contract.wire import Again, Blocked, Concern, Refused, Result

PROVIDER = "wechat"
"""What results, receipts, history and logs call this provider."""

BUSY_S = 10.0
MINUTE_S = 60.0
CONFIGURATION_S = 300.0
"""How long an account is left alone that must first be put right in WeChat's console."""

DAILY_QUOTA_S = 1_800.0
"""The quota opens at midnight in China, or as soon as somebody clears it."""

RAW_CHARACTERS = 300
"""Of an answer that nobody listed, as much as is shown."""

MAX_TEXT_CHARACTERS = 500
"""How much of WeChat's own words is kept."""

OK = 0
ALREADY_SENT = 45065
"""The client_msg_id was used: WeChat has the message."""

STALE_TOKEN = frozenset({40001, 40014, 42001})
"""The token is not valid any more: it is refreshed, once."""

NOT_GRANTED = frozenset({43101})
"""The follower has refused, or used up, what they had granted."""

NO_WINDOW = frozenset({45015, 45047})
"""The follower has not written for too long, or was written to too often since."""

LEFT = frozenset({43004, 50005})
"""The recipient does not follow: noted as having left."""


class Meaning(Enum):
    """What a code means."""

    LATER = auto()
    """This message later."""
    NEVER = auto()
    """This message never."""
    NOBODY = auto()
    """Nothing goes through for the account."""
    NOT_BY_THIS = auto()
    """Nothing goes through by this template."""
    NOT_SO = auto()
    """Nothing goes through by this way to send; for template messages that is all of the account."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A meaning, and how long to wait where it is one of waiting."""

    meaning: Meaning
    after_s: float = 0.0
    concerns: Concern | None = None
    """Of a message alone: whether it is its recipient or its content."""


_UNLISTED = Rule(Meaning.LATER)
_NOBODY = Rule(Meaning.NEVER, concerns="recipient")
_NEVER = Rule(Meaning.NEVER, concerns="content")
_CONFIGURATION = Rule(Meaning.NOBODY, CONFIGURATION_S)
_NOT_SO = Rule(Meaning.NOT_SO, CONFIGURATION_S)

RULES: Mapping[int, Rule] = {
    -1: Rule(Meaning.LATER, BUSY_S, "provider"),  # the system is busy
    # The account is not set up right: an operator has to act.
    40001: _CONFIGURATION,  # with a fresh token too: the secret is wrong
    40013: _CONFIGURATION,  # appid
    40014: _CONFIGURATION,
    40125: _CONFIGURATION,  # secret
    40164: _CONFIGURATION,  # our address is not in the list of those that may call
    40243: _CONFIGURATION,  # the secret is frozen
    41002: _CONFIGURATION,  # no appid
    41004: _CONFIGURATION,  # no secret
    42001: _CONFIGURATION,
    48001: _NOT_SO,  # this kind of account may not
    48004: _NOT_SO,  # the API is banned
    # Too much.
    45009: Rule(Meaning.NOBODY, DAILY_QUOTA_S),  # of a day
    45011: Rule(Meaning.NOBODY, MINUTE_S),  # of a minute
    # This recipient.
    40003: _NOBODY,  # no openid of this account
    43004: _NOBODY,  # does not follow
    43019: _NOBODY,  # is on the black list
    43101: _NOBODY,  # refused the subscription
    48002: _NOBODY,  # blocks the account
    50005: _NOBODY,  # has left
    # This content, or this template.
    40037: Rule(Meaning.NOT_BY_THIS, CONFIGURATION_S),  # no such template
    41030: _NEVER,
    45002: _NEVER,  # the text is too long
    45015: _NOBODY,
    45047: _NOBODY,
    47003: _NEVER,  # a value does not fit its field
    **dict.fromkeys(range(40015, 40028), _NEVER),  # menus
    # Ours to get right.
    41001: _NEVER,  # no token
    43002: _NEVER,  # must be POST
    44002: _NEVER,  # empty body
    47001: _NEVER,  # no JSON
}
"""errcode → what it means (docs/providers.md, WeChat: its global code list and pages as read in November 2026).

A code that nobody listed is tried again, and shown as such with the whole answer."""

REMEDIES: Mapping[int, str] = {
    40013: "Correct APPID.",
    40125: "Correct SECRET.",
    40164: "Add this server's address to the account's IP whitelist.",
    40243: "Unfreeze the AppSecret in WeChat's console.",
    48001: "The account may not do this: template messages want a verified service account.",
    40037: "Correct the template's id: the account has none of this name.",
}
"""What an operator does about it."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """An answer with an errcode that is not 0."""

    code: int
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    """The rest of the answer."""

    @property
    def is_stale_token(self) -> bool:
        """Whether a fresh token may help."""
        return self.code in STALE_TOKEN

    @property
    def detail(self) -> str:
        """What people read: WeChat's own words, and what to do where we know it; of an unlisted code all of it."""
        said = f"{self.text[:MAX_TEXT_CHARACTERS]} {REMEDIES.get(self.code, '')}".strip() or "WeChat gave no reason."
        if self.code in RULES or self.code == ALREADY_SENT:
            return said
        raw = json.dumps({"errcode": self.code, "errmsg": self.text, **self.fields}, ensure_ascii=False)
        return f"{said} (an unlisted code, tried again: {raw[:RAW_CHARACTERS]})"


class Scopes(NamedTuple):
    """What a call concerns, as results and the log call it."""

    account: str
    template: str
    way: str
    """All that is sent in the same way."""

    @property
    def about(self) -> Mapping[Concern, str]:
        """The same for breakers: a way to send is to an account what a sender is to a server."""
        return {"template": self.template, "sender": self.way}


def result(complaint: Complaint, scopes: Scopes) -> Result:
    """Turn a complaint into what it means for a message, and say what it concerns."""
    rule = RULES.get(complaint.code, _UNLISTED)
    code = str(complaint.code)
    match rule.meaning:
        case Meaning.NEVER:
            return Refused(PROVIDER, code, complaint.detail, rule.concerns)
        case Meaning.NOBODY:
            return Blocked(PROVIDER, scopes.account, code, complaint.detail, rule.after_s, "account", passes=True)
        case Meaning.NOT_BY_THIS:
            return Blocked(PROVIDER, scopes.template, code, complaint.detail, rule.after_s, "template")
        case Meaning.NOT_SO:
            concerns: Concern = "account" if scopes.way == scopes.account else "sender"
            return Blocked(PROVIDER, scopes.way, code, complaint.detail, rule.after_s, concerns)
        case Meaning.LATER:
            return Again(PROVIDER, code, complaint.detail, rule.after_s, rule.concerns)
