"""The official accounts the sandbox plays, and the people who follow them."""

import hashlib
import hmac
import secrets
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, SecretStr

from imsg_contract.constant_time import equals
from imsg_sandbox import wechat_described
from imsg_sandbox.wechat_codes import Codes

OPENID_CHARACTERS = 28
MARK_CHARACTERS = 9
"""The end of an openid, made of its beginning: so the sandbox knows its own again after a restart."""

ACTED: Mapping[str, tuple[int, int]] = {
    "follow": (60, 3),
    "press": (60, 3),
    "scan": (60, 3),
    "say": (48 * 3_600, 5),
}
"""What somebody did → for how many seconds the account may answer by a customer-service message, and how often."""

_ALPHABET = string.ascii_letters + string.digits + "-_"


class AccountSettings(BaseModel):
    """An account as sender-wechat knows it too."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    appid: str
    secret: SecretStr
    token: SecretStr
    aes_key: SecretStr | None = None
    mode: str = "any"
    template: str
    variable: str = "content"
    templates: wechat_described.Settings = {}


@dataclass(slots=True)
class Window:
    """A while in which the account may write to somebody."""

    until: float
    left: int


@dataclass(slots=True)
class Account:
    """One account and what is known of its followers."""

    name: str
    appid: str
    secret: str
    token: str
    aes_key: str | None
    templates: Mapping[str, tuple[str, ...]]
    """Template id → its fields."""
    notices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The same of subscribe notices."""
    constants: Mapping[tuple[str, str], set[str]] = field(default_factory=dict)
    """Template id and `const` field → the values that it may have; others may have any."""
    grants: dict[tuple[str, str], int] = field(default_factory=dict)
    """Openid and notice's template → how many were granted and not used."""
    menu: object = None
    messages: int = field(default_factory=lambda: secrets.randbits(60))
    """The MsgId of the last text somebody wrote."""
    left: set[str] = field(default_factory=set)
    blocking: set[str] = field(default_factory=set)
    """Followers who block the account's messages: taken, and failed by the receipt."""
    windows: dict[str, list[Window]] = field(default_factory=dict)
    codes: Codes = field(default_factory=Codes)
    followers: dict[str, None] = field(default_factory=dict)
    """Those who followed since the start, in order."""

    @property
    def original_id(self) -> str:
        """The `gh_…` id that messages name the account by."""
        return "gh_" + hashlib.sha256(self.appid.encode()).hexdigest()[:12]

    def follow(self, *, blocks: bool) -> str:
        """Let somebody new follow; return the openid."""
        begin = "o" + "".join(secrets.choice(_ALPHABET) for _ in range(OPENID_CHARACTERS - MARK_CHARACTERS - 1))
        openid = begin + self._mark(begin)
        self.followers[openid] = None
        if blocks:
            self.blocking.add(openid)
        return openid

    def knows(self, openid: str) -> bool:
        """Whether this is an openid of this account."""
        begin, mark = openid[:-MARK_CHARACTERS], openid[-MARK_CHARACTERS:]
        return len(openid) == OPENID_CHARACTERS and equals(mark, self._mark(begin))

    def is_followed_by(self, openid: str) -> bool:
        """Whether they follow now."""
        return self.knows(openid) and openid not in self.left

    def constants_of(self, template: str) -> dict[str, set[str]]:
        """List a template's `const` fields → the values that they may have."""
        return {name: values for (one, name), values in self.constants.items() if one == template}

    def grant(self, openid: str, template: str, by: int) -> None:
        """Count a notice that was granted (1), used (-1) or taken back."""
        key = openid, template
        self.grants[key] = max(0, self.grants.get(key, 0) + by)

    def note_act(self, openid: str, what: str, now: float) -> None:
        """Note that somebody did something, which lets the account write to them for a while."""
        for_s, times = ACTED[what]
        open_now = [window for window in self.windows.get(openid, []) if window.until > now]
        self.windows[openid] = [*open_now, Window(now + for_s, times)]

    def write_to(self, openid: str, now: float) -> int:
        """Use up one customer-service message; return 0, or the errcode where there is none to use."""
        open_now = [window for window in self.windows.get(openid, []) if window.until > now]
        if not open_now:
            return 45015
        window = next((window for window in open_now if window.left), None)
        if window is None:
            return 45047
        window.left -= 1
        return 0

    def _mark(self, begin: str) -> str:
        digest = hmac.digest(self.appid.encode(), begin.encode(), "sha256")
        return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:MARK_CHARACTERS])


class Accounts:
    """All of them."""

    def __init__(self, settings: Mapping[str, AccountSettings]) -> None:
        self._by_name = {
            name: Account(
                name,
                one.appid,
                one.secret.get_secret_value(),
                one.token.get_secret_value(),
                None if one.aes_key is None or one.mode == "plain" else one.aes_key.get_secret_value(),
                _templates(one),
                wechat_described.read_settings(one.templates, "subscribe"),
                wechat_described.find_constants(one.templates),
            )
            for name, one in settings.items()
        }

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_name.values())

    def find(self, name: str | None) -> Account | None:
        """Find an account by name; without one, the first there is."""
        return next(iter(self), None) if name is None else self._by_name.get(name)

    def of_appid(self, appid: str) -> Account | None:
        """Find an account by appid."""
        return next((account for account in self if account.appid == appid), None)

    def find_followed(self, openid: str) -> Account | None:
        """Find the account that somebody follows or followed."""
        return next((account for account in self if account.knows(openid)), None)


def _templates(one: AccountSettings) -> dict[str, tuple[str, ...]]:
    """List an account's templates for template messages; the default one may be described with the others."""
    described = wechat_described.read_settings(one.templates, "template")
    return described if one.template in one.templates else {**described, one.template: (one.variable,)}
