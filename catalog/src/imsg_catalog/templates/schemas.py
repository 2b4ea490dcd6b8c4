"""The JSON of templates, as strict models."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from imsg_channels import require_method
from imsg_contract.route_limits import TemplateLimits
from imsg_contract.templates import TemplateParam
from imsg_rendering.problems import MAX_PARAMS, MAX_SOURCE_CHARACTERS, MAX_VALUE_CHARACTERS
from imsg_web.request_models import HIDE_NULL, NOT_NULL, RequestModel
from imsg_web.responses import field_error
from imsg_web.schemas import AnswerPart, PageLimit, Success, Time, read_whole_number

NAME = r"^[\w.-]{1,64}$"

LANGUAGE = r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"

DEFAULT_LIMIT = 50

CategoryName = Literal["code", "notice", "marketing"]

Source = Annotated[str, Field(max_length=MAX_SOURCE_CHARACTERS, pattern=r"^[^\u0000]*$")]

Name = Annotated[str, Field(pattern=NAME)]


class MailSource(RequestModel):
    """A mail in Liquid: `{{ name }}` is a param. Values are escaped in `html`."""

    subject: Annotated[str, Field(min_length=1, max_length=1_000, pattern=r"^[^\x00-\x1f\x7f]+$")]
    text: Source | None = None
    html: Source | None = None

    @model_validator(mode="after")
    def _require_body(self) -> "MailSource":
        if not self.text and not self.html:
            raise field_error("text 和 html 至少要有一项", "text or html has to be given")
        return self


class ProviderTemplate(RequestModel):
    """How a provider sends the template."""

    template: Annotated[
        str, Field(min_length=1, max_length=128, pattern=r"^[^\u0000{}]+$", description="The approved template's id.")
    ]
    variables: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=64)], Annotated[Source, Field(max_length=2_000)]] | None,
        Field(max_length=20, description='Their variable → its value in Liquid, such as `"{{ name }}"`.'),
    ] = None


ByProvider = Annotated[dict[Name, ProviderTemplate], Field(min_length=1, max_length=20)]


class SmsSource(RequestModel):
    """An SMS by approved templates."""

    signature: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=20,
            pattern=r"^[^\u0000【】{}]+$",
            description="In place of the account's; without 【】.",
        ),
    ] = None
    providers: Annotated[ByProvider, Field(description="Provider → its template.")]


class WeChatSource(RequestModel):
    """A message of WeChat by approved templates."""

    providers: Annotated[ByProvider, Field(description="Official account → its template.")]


class LanguageSources(RequestModel):
    """What is sent in one language, by channel."""

    smtp: MailSource | None = None
    sms: SmsSource | None = None
    wechat: WeChatSource | None = None

    @model_validator(mode="after")
    def _require_one(self) -> "LanguageSources":
        if not self.model_fields_set:
            raise field_error("至少要有一种渠道的内容", "there has to be a channel")
        return self


Languages = Annotated[
    dict[Annotated[str, Field(pattern=LANGUAGE)], LanguageSources], Field(min_length=1, max_length=20)
]

_EXAMPLE: dict[str, Any] = {
    "category": "notice",
    "default_language": "zh",
    "languages": {
        "zh": {
            "smtp": {"subject": "{{ name }}，您的预约已确认", "text": "{{ name }}您好，您预约的 {{ time }} 已确认。"},
            "sms": {
                "providers": {
                    "aliyun": {
                        "template": "SMS_100000003",
                        "variables": {"name": "{{ name }}", "time": "{{ time }}"},
                    }
                }
            },
        }
    },
}


class NewTemplate(RequestModel):
    """POST /api/v2/templates."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "appointment", **_EXAMPLE}]})

    name: Annotated[str, Field(pattern=NAME, description="Letters, digits, `.`, `-` and `_`; it does not change.")]
    category: CategoryName
    shared: Annotated[bool, Field(description="Whether other users may send by it.")] = False
    default_language: Annotated[str, Field(pattern=LANGUAGE, description="For recipients of other languages.")]
    languages: Languages

    @model_validator(mode="after")
    def _has_default(self) -> "NewTemplate":
        require_default(self.default_language, self.languages)
        return self


class TemplatePatch(RequestModel):
    """PATCH /api/v2/templates/NAME: `languages` replaces all. What is published stays until the next publish."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"shared": True}, _EXAMPLE]})

    category: Annotated[CategoryName | None, NOT_NULL, HIDE_NULL] = None
    shared: Annotated[bool | None, NOT_NULL, HIDE_NULL] = None
    default_language: Annotated[Annotated[str, Field(pattern=LANGUAGE)] | None, NOT_NULL, HIDE_NULL] = None
    languages: Annotated[Languages | None, NOT_NULL, HIDE_NULL] = None


def require_default(default: str, languages: Mapping[str, object]) -> None:
    """Require that the default language is one of the languages. Raises Pydantic's error."""
    if default not in languages:
        names = ", ".join(languages)
        raise field_error(f"default_language 应为 languages 之一：{names}", f"default_language must be one of {names}")


