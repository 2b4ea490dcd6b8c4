"""What `content` may be, by method: its shape, its lengths, and what a template takes."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from imsg_contract.wire import TemplateLimits
from imsg_gateway.validation_errors import content_wrong, has_control

MAX_CONTENT_BYTES = 1024 * 1024
MAX_SUBJECT_CHARACTERS = 255
MAX_SMS_CHARACTERS = 500
"""With its signature: the most that Aliyun sends as one, in eight segments."""

MAIL_FIELDS = ("subject", "text", "html")
TEMPLATE_FIELDS = ("template", "params")

Templates = Mapping[str, TemplateLimits]
"""Name → limits, as the channel published them; empty where it has not."""


def mail(content: object, *, has_attachment: bool) -> dict[str, Any]:
    """Check `{subject, text, html?}` and return these fields alone. Raises Refusal content_shape."""
    if not isinstance(content, dict):
        raise content_wrong(
            '邮件的 content 必须是对象：{"subject": 标题, "text": 正文}',
            'for mail it must be an object, {"subject": …, "text": …}',
        )
    subject = _text(content, "subject", required=True)
    text = _text(content, "text", required=True)
    html = _text(content, "html", required=False)
    if not 1 <= len(subject) <= MAX_SUBJECT_CHARACTERS:
        raise content_wrong(
            f"subject 须为 1 到 {MAX_SUBJECT_CHARACTERS} 个字符",
            f"subject must be 1 to {MAX_SUBJECT_CHARACTERS} characters",
        )
    if has_control(subject):
        raise content_wrong("subject 不能含换行或控制字符", "subject must not hold a line break or a control character")
    if not text and not html and not has_attachment:
        raise content_wrong("没有 html 或附件时 text 不能为空", "text may be empty only beside html or an attachment")
    _check_length(subject, text, html)
    return {"subject": subject, "text": text, **({"html": html} if html else {})}


def sms(content: object, templates: Templates) -> str | dict[str, Any]:
    """Check a str or `{template, params}` by the limits of its template. Raises Refusal content_shape."""
    checked = _text_or_template(content, templates)
    if (filled := fill(checked, templates)) is not None and len(filled) > MAX_SMS_CHARACTERS:
        raise content_wrong(
            f"短信连同签名最多 {MAX_SMS_CHARACTERS} 个字符，现有 {len(filled)} 个",
            f"an SMS has at most {MAX_SMS_CHARACTERS} characters with its signature, this has {len(filled)}",
        )
    if (used := _template(checked, templates)) is not None:
        for name, value in _params(checked, used).items():
            _check_variable(name, value, used)
    return checked


def wechat(content: object, templates: Templates) -> str | dict[str, Any]:
    """Check a str (cut by the sender where it does not fit) or `{template, params}`. Raises Refusal content_shape."""
    checked = _text_or_template(content, templates)
    if isinstance(checked, dict) and (used := _template(checked, templates)) is not None:
        for name, value in _params(checked, used).items():
            _check_fits(name, value, used)
    return checked


def fill(content: str | dict[str, Any], templates: Templates) -> str | None:
    """Write the whole message as it arrives, signature first; None where the template's words are not known."""
    template = _template(content, templates)
    if template is None:
        return content if isinstance(content, str) else None
    params = _params(content, template)
    words = _VARIABLE.sub(lambda variable: params.get(variable[1], ""), template.text) if template.text else None
    return template.signature + (words if words is not None else "".join(params.values()))


_VARIABLE = re.compile(r"\$\{([^{}]+)\}")
_LINK = re.compile(r"(?i)https?://|www\.|[a-z0-9-]\.(?:com|cn|net|org|cc|top|xyz|io|me)\b")


