"""Content that is a text or a template with its variables: for channels whose providers send by templates."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationInfo, model_validator

from imsg_channels.content import ContentModel, Context, Templates, check_length, content_error, names, with_message
from imsg_channels.one_line import has_control
from imsg_channels.sms_templates import is_of_kind
from imsg_contract.route_limits import TemplateLimits
from imsg_contract.wire import Content

_VARIABLE = re.compile(r"\$\{([^{}]+)\}")
_LAST_SIGNATURE = re.compile(r"【[^【】]*】$")

_KINDS = {"digits": ("数字", "digits"), "letters": ("英文字母和数字", "ASCII letters and digits")}


class TemplateContent(ContentModel):
    """A template of the channel and its variables."""

    template: Annotated[str, Field(min_length=1), with_message("template 不能为空", "template is empty")]
    params: Annotated[
        dict[str, str] | None,
        with_message("params 必须是对象，值都是字符串", "params must be an object whose values are strings"),
        AfterValidator(lambda params: params or {}),
    ] = Field(default=None, validate_default=True)

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> "TemplateContent":
        params = self.params or {}
        check_length(self.template, *params, *params.values())
        if (templates := _find_templates(info)) is not None:
            _check_params(self.template, params, templates)
        return self


def _check_free_text(text: str, info: ValidationInfo) -> str:
    """Check a text that goes into the default template's one variable."""
    if not text.strip():
        raise content_error("内容不能为空", "it is empty")
    check_length(text)
    if (templates := _find_templates(info)) is not None and find(text, templates) is None:
        raise content_error(
            "没有带一个变量的默认模板，请用 {template, params}",
            "no default template takes free text; give {template, params}",
        )
    return text


FreeText = Annotated[str, Field(json_schema_extra={"minLength": 1, "pattern": r"\S"}), AfterValidator(_check_free_text)]
"""A text for the default template's one variable."""


def _kind(content: object) -> str | None:
    if isinstance(content, str):
        return "text"
    is_template = isinstance(content, TemplateContent) or (isinstance(content, dict) and "template" in content)
    return "template" if is_template else None


TEXT_OR_TEMPLATE = Discriminator(
    _kind,
    custom_error_type="sentence",
    custom_error_message="{en}",
    custom_error_context={
        "zh": "必须是字符串，或 {template, params} 对象",
        "en": "it must be a string, or an object {template, params}",
    },
)
"""Discriminates a text from a template with variables."""

Template = Annotated[TemplateContent, Tag("template")]


def templates_of(info: ValidationInfo) -> Templates:
    """Return the templates that a content is checked by."""
    return _find_templates(info) or {}


def _find_templates(info: ValidationInfo) -> Templates | None:
    context = info.context
    return context.templates if isinstance(context, Context) else None


def sign(template: TemplateLimits, signature: str) -> TemplateLimits:
    """Return a template with another signature, without 【】: behind its words where its own is there."""
    words, is_behind = _LAST_SIGNATURE.subn(f"【{signature}】", template.text)
    changed = {"text": words, "signature": ""} if is_behind else {"signature": f"【{signature}】"}
    return template.model_copy(update=changed)


def find(content: Content, templates: Templates) -> TemplateLimits | None:
    """Find the template that a content is sent by; None where it is not known."""
    if isinstance(content, dict):
        return templates.get(content["template"])
    return next(
        (template for template in templates.values() if template.default and len(template.variables) == 1), None
    )


def params_of(content: Content, template: TemplateLimits) -> Mapping[str, str]:
    """Return the variables of a content as its template takes them."""
    if isinstance(content, dict):
        params: Mapping[str, str] = content["params"]
        return params
    return {next(iter(template.variables)): content}


def fill(content: Content, templates: Templates, signature: str | None = None) -> str | None:
    """Write the whole message as it arrives, signature first; None where the template's words are not known.

    `signature` takes the place of the template's.
    """
    template = find(content, templates)
    if template is None:
        before = "" if signature is None else f"【{signature}】"
        return f"{before}{content}" if isinstance(content, str) else None
    if signature is not None:
        template = sign(template, signature)
    params = params_of(content, template)
    return fill_text(template, params) if template.text else template.signature + "".join(params.values())


def fill_text(template: TemplateLimits, variables: Mapping[str, str], signature: str | None = None) -> str:
    """Write a template's words with its variables, behind its signature or another one."""
    words = _VARIABLE.sub(lambda variable: variables.get(variable[1], ""), template.text)
    return (template.signature if signature is None else signature) + words


def check_value(name: str, value: str, template: TemplateLimits) -> None:
    """Refuse what is longer than its variable, and line breaks where it takes none."""
    longest = template.variables.get(name)
    if longest is not None and len(value) > longest:
        raise content_error(
            f"{name} 最多 {longest} 个字符，现有 {len(value)} 个",
            f"{name} takes at most {longest} characters, this has {len(value)}",
        )
    if len(value) < template.least.get(name, 0):
        fewest = template.least[name]
        raise content_error(
            f"{name} 至少 {fewest} 个字符，现有 {len(value)} 个",
            f"{name} takes at least {fewest} characters, this has {len(value)}",
        )
    kind = template.kinds.get(name, "text")
    if not is_of_kind(kind, value):
        zh, en = _KINDS[kind]
        raise content_error(f"{name} 只能是{zh}", f"{name} takes {en} only")
    if not template.breaks and has_control(value):
        raise content_error(f"{name} 不能含换行或控制字符", f"{name} must not hold a line break or a control character")


def dump_content(content: str | TemplateContent) -> Content:
    """Return a validated content in the form that is published."""
    return content if isinstance(content, str) else _dump(content)


def _dump(content: TemplateContent) -> dict[str, Any]:
    return {"template": content.template, "params": content.params or {}}


def _check_params(name: str, params: Mapping[str, str], templates: Templates) -> None:
    template = templates.get(name)
    if template is None:
        raise content_error(
            f"没有模板 {name[:64]}，可用：{names(templates)}",
            f"there is no template {name[:64]}; there are {names(templates)}",
        )
    wanted, names_given = set(template.variables), set(params)
    if missing := sorted(wanted - names_given):
        raise content_error(f"params 缺少 {names(missing)}", f"params lacks {names(missing)}")
    if extra := sorted(names_given - wanted):
        raise content_error(f"模板没有变量 {names(extra)}", f"the template has no variable {names(extra)}")
