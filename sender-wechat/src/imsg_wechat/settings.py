"""The settings of the WeChat channel, checked at start."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from imsg_delivery.channel import Uncertain
from imsg_runtime.settings import Common, PeerKeys
from imsg_wechat.crypto import key_of
from imsg_wechat.template_settings import MessageTemplates
from imsg_wechat.templates import Templates, find_wrong

ENDPOINT = "https://api.weixin.qq.com"
"""Where WeChat's own API is."""

FREE_TEXT = "content"
"""The variable of the default template where none is named: that of the classic templates, without a type."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_URL = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?")


def _is_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("an account's name has 1 to 32 of a-z, 0-9, _ and -; write it so")
    return name


def _is_key(key: SecretStr | None) -> SecretStr | None:
    if key is not None:
        key_of(key.get_secret_value())
    return key


def _is_endpoint(url: str) -> str:
    if not _URL.fullmatch(url):
        raise ValueError(f"must be a URL such as {ENDPOINT}, without a query")
    return url.rstrip("/")


class Account(BaseModel):
    """One official account. `IMSG_WECHAT__ACCOUNTS__MAIN__APPID` and `[wechat.accounts.main] appid` are one setting."""

    model_config = ConfigDict(frozen=True)

    appid: Annotated[str, Field(min_length=1, max_length=64)]
    secret: Annotated[SecretStr, Field(min_length=1)]
    token: Annotated[SecretStr, Field(min_length=1)]
    """Signs what WeChat sends to our webhook; its console asks for the same one."""
    aes_key: Annotated[SecretStr | None, AfterValidator(_is_key)] = None
    """EncodingAESKey: needed in safe mode."""
    mode: Literal["any", "plain", "safe"] | None = None
    """What the webhook takes; left out: `safe` where there is an AES key, else `plain`. `safe` refuses whatever is not
    encrypted, as the signature in plain mode covers no body."""
    template: Annotated[str, Field(min_length=1, max_length=128)]
    """The default template: free text goes into its VARIABLE."""
    variable: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")] = FREE_TEXT
    templates: MessageTemplates = {}
    """More templates, best in imsg.toml: what `{template, params}` may name beside the default, and how it is sent."""
    texts_per_window: Annotated[int, Field(ge=1, le=100)] = 5
    """How many customer-service texts WeChat takes in the 48 h after somebody has written."""
    endpoint: Annotated[str, AfterValidator(_is_endpoint)] = ENDPOINT

    @model_validator(mode="after")
    def _fits(self) -> "Account":
        if wrong := find_wrong(Templates.of(self.template, self.variable, self.templates)):
            raise ValueError(f"templates: {'; '.join(wrong)}")
        return self

    @property
    def taken(self) -> Literal["any", "plain", "safe"]:
        """What the webhook takes in the end."""
        return self.mode or ("plain" if self.aes_key is None else "safe")


class WeChat(BaseModel):
    """The official accounts, and the one rule for what may have been sent (promise 4)."""

    model_config = ConfigDict(frozen=True)

    accounts: dict[Annotated[str, AfterValidator(_is_name)], Account] = {}
    uncertain: Uncertain = "repeat"

    @model_validator(mode="after")
    def _mean_the_same(self) -> "WeChat":
        """Hold a template's name to one meaning: senders name it without knowing which account a tag is of."""
        params: dict[str, tuple[str, frozenset[str]]] = {}
        for account, one in self.accounts.items():
            for name, template in one.templates.items():
                first, wanted = params.setdefault(name, (account, frozenset(template.params)))
                if wanted != frozenset(template.params):
                    raise ValueError(f"accounts {first} and {account} have a template {name} each, of other params")
        return self


class Settings(Common):
    """All that sender-wechat reads."""

    wechat: WeChat = WeChat()
    database_url: str = ""
    data_dir: Path = Path("data")
    peer_keys: PeerKeys = PeerKeys()
    history_url: str
    """Where history keeps long contents."""

    @property
    def store_url(self) -> str:
        """The database: the one named, else a file of our own in the data folder."""
        return self.database_url or f"sqlite:///{self.data_dir / 'wechat.db'}"
