"""What users do with templates. What is published is in Redis when a call returns, so that sends do without us."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from imsg_broker.port import Broker
from imsg_catalog.templates.checks import TemplateChecks, refuse_problem
from imsg_catalog.templates.schemas import (
    NewTemplate,
    ProviderText,
    SettingsTemplate,
    TemplatePatch,
    TemplatePreview,
    TemplatePreviewAnswer,
)
from imsg_catalog.templates.store import Template, TemplateRows, Version
from imsg_channels import CHANNELS
from imsg_channels.segments import MAINLAND, count
from imsg_channels.templates import fill_text
from imsg_contract.errors import Refusal
from imsg_contract.roles import refuse_role
from imsg_contract.route_limits import ProviderLimits, RouteLimits, TemplateLimits
from imsg_contract.templates import field_of, list_approved_fields, read_approved
from imsg_contract.topology import CHANGE, TEMPLATES, approved_key, route_limits_key, template_limits_key
from imsg_contract.wire import Category
from imsg_database.database import Database
from imsg_database.unavailable import DatabaseUnavailable
from imsg_rendering.problems import TemplateError
from imsg_rendering.renderer import Renderer
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_web.audit import make_change
from imsg_web.callers import Caller
from imsg_web.responses import refuse_value

log = logger(__name__)

MAX_TEMPLATES = 1_000
"""Of one user."""

POLL_S = 1.0
"""How often it is checked that Redis has the templates."""


class Templates:
    """The operations on templates. All raise DatabaseUnavailable, RedisUnavailable, RedisRefused."""

    def __init__(
        self, database: Database, redis: Redis, broker: Broker, renderer: Renderer, now_ms: Callable[[], int]
    ) -> None:
        self._database = database
        self._redis = redis
        self._broker = broker
        self._renderer = renderer
        self._checks = TemplateChecks(renderer)
        self._now_ms = now_ms

    async def page(self, caller: Caller, after: str, limit: int) -> Sequence[tuple[Template, Version]]:
        """Return the templates that a user may see, each with its last version."""
        async with self._database.reading() as connection:
            rows = TemplateRows(connection)
            templates = await rows.page(caller, after, limit)
            versions = await rows.find_versions([(template.name, template.latest) for template in templates])
        return list(zip(templates, versions, strict=True))

    async def list_settings(self) -> Sequence[SettingsTemplate]:
        """Return the templates of the channels' settings, as their senders published them."""
        templates = []
        for channel in CHANNELS:
            if channel.has_templates:
                reply = await self._redis.call("HGETALL", template_limits_key(channel.name))
                templates += [
                    SettingsTemplate.of(channel.name, name.decode(), TemplateLimits.model_validate_json(limits))
                    for name, limits in sorted(reply.items())
                ]
        return templates

    async def find(self, caller: Caller, name: str, version: int | None = None) -> tuple[Template, Version]:
        """Return a template in its last version, or in another: a deleted one too. Raises Refusal not_found."""
        async with self._database.reading() as connection:
            rows = TemplateRows(connection)
            template = await rows.find(name)
            if template is None or not template.is_shown_to(caller) or (template.deleted_ms and version is None):
                raise _not_found(name)
            found_version = await rows.find_version(name, version or template.latest)
        if found_version is None or (
            found_version.published_ms is None and not (template.is_owned_by(caller) or caller.sees_all)
        ):
            raise _not_found(f"{name} {version}")
        return template, found_version

    async def list_versions(self, caller: Caller, name: str, before: int | None, limit: int) -> Sequence[Version]:
        """Return a page of a template's versions. Raises Refusal not_found."""
        async with self._database.reading() as connection:
            rows = TemplateRows(connection)
            template = await rows.find(name)
            if template is None or not (template.is_owned_by(caller) or caller.sees_all):
                raise _not_found(name)
            return await rows.list_versions(name, before, limit)

    async def add(self, caller: Caller, body: NewTemplate) -> tuple[Template, Version]:
        """Add a template as a draft. Raises Refusal template_taken, wrong_type."""
        draft = await self._make_version(
            caller, body.name, Category(body.category), body.default_language, _dump(body.languages)
        )
        async with self._writing() as rows:
            known = await rows.find(body.name)
            if known is not None and (known.deleted_ms is None or not known.is_owned_by(caller)):
                raise Refusal("template_taken", name=body.name)
            if await rows.count(caller.user_id) >= MAX_TEMPLATES:
                raise refuse_value(
                    "name",
                    f"您已有 {MAX_TEMPLATES} 个模板，请先删除不用的",
                    f"you have {MAX_TEMPLATES}; delete one first",
                )
            number = 1 if known is None else known.latest + 1
            template = Template(body.name, caller.user_id, caller.username, body.shared, number, None, self._now_ms())
            version = replace(draft, version=number)
            await rows.write(template)
            await rows.write_version(version)
            await self._publish_audit(caller, "template_added", template)
        return template, version

    async def change(self, caller: Caller, name: str, patch: TemplatePatch) -> tuple[Template, Version]:
        """Change the draft of a template, or make one after the published version. Raises Refusal as `add`."""
        template, last = await self._find_own(caller, name)
        languages = last.languages if patch.languages is None else _dump(patch.languages)
        default = patch.default_language or last.default_language
        if default not in languages:
            names = ", ".join(languages)
            raise refuse_value("default_language", f"应为 languages 之一：{names}", f"it must be one of {names}")
        draft = await self._make_version(caller, name, Category(patch.category or last.category), default, languages)
        async with self._writing() as rows:
            template, last = await _read_own(rows, caller, name)
            is_same = (draft.category, draft.default_language, draft.languages) == (
                last.category, last.default_language, last.languages,
            )  # fmt: skip
            if patch.shared is not None:
                template = replace(template, shared=patch.shared)
            version = last
            if not is_same:
                number = last.version if last.published_ms is None else last.version + 1
                version = replace(draft, version=number)
                template = replace(template, latest=number)
                await rows.write_version(version)
            await rows.write(template)
            await self._publish_audit(caller, "template_changed", template)
            if patch.shared is not None:
                await self._write(rows, template)
        return template, version

    async def publish(self, caller: Caller, name: str, number: int | None) -> tuple[Template, Version]:
        """Publish the last version for sends, or an earlier one. Raises Refusal not_found."""
        async with self._writing() as rows:
            template, last = await _read_own(rows, caller, name)
            version = last if number is None else await rows.find_version(name, number)
            if version is None:
                raise _not_found(f"{name} {number}")
            if version.published_ms is None:
                version = replace(version, published_ms=self._now_ms())
                await rows.write_version(version)
            template = replace(template, published=version.version)
            await rows.write(template)
            await self._publish_audit(caller, "template_published", template)
            await self._write(rows, template)
        return template, version

    async def delete(self, caller: Caller, name: str) -> None:
        """Delete a template; its versions stay, for the messages that were sent by it. Raises Refusal not_found."""
        async with self._writing() as rows:
            template, _ = await _read_own(rows, caller, name)
            await rows.write(replace(template, deleted_ms=self._now_ms(), published=None))
            await self._publish_audit(caller, "template_deleted", template)
            await self._redis.call(
                "HDEL", TEMPLATES, *[field_of(name, n) for n in (None, *range(1, template.latest + 1))]
            )

    async def preview(self, caller: Caller, name: str, wanted: TemplatePreview) -> TemplatePreviewAnswer:
        """Return what would be sent. Raises Refusal not_found, wrong_type."""
        template, version = await self.find(caller, name, wanted.version)
        known = {param.name for param in version.params}
        given = wanted.params or {}
        if unknown := sorted(set(given) - known):
            raise refuse_value("params", f"模板没有变量 {unknown[0]}", f"the template has no param {unknown[0]}")
        template_source = version.publish(template).find_source(wanted.method, wanted.language)
        if template_source is None:
            raise refuse_value(
                "method", f"模板没有 {wanted.method} 的内容", f"the template has none for {wanted.method}"
            )
        language, source = template_source
        params = {param.name: param.example for param in version.params if param.required} | given
        try:
            content = await self._renderer.render_one(source, params)
        except TemplateError as error:
            place = "params" if error.problem.line == 0 else f"languages.{language}.{wanted.method}"
            raise refuse_problem(place, error.problem) from error
        providers = {limit.name: limit for limit in await self._read_limits(wanted.method, [content])}
        texts = [
            _write_text(provider, entry, providers.get(provider), content.get("signature"), wanted.method)
            for provider, entry in content.get("providers", {}).items()
        ]
        return TemplatePreviewAnswer(version=version.version, language=language, content=content, texts=texts)

    async def run(self) -> None:
        """Publish the templates again wherever Redis lacks them, until cancelled."""
        problem = RecurringProblem(log, "templates_not_published")
        is_first = True  # what Redis has may be older than the table: of a restored backup
        while True:
            with problem.catch(RedisUnavailable, RedisRefused, DatabaseUnavailable):
                if is_first or not await self._redis.call("HEXISTS", TEMPLATES, ""):
                    async with self._writing() as rows:
                        await self._write_all(rows)
                is_first = False
            await asyncio.sleep(POLL_S)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[TemplateRows]:
        async with self._database.writing() as connection:
            rows = TemplateRows(connection)
            await rows.lock()
            yield rows

    async def _find_own(self, caller: Caller, name: str) -> tuple[Template, Version]:
        async with self._database.reading() as connection:
            return await _read_own(TemplateRows(connection), caller, name)

    async def _make_version(
        self, caller: Caller, name: str, category: Category, default: str, languages: Mapping[str, Any]
    ) -> Version:
        methods = {method for sources in languages.values() for method in sources} - {"smtp"}
        limits = {
            method: await self._read_limits(method, [of[method] for of in languages.values() if method in of])
            for method in methods
        }
        params = await self._checks.check(category, languages, limits)
        return Version(name, 0, category, default, languages, params, caller.username, self._now_ms())

    async def _read_limits(self, method: str, sources: Sequence[Mapping[str, Any]]) -> Sequence[ProviderLimits]:
        """Return what is known of the providers: by their settings, and by what they say of the sources' templates."""
        published = await self._redis.call("GET", route_limits_key(method))
        try:
            providers = RouteLimits.model_validate_json(published).providers if published else ()
        except ValidationError:  # of a newer sender, which checks it itself
            return ()
        fields = [field for source in sources for field in list_approved_fields(source)]
        if not fields:
            return providers
        approved = read_approved(fields, await self._redis.call("HMGET", approved_key(method), *fields))
        return [
            provider.model_copy(update={"limits": {**approved[provider.name], **(provider.limits or {})}})
            if provider.name in approved
            else provider
            for provider in providers
        ]

    async def _write(self, rows: TemplateRows, template: Template) -> None:
        """Write what is published of one template."""
        versions = await rows.list_versions(template.name, None, template.latest)
        words = [
            word
            for version in versions
            if version.published_ms is not None
            for word in _write_fields(template, version)
        ]
        if words:
            await self._redis.call("HSET", TEMPLATES, *words)

    async def _write_all(self, rows: TemplateRows) -> None:
        await self._redis.call("DEL", TEMPLATES)
        for template, version in await rows.list_published():
            await self._redis.call("HSET", TEMPLATES, *_write_fields(template, version))
        await self._redis.call("HSET", TEMPLATES, "", 1)

    async def _publish_audit(self, by: Caller, action: str, template: Template) -> None:
        at = datetime.fromtimestamp(self._now_ms() / 1_000, UTC)
        after = {"version": template.latest, "published": template.published, "shared": template.shared}
        change = make_change(by, action, template.name, at, after=after)
        await self._broker.publish(change.model_dump_json().encode(), self._broker.topology.new(CHANGE))


