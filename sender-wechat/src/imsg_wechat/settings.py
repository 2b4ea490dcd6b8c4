"""The settings of the WeChat channel, checked at start."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from imsg_delivery.channel import Uncertain
from imsg_delivery.provider_kinds import FormField, ProviderGroup
from imsg_runtime.lines import fill
from imsg_runtime.settings import PeerKeys, SenderSettings
from imsg_wechat.crypto import decode_key
from imsg_wechat.template_settings import MessageTemplates
from imsg_wechat.templates import Templates, find_unfit

ENDPOINT = "https://api.weixin.qq.com"
"""The URL of WeChat's API."""

FREE_TEXT = "content"
"""The default variable of the default template, as in classic templates without types."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_URL = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?")


def _is_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(fill("must be 1 to 32 of a-z, 0-9, _ and -"))
    return name


def _is_key(key: SecretStr | None) -> SecretStr | None:
    if key is not None:
        decode_key(key.get_secret_value())
    return key


def _is_endpoint(url: str) -> str:
    if not _URL.fullmatch(url):
        raise ValueError(fill("must be a URL such as {0}, without a query", ENDPOINT))
    return url.rstrip("/")


class Account(BaseModel):
    """One official account. `IMSG_WECHAT__ACCOUNTS__MAIN__APPID` and `[wechat.accounts.main] appid` are one setting."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    appid: Annotated[
        str,
        Field(min_length=1, max_length=64),
        FormField("AppID", "AppID", "公众号的 AppID，在公众平台“设置与开发 → 基本配置”中。"),
    ]
    """The AppID of the official account."""
    secret: Annotated[
        SecretStr,
        Field(min_length=1),
        FormField("AppSecret", "AppSecret", "公众号的 AppSecret，与 AppID 在同一页面重置后获得。"),
    ]
    """The AppSecret of the official account."""
    token: Annotated[
        SecretStr,
        Field(min_length=1),
        FormField("令牌（Token）", "Token", "用于验证微信发往回调网址的请求，与公众平台中填写的相同。"),
    ]
    """Signs what WeChat sends to the webhook. WeChat's console asks for the same value."""
    aes_key: Annotated[
        Annotated[SecretStr | None, AfterValidator(_is_key)],
        FormField("消息加解密密钥", "EncodingAESKey", "EncodingAESKey，安全模式必填。"),
    ] = None
    """The EncodingAESKey, needed in safe mode."""
    mode: Annotated[
        Literal["any", "plain", "safe"] | None,
        FormField(
            "消息加密方式",
            "Mode",
            "回调网址接受什么。`safe` 拒绝一切未加密的内容。未设置：有 AES 密钥时为 `safe`，否则为 `plain`。",
            rare=True,
        ),
    ] = None
    """What the webhook takes. `safe` refuses whatever is not encrypted. Unset: `safe` where there is an AES key, else
    `plain`."""
    template: Annotated[
        str, Field(min_length=1, max_length=128), FormField("默认模板", "Default template", "默认模板，填入自由文本。")
    ]
    """The default template, which takes free text."""
    variable: Annotated[
        str,
        Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$"),
        FormField("自由文本变量", "Variable", "默认模板中填入自由文本的变量。", rare=True),
    ] = FREE_TEXT
    """The variable of the default template that takes free text."""
    templates: MessageTemplates = {}
    """More templates that a send may name, best in imsg.toml."""
    texts_per_window: Annotated[
        int,
        Field(ge=1, le=100),
        FormField(
            "互动时限内的条数",
            "Messages of a reply window",
            "关注者发来消息后的 48 小时内，微信允许发送多少条客服消息。",
            rare=True,
        ),
    ] = 5
    """How many customer messages WeChat takes in the 48 hours after a follower has written."""
    endpoint: Annotated[
        str, AfterValidator(_is_endpoint), FormField("接口地址", "API URL", "微信接口的网址。", rare=True)
    ] = ENDPOINT
    """The URL of WeChat's API."""

    @model_validator(mode="after")
    def _fits(self) -> "Account":
        if wrong := find_unfit(Templates.of(self.template, self.variable, self.templates)):
            raise ValueError(fill("templates: {0}", "; ".join(wrong)))
        return self

    @property
    def accepted_mode(self) -> Literal["any", "plain", "safe"]:
        """The mode that the webhook accepts."""
        return self.mode or ("plain" if self.aes_key is None else "safe")


class WeChat(ProviderGroup, BaseModel):
    """The official accounts, and what happens to messages with an unknown result."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    accounts: dict[Annotated[str, AfterValidator(_is_name)], Account] = {}
    """The official accounts, by names of your choice."""
    uncertain: Uncertain = "repeat"
    """What happens to a message whose result is unknown: `repeat` sends it again, `stop` settles it `uncertain`."""

    @model_validator(mode="after")
    def _check_names(self) -> "WeChat":
        """Check that templates of one name have the same params: a sender does not know the account of a tag."""
        params: dict[str, tuple[str, frozenset[str]]] = {}
        for account, settings in self.accounts.items():
            for name, template in settings.templates.items():
                first, wanted = params.setdefault(name, (account, frozenset(template.params)))
                if wanted != frozenset(template.params):
                    raise ValueError(
                        fill(
                            "accounts {0} and {1} have a template {2} each, with different params", first, account, name
                        )
                    )
        return self


class Settings(SenderSettings):
    """The settings of sender-wechat."""

    peer_keys: PeerKeys = PeerKeys()
    """The keys of the services that call this one, where each has a key of its own."""
    wechat: WeChat = WeChat()
    database_url: str = ""
    """The database; empty: SQLite in the data folder, one file for each owner. It may hold a password."""
    data_dir: Path = Path("data")
    """The data folder: the SQLite files, and under `imsg up` everything else."""
    auth_url: str = "http://auth:8000"
    """The URL of auth."""
    history_url: str
    """The URL of history, which keeps attachments and long contents."""

    @property
    def store_url(self) -> str:
        """The URL of the database: `database_url`, else a file in the data folder."""
        return self.database_url or f"sqlite:///{self.data_dir / 'wechat.db'}"