class PublishRequest(RequestModel):
    """POST /api/v2/templates/NAME/publish."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"version": 1}]})

    version: Annotated[int | None, Field(ge=1, description="An earlier one again; the last one if not given.")] = None


class TemplatePreview(RequestModel):
    """POST /api/v2/templates/NAME/preview."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"method": "smtp", "params": {"name": "张三"}}]})

    method: Annotated[str, AfterValidator(require_method), Field(json_schema_extra={"enum": ["smtp", "sms", "wechat"]})]
    params: Annotated[
        dict[str, Annotated[str, Field(max_length=MAX_VALUE_CHARACTERS)]] | None,
        Field(max_length=MAX_PARAMS, description="Required ones that are missing are their examples."),
    ] = None
    language: Annotated[str | None, Field(pattern=LANGUAGE)] = None
    version: Annotated[int | None, Field(ge=1)] = None


class TemplatesQuery(BaseModel):
    """The parameters of the list."""

    model_config = ConfigDict(strict=True, extra="forbid")

    limit: PageLimit = DEFAULT_LIMIT
    cursor: Annotated[str | None, Field(max_length=64, pattern=r"^[^\u0000]*$")] = None


class VersionsQuery(BaseModel):
    """The parameters of the list of versions."""

    model_config = ConfigDict(strict=True, extra="forbid")

    limit: PageLimit = DEFAULT_LIMIT
    cursor: Annotated[int | None, Field(ge=1, le=2**31 - 1), BeforeValidator(read_whole_number)] = None


class ParamShape(AnswerPart):
    """What a template takes; it follows from its texts."""

    name: str
    required: Annotated[bool, Field(description="Whether some text has no other words where it is missing.")]
    max: Annotated[int, Field(description="The most characters that all providers take.")]
    example: str

    @classmethod
    def of(cls, param: TemplateParam) -> "ParamShape":
        """Show a param."""
        return cls.model_validate(param.model_dump())


class TemplateLine(AnswerPart):
    """A template in the list."""

    source: Annotated[Literal["catalog"], Field(alias="from")] = "catalog"
    name: str
    category: CategoryName
    shared: bool
    username: Annotated[str, Field(description="The template's owner.")]
    default_language: str
    languages: Annotated[dict[str, list[str]], Field(description="Language → its channels.")]
    params: list[ParamShape]
    version: Annotated[int, Field(description="The last version.")]
    published: Annotated[int | None, Field(description="The version that sends use; null: none yet.")]
    state: Annotated[Literal["draft", "published"], Field(description="Whether the last version was ever published.")]
    created_at: Time
    updated_at: Time


class SettingsTemplate(AnswerPart):
    """A template of the settings of a channel, by which a content `{template, params}` is sent."""

    source: Annotated[Literal["settings"], Field(alias="from")] = "settings"
    method: str
    name: Annotated[str, Field(description="What `template` is in `{template, params}`.")]
    default: Annotated[bool, Field(description="Free text goes into the one variable of the default template.")]
    signature: Annotated[str, Field(description="The prefix of an SMS, which counts.")]
    text: Annotated[str, Field(description="The words around each `${variable}`; empty where they are not known.")]
    variables: Annotated[dict[str, int | None], Field(description="Name → its maximum length.")]
    links: Annotated[bool, Field(description="Whether a variable may hold a link.")]
    breaks: Annotated[bool, Field(description="Whether a variable may hold a line break.")]

    @classmethod
    def of(cls, method: str, name: str, limits: TemplateLimits) -> "SettingsTemplate":
        """Show what a sender published."""
        return cls.model_validate({"method": method, "name": name, **limits.model_dump(exclude={"least", "kinds"})})


class TemplatesAnswer(Success):
    """A page of templates; those of the settings come first."""

    templates: list[SettingsTemplate | TemplateLine]
    next: str | None


class TemplateAnswer(Success):
    """A template in its last version, or in the one that was asked for."""

    name: str
    category: CategoryName
    shared: bool
    username: str
    default_language: str
    languages: dict[str, dict[str, Any]]
    params: list[ParamShape]
    version: int
    published: int | None
    state: Literal["draft", "published"]
    created_at: Time
    updated_at: Time


class TemplateVersion(AnswerPart):
    """A version of a template."""

    version: int
    state: Literal["draft", "published"]
    username: Annotated[str, Field(description="Who wrote it.")]
    updated_at: Time
    published_at: Time | None


class TemplateVersionsAnswer(Success):
    """A page of versions, the newest first."""

    versions: list[TemplateVersion]
    next: str | None


class ProviderText(AnswerPart):
    """The words of a provider's template, filled in."""

    provider: str
    text: Annotated[str | None, Field(description="With the signature; null where the template's words are not known.")]
    segments: Annotated[int | None, Field(description="Of an SMS to mainland China.")]


class TemplatePreviewAnswer(Success):
    """What would be sent, byte for byte."""

    version: int
    language: str
    content: dict[str, Any]
    texts: list[ProviderText]


class TemplateDeleted(Success):
    """The template is gone; its versions can still be read."""


def time_of(ms: int) -> datetime:
    """Return a time of the store."""
    return datetime.fromtimestamp(ms / 1_000, UTC)
