"""The check of `content`: a Pydantic model for each channel, and the rules they share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import ErrorDetails, PydanticCustomError

from imsg_contract.errors import Refusal
from imsg_contract.route_limits import TemplateLimits
from imsg_contract.wire import Content

MAX_CONTENT_BYTES = 1024 * 1024

MAX_FIELDS = 1_000
"""The most fields of a content: Pydantic writes an error for each unknown one, which blocks the event loop."""

Templates = Mapping[str, TemplateLimits]
"""Name → limits, as the sender published them."""

SENTENCE = "sentence"
"""The type of a Pydantic error whose context has a Chinese and an English sentence."""


@dataclass(frozen=True, slots=True)
class Context:
    """Pydantic's validation context of a content."""

    templates: Templates | None
    """The templates; None where they are not known."""
    has_attachment: bool


class ContentModel(BaseModel):
    """A content that is an object: values are not coerced, unknown fields are refused."""

    model_config = ConfigDict(strict=True, extra="forbid")


def content_error(zh: str, en: str) -> PydanticCustomError:
    """Return the error that becomes refusal 10009 with these sentences."""
    return PydanticCustomError(SENTENCE, "{en}", {"zh": zh, "en": en})


def with_message(zh: str, en: str) -> WrapValidator:
    """Return a validator that replaces errors of the preceding annotations, but `string_type`, by these sentences."""

    def check(value: object, handler: ValidatorFunctionWrapHandler) -> object:
        try:
            return handler(value)
        except ValidationError as error:
            if all(
                not problem["loc"] and problem["type"] == "string_type" for problem in error.errors(include_url=False)
            ):
                raise
            raise content_error(zh, en) from error

    return WrapValidator(check)


def read(
    model: type[BaseModel], content: object, templates: Templates | None = None, *, has_attachment: bool = False
) -> Content:
    """Validate `content` and return it in the form that is sent; without `templates` any template is accepted.

    Raises Refusal content_shape.
    """
    _check_field_count(content)
    try:
        checked = model.model_validate(content, context=Context(templates, has_attachment))
    except ValidationError as error:
        zh, en = _explain_error(error.errors(include_url=False)[0])
        raise Refusal("content_shape", why_zh=zh, why_en=en) from error
    sent: Content = checked.model_dump(exclude_none=True)
    return sent


def keep_known(model: type[BaseModel], content: object) -> object:
    """Return a content without unknown fields, which v1 ignores."""
    if not isinstance(content, dict):
        return content
    known = fields(model)
    return {name: value for name, value in content.items() if name in known}


@cache
def fields(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the fields of a content that is an object."""
    if not issubclass(model, RootModel):
        return tuple(model.model_fields)
    inner = _models(model.model_fields["root"].annotation)
    return tuple(dict.fromkeys(name for alternative in inner for name in alternative.model_fields))


def check_length(*texts: str) -> None:
    """Refuse a content of more than 1 MiB."""
    # UTF-8 has at most four bytes a character: shorter texts need no encoding.
    if sum(map(len, texts)) * 4 <= MAX_CONTENT_BYTES:
        return
    if sum(len(text.encode()) for text in texts) > MAX_CONTENT_BYTES:
        raise content_error("总长不能超过 1 MiB", "it is over 1 MiB in all")


def names(given: Sequence[str] | Templates) -> str:
    """Return names as a list for a sentence, shortened."""
    return ", ".join(name[:64] for name in list(given)[:20]) or "—"


def _check_field_count(content: object) -> None:
    """Refuse more fields than any content has. Raises Refusal content_shape."""
    if not isinstance(content, dict):
        return
    if any(isinstance(part, dict | list) and len(part) > MAX_FIELDS for part in (content, *content.values())):
        zh, en = f"最多 {MAX_FIELDS} 个字段", f"it has at most {MAX_FIELDS} fields"
        raise Refusal("content_shape", why_zh=zh, why_en=en)


def _explain_error(error: ErrorDetails) -> tuple[str, str]:
    if error["type"] == SENTENCE:
        return error["ctx"]["zh"], error["ctx"]["en"]
    field = error["loc"][-1] if error["loc"] else "content"
    if error["type"] == "missing" or error["input"] is None:
        return f"缺少 {field}", f"{field} is missing"
    if error["type"] == "string_type":
        return f"{field} 必须是字符串", f"{field} must be a string"
    return f"{field} 不正确", f"{field} is not right: {error['msg']}"


def _models(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401  any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]
