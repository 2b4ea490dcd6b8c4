"""Templates and their versions in the database."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Select, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_catalog.tables import TEMPLATE_VERSIONS as VERSIONS
from imsg_catalog.tables import TEMPLATES
from imsg_contract.templates import PublishedTemplate, TemplateParam
from imsg_contract.wire import Category
from imsg_web.callers import Caller

LOCK = zlib.crc32(b"imsg templates")
"""PostgreSQL's advisory lock for changing and publishing templates, so that they are published in order."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template, apart from its versions."""

    name: str
    user_id: str
    username: str
    shared: bool
    latest: int
    published: int | None
    created_ms: int
    deleted_ms: int | None = None

    def is_shown_to(self, caller: Caller) -> bool:
        """Return whether a user may see it and send by it."""
        return self.shared or self.is_owned_by(caller) or caller.sees_all

    def is_owned_by(self, caller: Caller) -> bool:
        """Return whether a user may change it."""
        return self.user_id == caller.user_id or caller.is_admin


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a template."""

    name: str
    version: int
    category: Category
    default_language: str
    languages: Mapping[str, Mapping[str, Mapping[str, Any]]]
    params: tuple[TemplateParam, ...]
    username: str
    updated_ms: int
    published_ms: int | None = None

    def publish(self, template: Template) -> PublishedTemplate:
        """Return it as the gateways read it."""
        return PublishedTemplate(
            name=self.name,
            version=self.version,
            user_id=template.user_id,
            shared=template.shared,
            category=self.category,
            default_language=self.default_language,
            languages={language: {**methods} for language, methods in self.languages.items()},
            params=self.params,
        )


class TemplateRows:
    """The statements of one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock(self) -> None:
        """Lock out other writers until the transaction ends."""
        if self._connection.dialect.name == "postgresql":  # SQLite has one writer anyway
            await self._connection.execute(select(func.pg_advisory_xact_lock(LOCK)))

    async def find(self, name: str) -> Template | None:
        """Read a template, also one that was deleted."""
        rows = await self._read(select(TEMPLATES).where(TEMPLATES.c.name == name))
        return rows[0] if rows else None

    async def page(self, caller: Caller, after: str, limit: int) -> list[Template]:
        """Read the templates that a user may see, by their names."""
        table = TEMPLATES.c
        query = select(TEMPLATES).where(table.deleted_ms.is_(None), table.name > after)
        if not caller.sees_all:
            query = query.where((table.shared == 1) | (table.user_id == caller.user_id))
        return await self._read(query.order_by(table.name).limit(limit))

    async def count(self, user_id: str) -> int:
        """Count a user's templates."""
        query = select(func.count()).where(TEMPLATES.c.user_id == user_id, TEMPLATES.c.deleted_ms.is_(None))
        return int((await self._connection.execute(query.select_from(TEMPLATES))).scalar_one())

    async def write(self, template: Template) -> None:
        """Insert or replace a template."""
        values = {name: getattr(template, name) for name in Template.__slots__} | {"shared": int(template.shared)}
        where = TEMPLATES.c.name == template.name
        if not (await self._connection.execute(update(TEMPLATES).where(where).values(values))).rowcount:
            await self._connection.execute(insert(TEMPLATES).values(values))

    async def find_version(self, name: str, version: int) -> Version | None:
        """Read a version."""
        versions = await self.find_versions([(name, version)])
        return versions[0] if versions else None

    async def find_versions(self, names: Sequence[tuple[str, int]]) -> list[Version]:
        """Read versions by their names and numbers."""
        versions = []
        for name, version in names:
            query = select(VERSIONS).where(VERSIONS.c.name == name, VERSIONS.c.version == version)
            versions += await self._read_versions(query)
        return versions

    async def list_versions(self, name: str, before: int | None, limit: int) -> list[Version]:
        """Read a page of a template's versions, the newest first."""
        query = select(VERSIONS).where(VERSIONS.c.name == name).order_by(VERSIONS.c.version.desc()).limit(limit)
        return await self._read_versions(query if before is None else query.where(VERSIONS.c.version < before))

    async def write_version(self, version: Version) -> None:
        """Insert or replace a version."""
        values = {name: getattr(version, name) for name in Version.__slots__}
        values |= {
            "category": version.category.value,
            "languages": json.dumps(version.languages, ensure_ascii=False),
            "params": json.dumps([param.model_dump() for param in version.params], ensure_ascii=False),
        }
        where = (VERSIONS.c.name == version.name, VERSIONS.c.version == version.version)
        if not (await self._connection.execute(update(VERSIONS).where(*where).values(values))).rowcount:
            await self._connection.execute(insert(VERSIONS).values(values))

    async def list_published(self) -> list[tuple[Template, Version]]:
        """Read every version that was ever published, of the templates that are there."""
        templates = {
            template.name: template
            for template in await self._read(select(TEMPLATES).where(TEMPLATES.c.deleted_ms.is_(None)))
        }
        versions = await self._read_versions(select(VERSIONS).where(VERSIONS.c.published_ms.is_not(None)))
        return [(templates[version.name], version) for version in versions if version.name in templates]

    async def _read(self, query: Select[Any]) -> list[Template]:
        rows = (await self._connection.execute(query)).mappings()
        return [replace(Template(**row), shared=bool(row["shared"])) for row in rows]

    async def _read_versions(self, query: Select[Any]) -> list[Version]:
        rows = (await self._connection.execute(query)).mappings()
        return [
            Version(
                **{
                    **row,
                    "category": Category(row["category"]),
                    "languages": json.loads(row["languages"]),
                    "params": tuple(TemplateParam.model_validate(param) for param in json.loads(row["params"])),
                }
            )
            for row in rows
        ]
