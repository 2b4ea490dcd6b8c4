"""Sends by templates: whose template it is, what each recipient gets, and what is wrong with it, before acceptance."""

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic_core import to_json

from imsg_channels import content
from imsg_channels.sms import accepts_value
from imsg_channels.spec import ChannelSpec
from imsg_channels.templates import fill_text
from imsg_contract.errors import Refusal
from imsg_contract.route_limits import TemplateLimits
from imsg_contract.templates import (
    LIQUID,
    PublishedTemplate,
    choose_source,
    field_of,
    list_approved_fields,
    read_approved,
)
from imsg_contract.topology import TEMPLATES, approved_key
from imsg_contract.wire import Category, Content, Recipient
from imsg_gateway.credentials import Credential
from imsg_gateway.fallback import LegFields
from imsg_gateway.fields import read_reference
from imsg_gateway.recipients import MAX_NAME_CHARACTERS
from imsg_gateway.routed_limits import Group
from imsg_gateway.validation_errors import recipients_wrong
from imsg_rendering.problems import MAX_PARAMS, MAX_VALUE_CHARACTERS, Problem
from imsg_rendering.renderer import Renderer
from imsg_runtime.redis import Redis
from imsg_web.responses import refuse_unknown_field, refuse_value

FIELDS = ("template", "template_version", "params", "language")

PERSONAL = ("to", "contacts", "params", "language", "reference")
"""The fields of an object in `to`."""

MAX_LANGUAGE = 16

MAX_SOURCES_BYTES = 256 * 1024
"""Of all languages of a send, which go with each chunk of its recipients."""

SLICE = 200
"""Recipients that are checked before other tasks run."""


class Person(NamedTuple):
    """An entry of `to`."""

    row: int
    """From 1, as people count."""
    params: Mapping[str, str] | None = None
    language: str | None = None
    reference: str | None = None


class People(NamedTuple):
    """The entries of `to`: their texts, and their fields for a template."""

    to: object
    by_text: Mapping[str, Person] = MappingProxyType({})
    are_members: bool = False
    """Whether they are members of groups, who may have fields that the template does not use."""


class ChosenTemplate(NamedTuple):
    """The template of a send."""

    template: PublishedTemplate
    params: Mapping[str, str]
    language: str | None
    others: Collection[str] = ()
    """The params of other legs' templates, which recipients may have too."""

    @property
    def name(self) -> str:
        """Its name."""
        return self.template.name


class FilledTemplate(NamedTuple):
    """The content and the recipients of a send by template."""

    recipients: tuple[Recipient, ...]
    content: Content
    shares: Sequence[tuple[str | None, Sequence[Recipient], str | None]]
    """Provider tried first, recipients, and their text where its words are known."""


