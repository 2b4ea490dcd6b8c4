"""WeChat's error codes: what each means for a message, as one table."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, NamedTuple

from imsg_contract.results import Again, Blocked, Concern, Refused, Result

PROVIDER = "wechat"
"""The name of this provider in results, receipts, history and logs."""

BUSY_S = 10.0
MINUTE_S = 60.0
CONFIGURATION_S = 300.0
"""How long an account with wrong settings in WeChat's console waits."""

DAILY_QUOTA_S = 1_800.0
"""How long an account over its daily quota waits. WeChat resets the quota at midnight in China."""

RAW_CHARACTERS = 300
"""The part of an answer with an unlisted code that the detail quotes."""

MAX_TEXT_CHARACTERS = 500
"""The part of WeChat's text that the detail quotes."""

OK = 0
ALREADY_SENT = 45065
"""The client_msg_id was used before: WeChat has the message."""

STALE_TOKEN = frozenset({40001, 40014, 42001})
"""The token is not valid any more; a new one is fetched, once."""

NOT_GRANTED = frozenset({43101})
"""The follower has no grant left, or refuses notices."""

NO_WINDOW = frozenset({45015, 45047})
"""The reply window is closed, or its texts are used."""

NOT_FOLLOWING = frozenset({43004, 50005})
"""The recipient does not follow: recorded as an unfollow."""


class Meaning(Enum):
    """The consequence of a code."""

    RETRY = auto()
    """The message is tried again."""
    REFUSE = auto()
    """The message is refused."""
    BLOCK_ACCOUNT = auto()
    """The account is blocked."""
    BLOCK_TEMPLATE = auto()
    """The template is blocked."""
    BLOCK_OPTION = auto()
    """The delivery option is blocked; for template messages that blocks the account."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A meaning, and how long to wait."""

    meaning: Meaning
    after_s: float = 0.0
    concerns: Concern | None = None
    """For a refused message: its recipient or its content."""


_UNLISTED = Rule(Meaning.RETRY)
_REFUSED_RECIPIENT = Rule(Meaning.REFUSE, concerns="recipient")
_REFUSED_CONTENT = Rule(Meaning.REFUSE, concerns="content")
_CONFIGURATION = Rule(Meaning.BLOCK_ACCOUNT, CONFIGURATION_S)
_NOT_ALLOWED = Rule(Meaning.BLOCK_OPTION, CONFIGURATION_S)

RULES: Mapping[int, Rule] = {
    -1: Rule(Meaning.RETRY, BUSY_S, "provider"),  # the system is busy
    # The account is configured wrongly.
    40001: _CONFIGURATION,  # with a fresh token too: the secret is wrong
    40013: _CONFIGURATION,  # appid
    40014: _CONFIGURATION,
    40125: _CONFIGURATION,  # secret
    40164: _CONFIGURATION,  # our address is not in the IP whitelist
    40243: _CONFIGURATION,  # the secret is frozen
    41002: _CONFIGURATION,  # no appid
    41004: _CONFIGURATION,  # no secret
    42001: _CONFIGURATION,
    48001: _NOT_ALLOWED,  # this kind of account may not
    48004: _NOT_ALLOWED,  # the API is banned
    # Quotas and limits.
    45009: Rule(Meaning.BLOCK_ACCOUNT, DAILY_QUOTA_S),  # the daily quota
    45011: Rule(Meaning.BLOCK_ACCOUNT, MINUTE_S),  # the limit of a minute
    # The recipient.
    40003: _REFUSED_RECIPIENT,  # no openid of this account
    43004: _REFUSED_RECIPIENT,  # does not follow
    43019: _REFUSED_RECIPIENT,  # is on the blacklist
    43101: _REFUSED_RECIPIENT,  # refused the subscription
    48002: _REFUSED_RECIPIENT,  # blocks the account
    50005: _REFUSED_RECIPIENT,  # has left
    # The content or the template.
    40037: Rule(Meaning.BLOCK_TEMPLATE, CONFIGURATION_S),  # no such template
    41030: _REFUSED_CONTENT,
    45002: _REFUSED_CONTENT,  # the text is too long
    45015: _REFUSED_RECIPIENT,
    45047: _REFUSED_RECIPIENT,
    47003: _REFUSED_CONTENT,  # a value does not fit its field
    **dict.fromkeys(range(40015, 40028), _REFUSED_CONTENT),  # menus
    # Malformed calls.
    41001: _REFUSED_CONTENT,  # no token
    43002: _REFUSED_CONTENT,  # must be POST
    44002: _REFUSED_CONTENT,  # empty body
    47001: _REFUSED_CONTENT,  # no JSON
}
"""errcode → rule (docs/providers.md, WeChat: its global code list and pages as read in November 2026).

After an unlisted code the message is tried again; the detail quotes the answer."""

REMEDIES: Mapping[int, str] = {
    40013: "Correct APPID.",
    40125: "Correct SECRET.",
    40164: "Add this server's address to the account's IP whitelist.",
    40243: "Unfreeze the AppSecret in WeChat's console.",
    48001: "The account may not do this: template messages want a verified service account.",
    40037: "Correct the template's id: the account has none of this name.",
}
"""errcode → what an administrator should do."""


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
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
        """WeChat's own text and a remedy; for an unlisted code the whole answer."""
        detail = f"{self.text[:MAX_TEXT_CHARACTERS]} {REMEDIES.get(self.code, '')}".strip() or "WeChat gave no reason."
        if self.code in RULES or self.code == ALREADY_SENT:
            return detail
        raw = json.dumps({"errcode": self.code, "errmsg": self.text, **self.fields}, ensure_ascii=False)
        return f"{detail} (an unlisted code, tried again: {raw[:RAW_CHARACTERS]})"


class Scopes(NamedTuple):
    """The account, template and delivery option of a call, as results and logs name them."""

    account: str
    template: str
    option: str
    """The delivery option."""

    @property
    def about(self) -> Mapping[Concern, str]:
        """The scopes for the circuit breakers, which know the delivery option as `sender`."""
        return {"template": self.template, "sender": self.option}


def make_result(answer: ErrorAnswer, scopes: Scopes) -> Result:
    """Return the result of an error for a message."""
    rule = RULES.get(answer.code, _UNLISTED)
    code = str(answer.code)
    match rule.meaning:
        case Meaning.REFUSE:
            return Refused(PROVIDER, code, answer.detail, rule.concerns)
        case Meaning.BLOCK_ACCOUNT:
            return Blocked(PROVIDER, scopes.account, code, answer.detail, rule.after_s, "account", passes=True)
        case Meaning.BLOCK_TEMPLATE:
            return Blocked(PROVIDER, scopes.template, code, answer.detail, rule.after_s, "template")
        case Meaning.BLOCK_OPTION:
            concerns: Concern = "account" if scopes.option == scopes.account else "sender"
            return Blocked(PROVIDER, scopes.option, code, answer.detail, rule.after_s, concerns)
        case Meaning.RETRY:
            return Again(PROVIDER, code, answer.detail, rule.after_s, rule.concerns)
