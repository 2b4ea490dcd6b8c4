"""WeChat's error codes: what each means for a message, as one table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from imsg_contract.wire import Again, Blocked, Refused, Result

PROVIDER = "wechat"
"""What results, receipts, history and logs call this provider."""

BUSY_S = 10.0
MINUTE_S = 60.0
CONFIGURATION_S = 300.0
"""How long an account is left alone that must first be put right in WeChat's console."""

DAILY_QUOTA_S = 1_800.0
"""The quota opens at midnight in China, or as soon as somebody clears it."""

MAX_TEXT_CHARACTERS = 500
"""How much of WeChat's own words is kept."""

OK = 0
ALREADY_SENT = 45065
"""The client_msg_id was used: WeChat has the message."""

STALE_TOKEN = frozenset({40001, 40014, 42001})
"""The token is not valid any more: it is refreshed, once."""

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


@dataclass(frozen=True, slots=True)
class Rule:
    """A meaning, and how long to wait where it is one of waiting."""

    meaning: Meaning
    after_s: float = 0.0


_LATER = Rule(Meaning.LATER)
_NEVER = Rule(Meaning.NEVER)
_CONFIGURATION = Rule(Meaning.NOBODY, CONFIGURATION_S)

RULES: Mapping[int, Rule] = {
    -1: Rule(Meaning.LATER, BUSY_S),  # the system is busy
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
    48001: _CONFIGURATION,  # this kind of account may not
    48004: _CONFIGURATION,  # the API is banned
    # Too much.
    45009: Rule(Meaning.NOBODY, DAILY_QUOTA_S),  # of a day
    45011: Rule(Meaning.NOBODY, MINUTE_S),  # of a minute
    # This recipient.
    40003: _NEVER,  # no openid of this account
    43004: _NEVER,  # does not follow
    43019: _NEVER,  # is on the black list
    43101: _NEVER,  # refused the subscription
    48002: _NEVER,  # blocks the account
    50005: _NEVER,  # has left
    # This content, or this template.
    40037: _NEVER,  # no such template
    41030: _NEVER,
    45015: _NEVER,
    45047: _NEVER,
    47003: _NEVER,  # a value does not fit its field
    **dict.fromkeys(range(40015, 40028), _NEVER),  # menus
    # Ours to get right.
    41001: _NEVER,  # no token
    43002: _NEVER,  # must be POST
    44002: _NEVER,  # empty body
    47001: _NEVER,  # no JSON
}
"""errcode → what it means (docs/providers.md, WeChat); a code that nobody knows is tried again."""

REMEDIES: Mapping[int, str] = {
    40013: "Correct APPID.",
    40125: "Correct SECRET.",
    40164: "Add this server's address to the account's IP whitelist.",
    40243: "Unfreeze the AppSecret in WeChat's console.",
    48001: "Only verified service accounts may send template messages.",
    40037: "Correct TEMPLATE: the account has no such template.",
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
        """What people read: WeChat's own words, and what to do where we know it."""
        return f"{self.text[:MAX_TEXT_CHARACTERS]} {REMEDIES.get(self.code, '')}".strip() or "WeChat gave no reason."


def result(complaint: Complaint, account: str) -> Result:
    """Turn a complaint into what it means for a message of this account."""
    rule = RULES.get(complaint.code, _LATER)
    code = str(complaint.code)
    match rule.meaning:
        case Meaning.NEVER:
            return Refused(PROVIDER, code, complaint.detail)
        case Meaning.NOBODY:
            return Blocked(PROVIDER, account, code, complaint.detail, rule.after_s)
        case Meaning.LATER:
            return Again(PROVIDER, code, complaint.detail, rule.after_s)