class TemplateSends:
    """Reads the templates of sends."""

    def __init__(self, redis: Redis, renderer: Renderer) -> None:
        self._redis = redis
        self._renderer = renderer

    async def find(
        self, fields: Mapping[str, Any], credential: Credential, method: ChannelSpec
    ) -> ChosenTemplate | None:
        """Return the template of a send; None where it names none. Raises Refusal wrong_type; RedisUnavailable."""
        if (name := fields.get("template")) is None:
            for field in FIELDS:
                if fields.get(field) is not None:
                    raise refuse_value(field, "只能与 template 一起使用", "it goes with template alone")
            return None
        if fields.get("content") is not None:
            raise refuse_value("content", "使用 template 时不能再写 content", "it can't be given beside template")
        caller = await credential.authenticate()
        version, language = fields.get("template_version"), fields.get("language")
        if version is not None and (not isinstance(version, int) or isinstance(version, bool) or version < 1):
            raise refuse_value("template_version", "应为已发布的版本号", "it must be the number of a published version")
        _check_language(language, "language")
        found = None
        if isinstance(name, str):
            found = await self._redis.call("HGET", TEMPLATES, field_of(name, version))
        template = None if found is None else PublishedTemplate.model_validate_json(found)
        if template is None or not (template.shared or template.user_id == caller.user_id or caller.is_admin):
            what = f"{name}"[:MAX_NAME_CHARACTERS]
            zh = f"没有已发布的模板 {what}" + (f" 的版本 {version}" if version else "")
            raise refuse_value("template", zh, f"there is no published template {what}")
        if template.find_source(method.name, language) is None:
            raise refuse_value("template", f"模板没有 {method.name} 的内容", f"it has none for {method.name}")
        params = read_params(fields.get("params"), "params")
        chosen = ChosenTemplate(template, params or {}, language)
        _refuse_superfluous(chosen, chosen.params, "params")
        return chosen

    async def find_leg(
        self, leg: LegFields, fields: Mapping[str, Any], category: Category, credential: Credential
    ) -> ChosenTemplate | None:
        """Return the template of a further leg; None where it has a content.

        What the leg does not say is as the send has it: the language, the params it takes, and of the same template
        the version. Raises what `find` raises, by the whole names of the fields.
        """
        given = {"content": leg.content, "template": leg.template, "params": leg.params}
        if leg.template is not None:
            given["language"] = fields.get("language")
        if leg.template == fields.get("template"):
            given["template_version"] = fields.get("template_version")
        try:
            chosen = await self.find(given, credential, leg.method)
            if chosen is None:
                return None
            if chosen.template.category is not category:
                zh, en = f"模板 {chosen.name} 的类别不是 {category}", f"the template {chosen.name} is not of {category}"
                raise refuse_value("template", zh, en)
        except Refusal as refusal:
            raise leg.name(refusal) from refusal
        known = {param.name for param in chosen.template.params}
        shared = {name: value for name, value in (fields.get("params") or {}).items() if name in known}
        return chosen._replace(params={**shared, **chosen.params})

    def choose_category(self, chosen: ChosenTemplate, fields: Mapping[str, Any]) -> Category:
        """Return the category of a template. Raises Refusal wrong_type where the send names another."""
        category = chosen.template.category
        if fields.get("category") not in (None, category.value):
            zh, en = f"模板 {chosen.name} 的类别是 {category}", f"the template {chosen.name} has {category}"
            raise refuse_value("category", zh, en)
        return category

    def personalise(
        self, chosen: ChosenTemplate, recipients: Sequence[Recipient], people: People
    ) -> tuple[Recipient, ...]:
        """Return the recipients with their own params and language. Raises Refusal wrong_type, which names a row."""
        found, known = [], {param.name for param in chosen.template.params}
        for recipient in recipients:
            person = people.by_text.get(recipient.to)
            if person is None or (person.params is None and person.language is None):
                found.append(recipient)
                continue
            params = person.params
            if not people.are_members:
                _refuse_superfluous(chosen, params or {}, f"to.{person.row - 1}.params", row=person.row)
            taken = params and {name: value for name, value in params.items() if name in known}
            own = {"params": taken, "language": person.language}
            found.append(recipient.model_copy(update=own))
        return tuple(found)

    async def fill(
        self,
        chosen: ChosenTemplate,
        method: ChannelSpec,
        groups: Sequence[Group],
        names: Mapping[str, str],
        people: People,
        *,
        signature: str | None,
        has_attachment: bool,
    ) -> FilledTemplate:
        """Render what every recipient gets, and check it as its channel does; `signature` is the send's own.

        Raises Refusal wrong_type, which names the row and the field of what is missing or too long.
        """
        recipients = sorted((recipient for group in groups for recipient in group.recipients), key=lambda one: one.n)
        language, sources = self._collect_sources(chosen, method, recipients)
        sent = {
            **names,
            "template": chosen.name,
            "version": chosen.template.version,
            "language": language,
            "params": dict(chosen.params),
            LIQUID: sources,
        }
        if len(to_json(sources)) > MAX_SOURCES_BYTES:
            zh, en = (
                "各语言的内容合计太长，请缩短，或分语言发送",
                "its languages are too long together; send them apart",
            )
            raise refuse_value("template", zh, en)
        approved = await self._read_approved(method, list(sources.values()))
        rendered = await self._renderer.render_for(sent, recipients)
        by_n = {recipient.n: one for recipient, one in zip(recipients, rendered, strict=True)}
        shares: dict[tuple[str | None, str | None], list[Recipient]] = {}
        checked: set[str] = set()
        for group in groups:
            for number, recipient in enumerate(group.recipients, 1):
                if number % SLICE == 0:
                    await asyncio.sleep(0)
                row = _name_row(people, recipient, is_alone=len(recipients) == 1)
                one = by_n[recipient.n]
                if isinstance(one, Problem):
                    raise _refuse(row, one.field if one.reason in ("missing", "value") else "", one.zh, one.en)
                if "providers" in one:
                    source = choose_source(sent, recipient)[1]
                    signed = {**one, "signature": signature} if signature is not None else one
                    share = _check_providers(method, group, signed, row, _Source(chosen.template, source, approved))
                else:
                    share = group.provider, None
                    if (key := repr(one)) not in checked:
                        _check_content(method, one, row, has_attachment=has_attachment)
                        checked.add(key)
                shares.setdefault(share, []).append(recipient)
        return FilledTemplate(tuple(recipients), sent, _list_shares(shares))

    async def _read_approved(
        self, method: ChannelSpec, sources: Sequence[Mapping[str, Any]]
    ) -> Mapping[str, Mapping[str, TemplateLimits]]:
        fields = [field for source in sources for field in list_approved_fields(source)]
        replies = await self._redis.call("HMGET", approved_key(method.name), *fields) if fields else ()
        return read_approved(fields, replies)

    def _collect_sources(
        self, chosen: ChosenTemplate, method: ChannelSpec, recipients: Sequence[Recipient]
    ) -> tuple[str, dict[str, Any]]:
        """Return the language of the send, and the sources of all languages that its recipients need."""
        sources: dict[str, Any] = {}
        default = ""
        for wanted in dict.fromkeys([chosen.language, *(recipient.language for recipient in recipients)]):
            found = chosen.template.find_source(method.name, wanted or chosen.language)
            if found is None:  # of the default language there is one, as `find` has seen
                continue
            language, source = found
            default = default or language
            sources[language] = source
        return default, sources


