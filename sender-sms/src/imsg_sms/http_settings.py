"""How a provider with a plain HTTP API is described: an account of the kind `http`, and files that come with iMSG."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from imsg_runtime.settings import HOLDS_SECRETS
from imsg_sms.countries import MAINLAND, Countries


def _with_scheme(value: object) -> object:
    """Read `dysmsapi.aliyuncs.com`, as the provider's own documents write it, too."""
    return f"https://{value}" if isinstance(value, str) and value and "://" not in value else value


def _is_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a URL that begins with https:// or http://")
    return value


Url = Annotated[str, BeforeValidator(_with_scheme), AfterValidator(_is_url)]

WithPlaceholders = Annotated[str, HOLDS_SECRETS]
"""A text with placeholders. A secret is best one of them (`secrets`), and may stand between them all the same."""


class Computed(BaseModel):
    """A placeholder that is computed from others: a digest, a signature, an encoding."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    of: WithPlaceholders
    """The text, with placeholders."""
    by: Literal["md5", "sha1", "sha256", "sha512", "hmac-md5", "hmac-sha1", "hmac-sha256", "plain"]
    key: WithPlaceholders = ""
    """Of an HMAC, with placeholders."""
    form: Annotated[Literal["hex", "HEX", "base64"], Field(alias="as")] = "hex"


class ErrorMeaning(BaseModel):
    """What one code of a described provider means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    result: Literal["refused", "again", "blocked", "unknown"]
    concerns: Literal["recipient", "content", "template", "signature", "sender", "account", "provider"]
    after_s: Annotated[float, Field(ge=0)] = 0.0
    """Of `again`: how long the number, or all of the provider, is given nothing; it uses up no attempt."""
    of_one: bool = False
    """The call is refused whole, though perhaps for one of its numbers."""
    opted_out: bool = False
    """The number opted out there, or stands on its black list."""


class Each(BaseModel):
    """Where an answer says what became of each number of a call."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    list: str
    number: str
    code: str
    success: str
    id: str = ""


class Signed(Computed):
    """How a push is signed: as is computed here of its fields, `{body}` and the secrets."""

    field: str = ""
    """The field that holds it."""
    header: str = ""
    """The header that holds it instead."""

    @model_validator(mode="after")
    def _stands_somewhere(self) -> "Signed":
        if bool(self.field) == bool(self.header):
            raise ValueError("wants either a field or a header")
        return self


Charset = Literal["utf-8", "gbk", "gb18030"]


class HttpPull(BaseModel):
    """How a described provider's reports are fetched; they are read as JSON, by the rest of what describes them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["GET", "POST"] = "POST"
    url: Annotated[Url, HOLDS_SECRETS]
    body: WithPlaceholders = ""
    success: str
    """What an answer that holds reports, or says that there are none, looks like."""


