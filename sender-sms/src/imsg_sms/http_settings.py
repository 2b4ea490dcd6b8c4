"""The settings of an account of the kind `http`: the description of a provider with a plain HTTP API."""

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from importlib import resources
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from imsg_delivery.provider_kinds import FormField
from imsg_runtime.lines import fill
from imsg_runtime.settings import HOLDS_SECRETS
from imsg_sms.countries import MAINLAND, Countries

OF_MESSAGES = (
    "number",
    "digits",
    "national",
    "international",
    "text",
    "template",
    "params",
    "params_list",
    "reference",
)
"""The placeholders that are empty in a call without a message."""

OF_CALLS = ("time", "time_ms", "stamp", "nonce")

BODY = "body"
"""The placeholder of the body as it is sent, for what is computed from it."""

PLACEHOLDER = re.compile(r"\{(\w+)\}")

_FOLDER = resources.files("imsg_sms") / "http_providers"


def _add_scheme(value: object) -> object:
    """Accept a host without a scheme, as the providers' documents write it."""
    return f"https://{value}" if isinstance(value, str) and value and "://" not in value else value


def _require_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(fill("must be a URL that begins with https:// or http://"))
    return value


Url = Annotated[str, BeforeValidator(_add_scheme), AfterValidator(_require_url)]

WithPlaceholders = Annotated[str, HOLDS_SECRETS]
"""A text with placeholders. Secrets belong into placeholders (`secrets`), but are hidden in the text too."""


class ComputedValue(BaseModel):
    """A placeholder that is computed from others: a digest, a signature, an encoding."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    of: WithPlaceholders
    """The text, with placeholders."""
    by: Literal["md5", "sha1", "sha256", "sha512", "hmac-md5", "hmac-sha1", "hmac-sha256", "plain"]
    key: WithPlaceholders = ""
    """The key of an HMAC, with placeholders."""
    form: Annotated[Literal["hex", "HEX", "base64"], Field(alias="as")] = "hex"

    @property
    def uses(self) -> AbstractSet[str]:
        """The placeholders that it is computed from."""
        return set(PLACEHOLDER.findall(f"{self.of}{self.key}"))


class ErrorMeaning(BaseModel):
    """The meaning of one code of a described provider."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    result: Literal["refused", "again", "blocked", "unknown"]
    concerns: Literal["recipient", "content", "template", "signature", "sender", "account", "provider"]
    after_s: Annotated[float, Field(ge=0)] = 0.0
    """For `again`: how long the number, or the account, gets no call; the wait uses up no attempt."""
    for_one_number: bool = False
    """The whole call is refused, perhaps because of one of its numbers."""
    opted_out: bool = False
    """The number opted out at the provider, or is on its blacklist."""


class NumberReplies(BaseModel):
    """The paths, in an answer, of the result of each number of a call."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    list: str
    number: str
    code: str
    success: str
    id: str = ""


class PushSignature(ComputedValue):
    """The signature of a push, computed from its fields, `{body}` and the secrets."""

    field: str = ""
    """The field that holds the signature."""
    header: str = ""
    """The header that holds it, instead of a field."""

    @model_validator(mode="after")
    def _require_one_place(self) -> "PushSignature":
        if bool(self.field) == bool(self.header):
            raise ValueError(fill("needs either a field or a header"))
        return self


Charset = Literal["utf-8", "gbk", "gb18030"]


class HttpCall(BaseModel):
    """A call of a described provider beside sending."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["GET", "POST"] = "POST"
    body: WithPlaceholders = ""
    success: str
    """The rule of a successful answer."""


class HttpPull(HttpCall):
    """The call that fetches reports of a described provider, as JSON."""

    url: Annotated[Url, HOLDS_SECRETS]


class HttpCheck(HttpCall):
    """The call that logs in at a described provider without sending."""

    path: WithPlaceholders
    """The path of the call, at the host of `url`."""
    left: str = ""
    """The path, in the answer, of what is left to send by, money or messages; `text`: the last number of its text."""