def read_people(to: object) -> People:
    """Split the entries of `to` into texts and personal fields. Raises Refusal wrong_type."""
    entries = to if isinstance(to, list) else [to]
    if not any(isinstance(entry, dict) for entry in entries):
        return People(to)
    texts: list[object] = []
    found: dict[str, Person] = {}
    for row, one in enumerate(entries, 1):
        if not isinstance(one, dict):
            texts.append(one)
            if isinstance(one, str):
                found.setdefault(one, Person(row))
            continue
        place = f"to.{row - 1}"
        text = one.get("to")
        if not isinstance(text, str):
            raise recipients_wrong(f"{place}.to 应为收件人（字符串）", f"{place}.to must be a recipient, a string")
        if unknown := [name for name in one if name not in PERSONAL]:
            raise refuse_unknown_field(f"{place}.{unknown[0]}", PERSONAL)
        _check_language(one.get("language"), f"{place}.language")
        texts.append({"to": text, "contacts": one["contacts"]} if "contacts" in one else text)
        params, reference = read_params(one.get("params"), f"{place}.params"), read_reference(one, f"{place}.reference")
        found.setdefault(text, Person(row, params, one.get("language"), reference))
    return People(texts if isinstance(to, list) else texts[0], found)


def read_members(members: Sequence[Mapping[str, Any]]) -> People:
    """Return the members of groups."""
    found = {one["to"]: Person(row, one["params"] or None, one["language"]) for row, one in enumerate(members, 1)}
    to = [
        {"to": member["to"], "contacts": member["contacts"]} if member["contacts"] else member["to"]
        for member in members
    ]
    return People(to, found, are_members=True)


def add_references(recipients: Sequence[Recipient], people: People) -> tuple[Recipient, ...]:
    """Return the recipients with the client's references of their messages."""
    if not any(person.reference for person in people.by_text.values()):
        return tuple(recipients)
    named = {to: person.reference for to, person in people.by_text.items()}
    return tuple(recipient.model_copy(update={"reference": named.get(recipient.to)}) for recipient in recipients)


def refuse_people_without_template(people: People) -> None:
    """Refuse personal fields without a template. Raises Refusal wrong_type."""
    for person in people.by_text.values():
        if person.params is not None or person.language is not None:
            zh, en = "params 和 language 只能与 template 一起使用", "params and language go with template alone"
            raise refuse_value(f"to.{person.row - 1}", zh, en)


