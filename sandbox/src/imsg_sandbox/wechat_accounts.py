"""The official accounts that the sandbox plays, with their followers."""

import hashlib
import hmac
import secrets
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, SecretStr

from imsg_contract.constant_time import equals
from imsg_sandbox import wechat_template_settings
from imsg_sandbox.wechat_codes import Codes

OPENID_CHARACTERS = 28
CHECKSUM_CHARACTERS = 9
"""An openid ends with a checksum of its beginning: the sandbox recognizes its own openids after a restart."""

REPLY_WINDOWS: Mapping[str, tuple[int, int]] = {
    "follow": (60, 3),
    "press": (60, 3),
    "scan": (60, 3),
    "say": (48 * 3_600, 5),
}
"""A follower's act → for how many seconds the account may send customer-service messages, and how many."""

_ALPHABET = string.ascii_letters + string.digits + "-_"


class AccountSettings(BaseModel):
    """An account in the settings of sender-wechat."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    appid: str
    secret: SecretStr
    token: SecretStr
    aes_key: SecretStr | None = None
    mode: str = "any"
    template: str
    variable: str = "content"
    templates: wechat_template_settings.Settings = {}


@dataclass(slots=True)
class ReplyWindow:
    """A time in which the account may write to a follower."""

    until: float
    left: int


@dataclass(slots=True)
class Account:
    """One account with its followers."""

    name: str
    appid: str
    secret: str
    token: str
    aes_key: str | None
    templates: Mapping[str, tuple[str, ...]]
    """Template id → its fields."""
    notices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The same for subscribe notices."""
    constants: Mapping[tuple[str, str], set[str]] = field(default_factory=dict)
    """Template id and `const` field → the values that it may have; others may have any."""
    grants: dict[tuple[str, str], int] = field(default_factory=dict)
    """Openid and notice's template → the grants that are left."""
    menu: object = None
    messages: int = field(default_factory=lambda: secrets.randbits(60))
    """The MsgId of the last text of a follower."""
    left: set[str] = field(default_factory=set)
    blocking: set[str] = field(default_factory=set)
    """Followers who block the account's messages: WeChat accepts these, and the receipt fails."""
    windows: dict[str, list[ReplyWindow]] = field(default_factory=dict)
    codes: Codes = field(default_factory=Codes)
    followers: dict[str, None] = field(default_factory=dict)
    """Openids since the start, in order."""

    @property
    def original_id(self) -> str:
        """The `gh_…` id that messages name the account by."""
        return "gh_" + hashlib.sha256(self.appid.encode()).hexdigest()[:12]

    def follow(self, *, blocks: bool) -> str:
        """Add a follower; return the openid."""
        begin = "o" + "".join(secrets.choice(_ALPHABET) for _ in range(OPENID_CHARACTERS - CHECKSUM_CHARACTERS - 1))
        openid = begin + self._checksum(begin)
        self.followers[openid] = None
        if blocks:
            self.blocking.add(openid)
        return openid

    def knows(self, openid: str) -> bool:
        """Return whether this is an openid of this account."""
        begin, checksum = openid[:-CHECKSUM_CHARACTERS], openid[-CHECKSUM_CHARACTERS:]
        return len(openid) == OPENID_CHARACTERS and equals(checksum, self._checksum(begin))

    def is_followed_by(self, openid: str) -> bool:
        """Return whether the follower follows now."""
        return self.knows(openid) and openid not in self.left

    def constants_of(self, template: str) -> dict[str, set[str]]:
        """List a template's `const` fields → the values that they may have."""
        return {name: values for (owner, name), values in self.constants.items() if owner == template}

    def grant(self, openid: str, template: str, by: int) -> None:
        """Add to the grants of a notice: 1 for a grant, -1 for a use, or less for a revocation."""
        key = openid, template
        self.grants[key] = max(0, self.grants.get(key, 0) + by)

    def record_action(self, openid: str, act: str, now: float) -> None:
        """Open a reply window for a follower's act."""
        for_s, times = REPLY_WINDOWS[act]
        open_now = [window for window in self.windows.get(openid, []) if window.until > now]
        self.windows[openid] = [*open_now, ReplyWindow(now + for_s, times)]

    def write_to(self, openid: str, now: float) -> int:
        """Use one customer-service message; return 0, or the errcode if none is left."""
        open_now = [window for window in self.windows.get(openid, []) if window.until > now]
        if not open_now:
            return 45015
        window = next((window for window in open_now if window.left), None)
        if window is None:
            return 45047
        window.left -= 1
        return 0

    def _checksum(self, begin: str) -> str:
        digest = hmac.digest(self.appid.encode(), begin.encode(), "sha256")
        return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:CHECKSUM_CHARACTERS])


class Accounts:
    """All accounts."""

    def __init__(self, settings: Mapping[str, AccountSettings]) -> None:
        self._by_name = {
            name: Account(
                name,
                account.appid,
                account.secret.get_secret_value(),
                account.token.get_secret_value(),
                None if account.aes_key is None or account.mode == "plain" else account.aes_key.get_secret_value(),
                _read_templates(account),
                wechat_template_settings.read_settings(account.templates, "subscribe"),
                wechat_template_settings.find_constants(account.templates),
            )
            for name, account in settings.items()
        }

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_name.values())

    def find(self, name: str | None) -> Account | None:
        """Return the account of a name; without a name, the first account."""
        return next(iter(self), None) if name is None else self._by_name.get(name)

    def of_appid(self, appid: str) -> Account | None:
        """Return the account of an appid."""
        return next((account for account in self if account.appid == appid), None)

    def find_followed(self, openid: str) -> Account | None:
        """Return the account of a follower or former follower."""
        return next((account for account in self if account.knows(openid)), None)


def _read_templates(account: AccountSettings) -> dict[str, tuple[str, ...]]:
    """Return the account's templates for template messages, with the default one."""
    templates = wechat_template_settings.read_settings(account.templates, "template")
    return templates if account.template in account.templates else {**templates, account.template: (account.variable,)}
