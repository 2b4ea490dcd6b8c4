"""Accounts at providers, their kinds, checks and switches."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from imsg_auth.schemas.fields import example
from imsg_channels import METHODS
from imsg_contract.provider_accounts import Filing, Review
from imsg_web.request_models import NOT_NULL, RequestModel
from imsg_web.schemas import AnswerPart, Success, Time

Method = Annotated[str, WithJsonSchema({"type": "string", "enum": [*METHODS]})]

AccountName = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,31}$")]

Kind = Annotated[str, Field(max_length=32, description="One of `GET /providers/kinds`.")]

Settings = Annotated[
    Mapping[str, Any],
    Field(
        max_length=100,
        description="The fields of the kind. null unsets one; a secret that is left out stays.",
    ),
]

Weight = Annotated[
    int | None,
    Field(ge=0, le=1_000, description="Its share of messages; 0: only where others can't send now."),
]


class ProviderRoutes(RequestModel):
    """What a provider is used for: of several conditions each has to hold."""

    numbers: Annotated[str | None, Field(max_length=1_000, description="Beginnings of numbers: `+86, +852`.")] = None
    templates: Annotated[str | None, Field(max_length=10_000, description="Templates, parted by commas.")] = None
    sender_domains: Annotated[str | None, Field(max_length=10_000, description="Domains of the sender.")] = None
    recipient_domains: Annotated[str | None, Field(max_length=10_000, description="Domains of the recipient.")] = None
    categories: Annotated[str | None, Field(max_length=100, description="Of `code`, `notice`, `marketing`.")] = None


Routes = Annotated[
    ProviderRoutes | None,
    NOT_NULL,
    Field(
        description="What it is used for, of SMS and mail. null unsets a condition; without any it takes everything."
    ),
]


class ProviderCheckRequest(RequestModel):
    """POST /api/providers/check: an account that is not kept yet, or a kept one with changes."""

    model_config = example(
        {
            "method": "smtp",
            "name": "exmail",
            "kind": "smtp",
            "settings": {
                "host": "smtp.exmail.qq.com",
                "port": 465,
                "security": "tls",
                "username": "noreply@example.com",
                "password": "authorization-code",
                "sender": "天存 <noreply@example.com>",
            },
        }
    )

    method: Method
    name: AccountName
    kind: Kind
    settings: Settings
    routes: Routes = None


class NewProvider(ProviderCheckRequest):
    """POST /api/providers: an account at a provider."""

    enabled: Annotated[bool | None, Field(description="Whether it carries anything.")] = None
    weight: Weight = None


class ProviderPatch(RequestModel):
    """PATCH /api/providers/METHOD/NAME: absent fields don't change; null resets a switch to the settings."""

    model_config = example({"enabled": False})

    enabled: Annotated[bool | None, Field(description="Whether it carries anything.")] = None
    weight: Weight = None
    kind: Annotated[Kind | None, NOT_NULL] = None
    settings: Annotated[Settings | None, NOT_NULL] = None
    routes: Routes = None


class ProviderRestoration(RequestModel):
    """POST /api/providers/METHOD/NAME/restore: which version."""

    model_config = example({"version": 1})

    version: Annotated[int, Field(ge=1, le=2**31 - 1)]


When = Annotated[
    dict[str, list[str]],
    Field(description="Other fields, and the values with which it has a meaning; empty: always."),
]


class KindFieldShape(AnswerPart):
    """A field of an account."""

    name: str
    title: str
    help: str
    type: Literal["text", "number", "boolean", "choice", "list", "table"]
    choices: list[str]
    secret: bool
    required: bool
    rare: Annotated[bool, Field(description="Whether few need it.")]
    route: Annotated[bool, Field(description="Whether it belongs in `routes`, not in `settings`.")]
    group: Annotated[str | None, Field(description="The title below which a form shows it.")]
    when: When
    default: Any


class PresetShape(AnswerPart):
    """Settings that fit a well-known provider."""

    name: str
    title: str
    settings: dict[str, Any]
    help: str


class SetUpShape(AnswerPart):
    """What to enter at the provider."""

    title: str
    value: Annotated[str, Field(description="`{name}` and `{FIELD}` stand for the account's name and fields.")]
    when: When


class KindShape(AnswerPart):
    """A kind of account, in the asked language."""

    kind: str
    method: Method
    title: str
    fields: list[KindFieldShape]
    presets: list[PresetShape]
    setup: list[SetUpShape]


class ProviderKindsAnswer(Success):
    """The kinds of accounts that the running senders know."""

    kinds: list[KindShape]


class AttentionShape(AnswerPart):
    """Something about a provider to attend to, in the asked language."""

    what: str
    since: Time
    remedy: str


class ProviderShape(AnswerPart):
    """A provider without its secrets."""

    method: Method
    name: str
    kind: str
    settings: Annotated[dict[str, Any], Field(description='A secret is shown as `{"set": true}`.')]
    routes: Annotated[dict[str, Any], Field(description="What it is used for; empty: everything.")]
    source: Annotated[
        Literal["page", "settings"],
        Field(alias="from", description="`settings`: it comes from a file or the environment."),
    ]
    simulated: Annotated[bool, Field(description="Whether the sandbox plays it.")]
    enabled: bool
    weight: Annotated[int | None, Field(description="null: the value in the settings.")]
    version: int | None
    changed_at: Time | None
    changed_by: str | None
    attention: Annotated[
        list[AttentionShape], Field(description="What was found wrong; looked at hourly and after each change.")
    ]


class ProvidersAnswer(Success):
    """All providers."""

    providers: list[ProviderShape]


class ProviderAnswer(Success, ProviderShape):
    """The current state of a provider; the senders use it within 2 s."""


class ProviderVersionsAnswer(Success):
    """The versions of an account, the newest first."""

    versions: list[ProviderShape]


class ProviderEntryShape(AnswerPart):
    """A signature or a template, as its provider has it."""

    id: str
    text: str
    variables: list[str]
    review: Review
    filing: Annotated[
        Filing | None,
        Field(description="Of a signature with the carriers, the worst of them; null where the provider does not say."),
    ]
    reason: Annotated[str | None, Field(description="Why it is so, in the provider's words.")]


class ProviderSignaturesAnswer(Success):
    """The signatures of an account, as its provider has them now."""

    signatures: list[ProviderEntryShape]


class ProviderTemplatesAnswer(Success):
    """The templates of an account, as its provider has them now."""

    templates: list[ProviderEntryShape]


class ProviderCheckAnswer(Success):
    """The provider's answer to a log-in; nothing was sent."""

    ok: bool
    code: Annotated[str | None, Field(description="The provider's code.")]
    why: Annotated[
        str | None,
        Field(description="What is wrong, in the asked language; with `ok`, what the provider did not say."),
    ]
    remedy: Annotated[str | None, Field(description="What to do.")]