def read_params(given: object, field: str) -> Mapping[str, str] | None:
    """Read params. Raises Refusal wrong_type."""
    if given is None:
        return None
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise refuse_value(field, "必须是对象，值都是字符串", "it must be an object whose values are strings")
    if len(given) > MAX_PARAMS:
        raise refuse_value(field, f"最多 {MAX_PARAMS} 项", f"it has at most {MAX_PARAMS}")
    for name, value in given.items():
        if len(value) > MAX_VALUE_CHARACTERS:
            zh = f"最多 {MAX_VALUE_CHARACTERS} 个字符，现有 {len(value)} 个"
            en = f"at most {MAX_VALUE_CHARACTERS} characters, it has {len(value)}"
            raise refuse_value(f"{field}.{name[:64]}", zh, en)
    return given


def _check_language(language: object, field: str) -> None:
    if language is not None and not (isinstance(language, str) and 1 < len(language) <= MAX_LANGUAGE):
        raise refuse_value(field, "应为语言代码，如 zh", "it must be a language, such as zh")


def _refuse_superfluous(chosen: ChosenTemplate, params: Mapping[str, str], field: str, row: int = 0) -> None:
    known = [*(param.name for param in chosen.template.params), *chosen.others]
    if unknown := next((name for name in params if name not in known), None):
        which = f"第 {row} 行：" if row else ""
        of = f"row {row}: " if row else ""
        name, names = unknown[:64], ", ".join(known) or "—"
        zh = f"{which}模板没有变量 {name}，可用：{names}"
        raise refuse_value(f"{field}.{name}", zh, f"{of}the template has no param {name}; there are {names}")


def _name_row(people: People, recipient: Recipient, *, is_alone: bool) -> tuple[str, str]:
    person = people.by_text.get(recipient.to)
    if person is None or is_alone:
        return "", ""
    to = recipient.to[:MAX_NAME_CHARACTERS]
    return f"第 {person.row} 行（{to}）：", f"row {person.row} ({to}): "


def _refuse(row: tuple[str, str], field: str, zh: str, en: str) -> Refusal:
    return refuse_value(f"params.{field}" if field else "template", f"{row[0]}{zh}", f"{row[1]}{en}")


def _check_content(
    method: ChannelSpec, rendered: Mapping[str, Any], row: tuple[str, str], *, has_attachment: bool
) -> None:
    known = content.fields(method.content)
    words = {"text": "", **{name: value for name, value in rendered.items() if name in known}}
    try:
        content.read(method.content, words, has_attachment=has_attachment)
    except Refusal as refusal:
        raise _refuse(row, "", str(refusal.values["why_zh"]), str(refusal.values["why_en"])) from refusal


class _Source(NamedTuple):
    """What a recipient's content is made from."""

    template: PublishedTemplate
    source: Mapping[str, Any]
    approved: Mapping[str, Mapping[str, TemplateLimits]]
    """Provider → template → what the provider says of it, of which its settings may say nothing."""

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


def _check_providers(
    method: ChannelSpec, group: Group, rendered: Mapping[str, Any], row: tuple[str, str], source: "_Source"
) -> tuple[str | None, str | None]:
    """Return the first provider that takes what a recipient gets, and its text where the words are known."""
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
        raise _refuse(row, *problem)
    if group.names:
        names = ", ".join(group.names)
        zh, en = f"模板没有这些服务商的内容：{names}", f"the template has none for {names}"
        raise _refuse(row, "", zh, en)
    return None, None


def _find_wrong(
    method: ChannelSpec, name: str, template: TemplateLimits, variables: Mapping[str, str]
) -> tuple[str, str, str] | None:
    """Return what a provider's template does not take: its variable, empty where it is none, and what is wrong."""
    for variable, value in variables.items():
        most = template.variables.get(variable)
        if most is not None and len(value) > most:
            zh = f"最多 {most} 个字符，现有 {len(value)} 个"
            return variable, zh, f"takes {most} characters, it has {len(value)}"
        if method.segments is not None and not accepts_value(variable, value, template):
            return variable, f"的值不合要求：{value[:32]}", f"does not take {value[:32]}"
    try:
        content.read(method.content, {"template": name, "params": variables}, {name: template})
    except Refusal as refusal:
        return "", str(refusal.values["why_zh"]), str(refusal.values["why_en"])
    return None


def _list_shares(
    shares: Mapping[tuple[str | None, str | None], Sequence[Recipient]],
) -> list[tuple[str | None, Sequence[Recipient], str | None]]:
    return [(provider, recipients, text) for (provider, text), recipients in shares.items()]