def _text_or_template(content: object, templates: Templates) -> str | dict[str, Any]:
    if isinstance(content, str):
        if not content.strip():
            raise content_wrong("内容不能为空", "it is empty")
        _check_length(content)
        if templates and _template(content, templates) is None:
            raise content_wrong(
                "没有带一个变量的默认模板，请用 {template, params}",
                "no default template takes free text; give {template, params}",
            )
        return content
    if not isinstance(content, dict) or "template" not in content:
        raise content_wrong(
            "必须是字符串，或 {template, params} 对象", "it must be a string, or an object {template, params}"
        )
    checked = _templated(content)
    if templates:
        _check_against(checked, templates)
    return checked


def _templated(content: dict[str, Any]) -> dict[str, Any]:
    template = _text(content, "template", required=True)
    if not template:
        raise content_wrong("template 不能为空", "template is empty")
    params = content.get("params")
    if params is None:
        params = {}
    if not isinstance(params, dict) or not all(isinstance(value, str) for value in params.values()):
        raise content_wrong("params 必须是对象，值都是字符串", "params must be an object whose values are strings")
    _check_length(template, *params, *params.values())
    return {"template": template, "params": params}


def _check_against(content: dict[str, Any], templates: Templates) -> None:
    template = templates.get(content["template"])
    if template is None:
        raise content_wrong(
            f"没有模板 {content['template'][:64]}，可用：{_names(templates)}",
            f"there is no template {content['template'][:64]}; there are {_names(templates)}",
        )
    wanted, given = set(template.variables), set(content["params"])
    if missing := sorted(wanted - given):
        raise content_wrong(f"params 缺少 {_names(missing)}", f"params lacks {_names(missing)}")
    if extra := sorted(given - wanted):
        raise content_wrong(f"模板没有变量 {_names(extra)}", f"the template has no variable {_names(extra)}")


def _template(content: str | dict[str, Any], templates: Templates) -> TemplateLimits | None:
    if isinstance(content, dict):
        return templates.get(content["template"])
    return next((found for found in templates.values() if found.default and len(found.variables) == 1), None)


def _params(content: str | dict[str, Any], template: TemplateLimits) -> Mapping[str, str]:
    if isinstance(content, dict):
        params: Mapping[str, str] = content["params"]
        return params
    return {next(iter(template.variables)): content}


def _check_fits(name: str, value: str, template: TemplateLimits) -> None:
    """Refuse what is longer than its variable, and line breaks where it takes none."""
    longest = template.variables.get(name)
    if longest is not None and len(value) > longest:
        raise content_wrong(
            f"{name} 最多 {longest} 个字符，现有 {len(value)} 个",
            f"{name} takes at most {longest} characters, this has {len(value)}",
        )
    if not template.breaks and has_control(value):
        raise content_wrong(f"{name} 不能含换行或控制字符", f"{name} must not hold a line break or a control character")


def _check_variable(name: str, value: str, template: TemplateLimits) -> None:
    """Refuse what the firm would refuse for its content (docs/providers.md, SMS)."""
    _check_fits(name, value, template)
    if "【" in value or "】" in value:
        raise content_wrong("内容不能含【或】（签名专用）", "it must not hold 【 or 】, which mark the signature")
    if not template.links and _LINK.search(value):
        raise content_wrong("短信变量不能含网址", "a variable of an SMS must not hold a link")


def _text(content: dict[str, Any], name: str, *, required: bool) -> str:
    value = content.get(name)
    if value is None and not required:
        return ""
    if value is None:
        raise content_wrong(f"缺少 {name}", f"{name} is missing")
    if not isinstance(value, str):
        raise content_wrong(f"{name} 必须是字符串", f"{name} must be a string")
    return value


def _check_length(*texts: str) -> None:
    # Four bytes a character at most: only what may be too long is encoded to be measured.
    if sum(map(len, texts)) * 4 <= MAX_CONTENT_BYTES:
        return
    if sum(len(text.encode()) for text in texts) > MAX_CONTENT_BYTES:
        raise content_wrong("总长不能超过 1 MiB", "it is over 1 MiB in all")


def _names(names: Sequence[str] | Templates) -> str:
    return ", ".join(name[:64] for name in list(names)[:20]) or "—"