class HttpPush(BaseModel):
    """What a described provider pushes to `/hooks/sms/NAME/HOOK_SECRET`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["json", "form", "query"]
    field: str = ""
    """The field of a form or a query that holds JSON."""
    list: str = ""
    """The path of the entries; empty: the whole is one, or a list of them."""
    time: str = ""
    answer: str = "OK"
    charset: Charset | None = None
    """None: that of the calls."""
    signed: Signed | None = None


class HttpReceipts(HttpPush):
    """Receipts."""

    id: str
    number: str
    status: str
    delivered: tuple[str, ...]
    """Values of `status` that mean so; all others mean that it failed."""
    opted_out: tuple[str, ...] = ()
    """Values of `status` or `detail` that mean that the number opted out, beside those that say so by themselves."""
    detail: str = ""


class HttpInbound(HttpPush):
    """What people write, pushed to `…/HOOK_SECRET/inbound`, or to the URL of receipts."""

    number: str
    """Who wrote it."""
    text: str
    id: str = ""
    to: str = ""
    signature: str = ""
    pull: HttpPull | None = None
    """Fetch it instead: only where the provider hands each out once."""


class Http(BaseModel):
    """Any provider with a plain HTTP API, described in docs/sms.md."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    kind: Literal["http"] = "http"
    """The kind of provider. Unset: the account's name."""
    use: str = ""
    """A description that comes with iMSG. Other settings of the account override it."""
    needs: tuple[str, ...] = ()
    """The secrets that the description wants."""
    method: Literal["GET", "POST", "PUT"] = "POST"
    """The method of the call."""
    url: Annotated[Url, HOLDS_SECRETS]
    """The URL of the call."""
    headers: Mapping[str, str] = {}
    """The headers of the call."""
    basic: WithPlaceholders = ""
    """`USER:PASSWORD` of HTTP's Basic log-in, with placeholders."""
    body: WithPlaceholders = ""
    """The body of the call, with placeholders."""
    wrap: Literal["", "base64"] = ""
    """How the whole body is encoded before the call."""
    charset: Charset = "utf-8"
    """The character set of the call and of its answer."""
    computed: Mapping[str, Computed] = {}
    """More placeholders, computed in this order."""
    success: str
    """What an answer that accepts the message looks like: `PATH=VALUE`, `status=200` or `text=…`."""
    id: str = ""
    """The path of the provider's message id in its answer."""
    code: str = ""
    """The path of the provider's code in its answer; `text`: the whole answer."""
    errors: Mapping[str, ErrorMeaning] = {}
    """What each code means; `*` stands for any other."""
    each: Each | None = None
    """Where an answer says what became of each number."""
    receipts: HttpReceipts | None = None
    """How receipts are read."""
    inbound: HttpInbound | None = None
    """How inbound messages are read."""
    pull: HttpPull | None = None
    """How receipts are fetched, where the provider hands each out once."""
    hook_secret: SecretStr | None = None
    """The last part of the URL for receipts. Without it none are taken."""
    secrets: Mapping[str, SecretStr] = {}
    """More placeholders, hidden wherever settings are shown."""
    numbers: Annotated[int, Field(ge=1, le=1_000)] = 1
    """How many numbers one call takes."""
    separator: str = ","
    """The text between two numbers."""
    countries: Countries = (MAINLAND,)
    """The country codes whose numbers the provider takes."""
    signature: str = ""
    """Words before every text, counted with the segments."""
    suffix: str = ""
    """Words after every text."""

    @model_validator(mode="before")
    @classmethod
    def _is_described(cls, given: object) -> object:
        if not isinstance(given, Mapping) or not given.get("use"):
            return given
        return {**_read_description(str(given["use"])), **given}

    @model_validator(mode="after")
    def _has_secrets(self) -> "Http":
        if missing := [name for name in self.needs if name not in self.secrets]:
            raise ValueError(f"{self.use} needs {', '.join(missing)} under its `secrets`")
        if self.pull is not None and self.receipts is None:
            raise ValueError("`pull` wants `receipts` too: how they are read")
        return self

    @model_validator(mode="after")
    def _tells_countries_apart(self) -> "Http":
        """Refuse `{national}` for others than mainland China: +1 386 555 1234 is 13865551234 without its plus."""
        if self._writes("{national}") and not all(one.startswith(MAINLAND) for one in self.countries):
            raise ValueError(
                "countries are more than +86, and {national} leaves out that code: a number of elsewhere may then be "
                "one of mainland China; write {number}, {digits} or {international} instead"
            )
        return self

    def _writes(self, placeholder: str) -> bool:
        computed = (text for one in self.computed.values() for text in (one.of, one.key))
        return any(placeholder in text for text in (self.url, self.body, self.basic, *self.headers.values(), *computed))

    def name_code(self, code: object) -> str:
        """Name a code as results have it: `yunpian:3` where a description of ours says what it means."""
        return f"{self.use}:{code}" if self.use else str(code)

    @property
    def hook(self) -> str | None:
        """Return the last part of the URL for receipts; None: none are taken."""
        return self.hook_secret.get_secret_value() if self.hook_secret and (self.receipts or self.inbound) else None

    @property
    def is_silent(self) -> bool:
        """Whether the provider could report what became of messages, and may not."""
        return self.receipts is not None and self.pull is None and self.hook is None


def _read_description(name: str) -> dict[str, Any]:
    """Read a description that comes with iMSG. Raises ValueError."""
    folder = resources.files("imsg_sms") / "http_providers"
    known = sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))
    if name not in known:
        raise ValueError(f"there is no description called {name}; there are {', '.join(known)}")
    return tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))
