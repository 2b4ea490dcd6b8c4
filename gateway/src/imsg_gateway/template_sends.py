"""Sends by templates: the template, what each recipient gets, and what is wrong with it, before acceptance."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic_core import to_json

from imsg_channels.spec import ChannelSpec
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
from imsg_gateway.people import People, check_language, read_params
from imsg_gateway.recipients import MAX_NAME_CHARACTERS
from imsg_gateway.routed_limits import Group
from imsg_gateway.template_checks import Source, check_content, check_providers, name_row, refuse_row
from imsg_rendering.problems import Problem
from imsg_rendering.renderer import Renderer
from imsg_runtime.redis import Redis
from imsg_web.responses import refuse_value

FIELDS = ("template", "template_version", "params", "language")

MAX_SOURCES_BYTES = 256 * 1024
"""Of all languages of a send, which go with each chunk of its recipients."""

SLICE = 200
"""Recipients that are checked before other tasks run."""


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
        check_language(language, "language")
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
            used = params and {name: value for name, value in params.items() if name in known}
            own = {"params": used, "language": person.language}
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
        recipients = sorted(
            (recipient for group in groups for recipient in group.recipients), key=lambda recipient: recipient.n
        )
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
        by_n = {recipient.n: content for recipient, content in zip(recipients, rendered, strict=True)}
        shares: dict[tuple[str | None, str | None], list[Recipient]] = {}
        checked: set[str] = set()
        for group in groups:
            for number, recipient in enumerate(group.recipients, 1):
                if number % SLICE == 0:
                    await asyncio.sleep(0)
                row = name_row(people, recipient, is_alone=len(recipients) == 1)
                content = by_n[recipient.n]
                if isinstance(content, Problem):
                    raise refuse_row(
                        row, content.field if content.reason in ("missing", "value") else "", content.zh, content.en
                    )
                if "providers" in content:
                    source = choose_source(sent, recipient)[1]
                    signed = {**content, "signature": signature} if signature is not None else content
                    share = check_providers(method, group, signed, row, Source(chosen.template, source, approved))
                else:
                    share = group.provider, None
                    if (key := repr(content)) not in checked:
                        check_content(method, content, row, has_attachment=has_attachment)
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
            default_source = chosen.template.find_source(method.name, wanted or chosen.language)
            if default_source is None:  # of the default language there is one, as `find` has seen
                continue
            language, source = default_source
            default = default or language
            sources[language] = source
        return default, sources


def _refuse_superfluous(chosen: ChosenTemplate, params: Mapping[str, str], field: str, row: int = 0) -> None:
    known = [*(param.name for param in chosen.template.params), *chosen.others]
    if unknown := next((name for name in params if name not in known), None):
        which = f"第 {row} 行：" if row else ""
        of = f"row {row}: " if row else ""
        name, names = unknown[:64], ", ".join(known) or "—"
        zh = f"{which}模板没有变量 {name}，可用：{names}"
        raise refuse_value(f"{field}.{name}", zh, f"{of}the template has no param {name}; there are {names}")


def _list_shares(
    shares: Mapping[tuple[str | None, str | None], Sequence[Recipient]],
) -> list[tuple[str | None, Sequence[Recipient], str | None]]:
    return [(provider, recipients, text) for (provider, text), recipients in shares.items()]