def _write_fields(template: Template, version: Version) -> list[str | bytes]:
    encoded = version.publish(template).encode()
    fields: list[str | bytes] = [field_of(template.name, version.version), encoded]
    return [*fields, field_of(template.name), encoded] if template.published == version.version else fields


async def _read_own(rows: TemplateRows, caller: Caller, name: str) -> tuple[Template, Version]:
    template = await rows.find(name)
    if template is None or template.deleted_ms is not None or not template.is_shown_to(caller):
        raise _not_found(name)
    if not template.is_owned_by(caller):
        raise refuse_role()
    last = await rows.find_version(name, template.latest)
    if last is None:
        raise _not_found(name)
    return template, last


def _write_text(
    provider: str, entry: Mapping[str, Any], limits: ProviderLimits | None, signature: str | None, method: str
) -> ProviderText:
    known = None if limits is None else (limits.limits or {}).get(entry["template"])
    if known is None or not known.text:
        return ProviderText(provider=provider, text=None, segments=None)
    text = fill_text(known, entry.get("variables", {}), f"【{signature}】" if signature else None)
    segments = count(text, [MAINLAND]).dearest if method == "sms" else None
    return ProviderText(provider=provider, text=text, segments=segments)


def _dump(languages: Mapping[str, Any]) -> Mapping[str, Any]:
    return {language: sources.model_dump(exclude_none=True) for language, sources in languages.items()}


def _not_found(what: str) -> Refusal:
    return Refusal("not_found", what=what)
