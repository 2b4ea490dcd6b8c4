"""Checks what a recipient gets by a template: as its channel does, and by the templates that providers approved."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from imsg_channels import content
from imsg_channels.sms import accepts_value
from imsg_channels.spec import ChannelSpec
from imsg_channels.templates import fill_text
from imsg_contract.errors import Refusal
from imsg_contract.route_limits import TemplateLimits
from imsg_contract.templates import PublishedTemplate
from imsg_contract.wire import Recipient
from imsg_gateway.people import People
from imsg_gateway.recipients import MAX_NAME_CHARACTERS
from imsg_gateway.routed_limits import Group
from imsg_web.responses import refuse_value


def name_row(people: People, recipient: Recipient, *, is_alone: bool) -> tuple[str, str]:
    """Return how a refusal names the row of a recipient, in Chinese and in English; empty where it is the only one."""
    person = people.by_text.get(recipient.to)
    if person is None or is_alone:
        return "", ""
    to = recipient.to[:MAX_NAME_CHARACTERS]
    return f"第 {person.row} 行（{to}）：", f"row {person.row} ({to}): "


def refuse_row(row: tuple[str, str], field: str, zh: str, en: str) -> Refusal:
    """Make the refusal of what a row gets, by the param that is wrong; an empty `field` names the template."""
    return refuse_value(f"params.{field}" if field else "template", f"{row[0]}{zh}", f"{row[1]}{en}")


def check_content(
    method: ChannelSpec, rendered: Mapping[str, Any], row: tuple[str, str], *, has_attachment: bool
) -> None:
    """Check what a recipient gets as its channel does. Raises Refusal wrong_type."""
    known = content.fields(method.content)
    words = {"text": "", **{name: value for name, value in rendered.items() if name in known}}
    try:
        content.read(method.content, words, has_attachment=has_attachment)
    except Refusal as refusal:
        raise refuse_row(row, "", str(refusal.values["why_zh"]), str(refusal.values["why_en"])) from refusal


class Source(NamedTuple):
    """What a recipient's content is made from."""

    template: PublishedTemplate
    source: Mapping[str, Any]
    approved: Mapping[str, Mapping[str, TemplateLimits]]
    """Provider → template → the approved words, which the settings may lack."""

    def name_param(self, provider: str, variable: str, zh: str, en: str) -> tuple[str, str, str]:
        """Return what is wrong with a variable of a provider by the param that fills it, which people know."""
        if not variable:
            return variable, zh, en
        text = self.source["providers"][provider]["variables"][variable]
        names = {word.partition(".")[0] for word in re.findall(r"[\w.]+", text)}
        params = [param.name for param in self.template.params if param.name in names]
        if params == [variable]:
            return variable, f"{variable} {zh}", f"{variable} {en}"
        names_zh, names_en = "、".join(params) or "模板的内容", ", ".join(params) or "the template's text"
        of_zh, of_en = f"{names_zh}（{provider} 的变量 {variable}）", f"{names_en} ({variable} of {provider})"
        return next(iter(params), ""), f"{of_zh}{zh}", f"{of_en} {en}"


def check_providers(
    method: ChannelSpec, group: Group, rendered: Mapping[str, Any], row: tuple[str, str], source: Source
) -> tuple[str | None, str | None]:
    """Return the first provider that accepts what a recipient gets, and its text where it is known."""
    entries: Mapping[str, Any] = rendered["providers"]
    problem: tuple[str, str, str] | None = None
    for provider, limits in zip(group.names, group.choices, strict=False):
        if (entry := entries.get(provider)) is None:
            continue
        name = entry["template"]
        template = (limits or {}).get(name) or source.approved.get(provider, {}).get(name)
        if template is not None and (signature := rendered.get("signature")):
            template = template.model_copy(update={"signature": f"【{signature}】"})
        variables: Mapping[str, str] = entry.get("variables", {})
        wrong = None if template is None else _find_wrong(method, name, template, variables)
        if wrong is None:
            if template is None or not template.text or method.segments is None:
                return provider, None
            return provider, fill_text(template, variables)
        problem = problem or source.name_param(provider, *wrong)
    if problem is not None:
        raise refuse_row(row, *problem)
    if group.names:
        names = ", ".join(group.names)
        zh, en = f"模板没有这些服务商的内容：{names}", f"the template has none for {names}"
        raise refuse_row(row, "", zh, en)
    return None, None


def _find_wrong(
    method: ChannelSpec, name: str, template: TemplateLimits, variables: Mapping[str, str]
) -> tuple[str, str, str] | None:
    """Return what a provider's template does not take: its variable, empty where it is none, and what is wrong."""
    for variable, value in variables.items():
        longest = template.variables.get(variable)
        if longest is not None and len(value) > longest:
            zh = f"最多 {longest} 个字符，现有 {len(value)} 个"
            return variable, zh, f"takes {longest} characters, it has {len(value)}"
        if method.segments is not None and not accepts_value(variable, value, template):
            return variable, f"的值不合要求：{value[:32]}", f"does not take {value[:32]}"
    try:
        content.read(method.content, {"template": name, "params": variables}, {name: template})
    except Refusal as refusal:
        return "", str(refusal.values["why_zh"]), str(refusal.values["why_en"])
    return None