class HttpPush(BaseModel):
    """The format of what a described provider pushes to `/hooks/sms/NAME/HOOK_SECRET`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["json", "form", "query"]
    field: str = ""
    """The field of a form or a query that holds JSON."""
    list: str = ""
    """The path of the entries; empty: the whole body is one entry or a list."""
    time: str = ""
    answer: str = "OK"
    charset: Charset | None = None
    """None: the charset of the calls."""
    signed: PushSignature | None = None


class HttpReceipts(HttpPush):
    """The fields of a receipt."""

    id: str
    number: str
    status: str
    delivered: tuple[str, ...]
    """The values of `status` that mean delivered; any other means failed."""
    opted_out: tuple[str, ...] = ()
    """Values of `status` or `detail` that mean an opt-out, beside those that `is_blacklisted` recognizes."""
    detail: str = ""


class HttpInbound(HttpPush):
    """The fields of an inbound message, pushed to `…/HOOK_SECRET/inbound` or to the URL of receipts."""

    number: str
    """The field of the sender's number."""
    text: str
    id: str = ""
    to: str = ""
    signature: str = ""
    pull: HttpPull | None = None
    """Fetch inbound messages instead; only for providers that hand each out once."""


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
    url: Annotated[
        Url,
        HOLDS_SECRETS,
        FormField("接口地址", "API URL", "调用的网址；服务商给出的地址与默认的不同时填写。"),
    ]
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
    computed: Mapping[str, ComputedValue] = {}
    """More placeholders, computed in this order."""
    success: str
    """What an answer that accepts the message looks like: `PATH=VALUE`, `status=200` or `text=…`."""
    id: str = ""
    """The path of the provider's message id in its answer."""
    code: str = ""
    """The path of the provider's code in its answer; `text`: the whole answer."""
    errors: Mapping[str, ErrorMeaning] = {}
    """What each code means; `*` is any other."""
    each: NumberReplies | None = None
    """Where an answer says what became of each number."""
    receipts: HttpReceipts | None = None
    """How receipts are read."""
    inbound: HttpInbound | None = None
    """How inbound messages are read."""
    pull: HttpPull | None = None
    """How receipts are fetched, where the provider hands each out once."""
    check: HttpCheck | None = None
    """How the account is checked without sending."""
    hook_secret: Annotated[
        SecretStr | None,
        FormField("回调密钥", "Receipt secret", "接收状态报告的网址的最后一段。未设置则不接收。", rare=True),
    ] = None
    """The last part of the URL for receipts. Without it none are taken."""
    secrets: Mapping[str, SecretStr] = {}
    """More placeholders, hidden wherever settings are shown."""
    numbers: Annotated[int, Field(ge=1, le=1_000)] = 1
    """How many numbers one call takes."""
    separator: str = ","
    """The text between two numbers."""
    countries: Countries = (MAINLAND,)
    """The country codes whose numbers the provider takes."""
    signature: Annotated[
        str,
        FormField("签名", "Signature", "加在每条文本前面的文字，计入计费条数；连同【】填写已审核的签名，如【天存】。"),
    ] = ""
    """Words before every text, counted with the segments."""
    suffix: Annotated[
        str, FormField("结尾文字", "Suffix", "加在每条文本后面的文字；签名在末尾的服务商填写【天存】。")
    ] = ""
    """Words after every text."""
    takes_signature: bool = True
    """Whether a signature in the text takes the place of the account's."""
    form: Annotated[Mapping[str, Any], Field(exclude=True)] = {}
    """What the web page asks for; only of a description that comes with iMSG."""

    @model_validator(mode="before")
    @classmethod
    def _add_description(cls, values: object) -> object:
        if not isinstance(values, Mapping) or not values.get("use"):
            return values
        description = read_description(str(values["use"]))
        return {**{name: value for name, value in description.items() if name != "form"}, **values}

    @model_validator(mode="after")
    def _require_secrets(self) -> "Http":
        if missing := [name for name in self.needs if name not in self.secrets]:
            raise ValueError(fill("{0} needs {1} under its `secrets`", self.use, ", ".join(missing)))
        if self.pull is not None and self.receipts is None:
            raise ValueError(fill("`pull` needs `receipts` too: how they are read"))
        return self

    @model_validator(mode="after")
    def _know_every_placeholder(self) -> "Http":
        """Refuse a placeholder that nothing fills: it would be sent, and signed, as it stands. Raises ValueError."""
        known = {*OF_MESSAGES, *OF_CALLS, *self.secrets}
        for name, computed in self.computed.items():
            _require_known(f"computed.{name}", computed.uses, known | {BODY})
            known.add(name)
        described = (self.check, self.pull, None if self.inbound is None else self.inbound.pull)
        calls = [call for call in described if call is not None]
        for body in (self.body, *(call.body for call in calls)):
            _require_known("body", PLACEHOLDER.findall(body), known - self.computed_of_body)
        rest = [
            ("url", self.url),
            ("basic", self.basic),
            *((f"headers.{name}", to) for name, to in self.headers.items()),
        ]
        rest += [("check.path", call.path) if isinstance(call, HttpCheck) else ("pull.url", call.url) for call in calls]
        for place, text in rest:
            _require_known(place, PLACEHOLDER.findall(text), known)
        return self

    @property
    def computed_of_body(self) -> AbstractSet[str]:
        """The computed placeholders that need the body first."""
        found: set[str] = set()
        for name, computed in self.computed.items():
            if computed.uses & {BODY, *found}:
                found.add(name)
        return found

    @model_validator(mode="after")
    def _require_unambiguous_national(self) -> "Http":
        """Allow `{national}` for mainland China only: +1 386 555 1234 looks like a number of China without its plus.

        Raises ValueError.
        """
        if self._uses("{national}") and not all(code.startswith(MAINLAND) for code in self.countries):
            raise ValueError(
                fill(
                    "countries are more than +86, and {national} leaves out that code: a number of elsewhere "
                    "may then be one of mainland China; write {number}, {digits} or {international} instead"
                )
            )
        return self

    def _uses(self, placeholder: str) -> bool:
        computed = (text for value in self.computed.values() for text in (value.of, value.key))
        return any(placeholder in text for text in (self.url, self.body, self.basic, *self.headers.values(), *computed))

    def name_code(self, code: object) -> str:
        """Return a code as results have it: `yunpian:3` for a description that comes with iMSG."""
        return f"{self.use}:{code}" if self.use else str(code)

    @property
    def hook(self) -> str | None:
        """The last part of the URL for receipts; None: the hook is closed."""
        return self.hook_secret.get_secret_value() if self.hook_secret and (self.receipts or self.inbound) else None

    @property
    def is_silent(self) -> bool:
        """Whether the provider has receipts, but no way to deliver them is set."""
        return self.receipts is not None and self.pull is None and self.hook is None


def _require_known(place: str, used: Iterable[str], known: Collection[str]) -> None:
    for name in used:
        if name not in known:
            raise ValueError(
                fill(
                    "{0} has the placeholder {1}, which nothing fills there; there are {2}",
                    place,
                    f"{{{name}}}",
                    ", ".join(sorted(known)),
                )
            )


def list_descriptions() -> Sequence[str]:
    """Return the names of the descriptions that come with iMSG."""
    return sorted(file.name.removesuffix(".toml") for file in _FOLDER.iterdir() if file.name.endswith(".toml"))


def read_description(name: str) -> dict[str, Any]:
    """Read a description that comes with iMSG. Raises ValueError."""
    known = list_descriptions()
    if name not in known:
        raise ValueError(fill("there is no description called {0}; there are {1}", name, ", ".join(known)))
    return tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
