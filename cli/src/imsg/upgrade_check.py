"""`imsg upgrade-check`: what to do before an upgrade to this version, the most urgent first."""

import asyncio
import shutil
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
from sqlalchemy import URL, text

from imsg import all_in_one, backup
from imsg.all_in_one import Settings
from imsg.backup_schedule import find_newest
from imsg.doctor.checks import run_checks
from imsg.findings import TIMEOUT_S, Finding, Translate, print_findings, sort_findings
from imsg.migrating import find_url
from imsg.table_owners import TABLE_OWNERS
from imsg_broker.rabbitmq.address import parse
from imsg_database.address import is_sqlite, read_url
from imsg_database.engines import DatabaseOptions, open_engine
from imsg_database.migrate import ADDING_DIGITS, read_version
from imsg_database.unavailable import DatabaseUnavailable, translate
from imsg_runtime import redis, unknown_settings
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_runtime.settings import StartError, load

RECENT = timedelta(days=1)
"""How old a backup may be before an upgrade."""

OLDEST = {"PostgreSQL": 15, "RabbitMQ": 4, "Redis": 7}
"""The oldest major version of each store on which iMSG is tested."""

OPTIONS = DatabaseOptions("imsg-upgrade-check", pool=1)


def main(template: str | None, folder: Path, copy: Path | None, translate_text: Translate) -> int:
    """Print the findings; return 0 where nothing has to be done, 1 where something has to.

    `template` says where the services' databases are, as for `imsg migrate`; without it they are this machine's.
    `copy` is a backup that was made by hand.
    """
    try:
        settings = load(Settings)
        urls = _find_urls(settings, template, folder)
    except StartError as error:
        return print_findings([Finding("settings", "wrong", error.line)])
    check = UpgradeCheck(settings, urls, translate_text)
    findings = [*check.check_tables(), *check.check_settings(is_whole=template is None), *check.check_room()]
    findings += [
        *check.check_backup(copy),
        *asyncio.run(run_checks([("stores", check.check_stores)])),
        *check.check_rights(),
    ]
    return print_findings(sort_findings(findings))


def _find_urls(settings: Settings, template: str | None, folder: Path) -> Mapping[str, URL]:
    """Return where each service's tables are. Raises StartError."""
    if template is not None:
        return {owner.name: find_url(template, owner.name, folder) for owner in TABLE_OWNERS}
    if settings.database_url:
        return {owner.name: read_url(settings.database_url) for owner in TABLE_OWNERS}
    files = {owner.name: owner.find_file(settings.data_dir) for owner in TABLE_OWNERS}
    return {name: URL.create("sqlite", database=str(file)) for name, file in files.items()}


class UpgradeCheck:
    """The checks of one installation."""

    def __init__(self, settings: Settings, urls: Mapping[str, URL], text_in: Translate) -> None:
        self._settings = settings
        self._urls = urls
        self._in = text_in

    def check_tables(self) -> Iterator[Finding]:
        """Compare the migrations that the tables have with those of this version."""
        part = self._in("数据表", "tables")
        for owner in TABLE_OWNERS:
            head = owner.migrations.head
            try:
                version = read_version(self._urls[owner.name], owner.migrations)
            except DatabaseUnavailable as error:
                remedy = self._in("请确认数据库在运行。", "See that the database runs.")
                yield Finding(part, f"{owner.name}: {error}", remedy)
                continue
            yield self._check_version(f"{part} {owner.name}", version, head)

    def _check_version(self, part: str, version: str | None, head: str) -> Finding:
        if version is None:
            return Finding(part, self._in("还没有，首次启动时创建", "none yet; the first start makes them"))
        if version == head:
            return Finding(part, self._in(f"迁移 {head}，无需变更", f"migration {head}; nothing changes"))
        step = f"{version} → {head}"
        if version[:-ADDING_DIGITS] == head[:-ADDING_DIGITS]:
            zh, en = f"迁移 {step}，只增加，可以退回", f"migrations {step} only add; the way back stays open"
            return Finding(part, self._in(zh, en))
        if version > head:
            zh, en = (
                f"已是 {version}，此版本（{head}）无法使用",
                f"at {version}, on which this version ({head}) can't work",
            )
            return Finding(part, self._in(zh, en), self._in("请安装更新的版本。", "Install the later version."))
        zh, en = f"迁移 {step} 会删除内容，旧版本此后无法使用", f"migrations {step} take something away"
        remedy = self._in("升级前备份：退回只能靠备份。", "Make a backup right before: it is the only way back.")
        return Finding(part, self._in(zh, en), remedy)

    def check_settings(self, *, is_whole: bool) -> Iterator[Finding]:
        """Find settings that this version does not read, or does not take; `is_whole`: all services' are here."""
        part = self._in("设置", "settings")
        unknown = unknown_settings.find(all_in_one.MODELS)
        for setting in unknown:
            zh = f"请改用 {setting.nearest}。" if setting.nearest else "请删除。"
            yield Finding(
                part,
                self._in(f"此版本不读取 {setting.name}", f"this version does not read {setting.name}"),
                self._in(zh, setting.remedy),
            )
        folder = self._settings.data_dir
        if is_whole and (folder / all_in_one.SECRETS).is_dir():
            try:
                all_in_one.make(all_in_one.prepare(self._settings, folder, self._settings.redis_url or "redis://"))
            except StartError as error:
                yield Finding(part, self._in("有一项不被接受", "one is refused"), error.line)
                return
        if not unknown:
            yield Finding(part, self._in("都能识别", "all are known"))

    def check_room(self) -> Iterator[Finding]:
        """Check that a backup and a rewrite of the largest table fit on the disk."""
        folder = self._settings.data_dir
        if not folder.exists():
            return
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        free = shutil.disk_usage(folder).free
        zh = f"剩余 {free / 1024**3:,.1f} GiB，数据 {size / 1024**3:,.1f} GiB"
        en = f"{free / 1024**3:,.1f} GiB are free, the data has {size / 1024**3:,.1f}"
        remedy = self._in(
            "请腾出数据两倍的空间。", "Make room for twice the data: a backup, and what migrations rewrite."
        )
        yield Finding(self._in("磁盘", "disk"), self._in(zh, en), "" if free >= 2 * size else remedy)

    def check_backup(self, copy: Path | None) -> Iterator[Finding]:
        """Check that there is a backup of the last 24 hours."""
        part, zone = self._in("备份", "backup"), ZoneInfo(self._settings.timezone)
        elsewhere = backup.list_elsewhere(self._settings)
        if elsewhere and copy is None:
            named = ", ".join(elsewhere)
            zh, en = f"{named} 的数据由您自己备份", f"what {named} names is backed up by its own tools"
            yield Finding(part, self._in(zh, en), level="notice")
            return
        remedy = self._in(
            "运行 `imsg backup 目录`，或用 --backup 指明备份。", "Run `imsg backup FOLDER`, or name one by --backup."
        )
        folder = self._settings.backup.folder
        try:
            made = find_newest(folder, zone) if folder is not None else None
            named_at = None if copy is None else datetime.fromtimestamp(copy.stat().st_mtime, zone)
        except OSError:
            made = named_at = None
        newest = max((at for at in (made, named_at) if at is not None), default=None)
        if newest is None:
            yield Finding(part, self._in("没有找到备份", "none was found"), remedy)
            return
        state = self._in(f"最近一份在 {newest:%Y-%m-%d %H:%M %z}", f"the newest is of {newest:%Y-%m-%d %H:%M %z}")
        yield Finding(part, state, "" if datetime.now(zone) - newest <= RECENT else remedy)

    async def check_stores(self) -> list[Finding]:
        """Check the versions of stores that are not embedded."""
        findings = []
        for name, version in (
            ("PostgreSQL", await self._read_postgres_version()),
            ("Redis", await self._read_redis_version()),
            ("RabbitMQ", await self._read_rabbitmq_version()),
        ):
            if version is None:
                continue
            if not version:
                unknown = self._in("没有说明版本", "does not say its version")
                findings.append(Finding(name, unknown, level="notice"))
                continue
            zh, en = f"请升级到 {OLDEST[name]} 或更新的版本。", f"Upgrade it to {OLDEST[name]} or later."
            is_old = int(version.partition(".")[0]) < OLDEST[name]
            findings.append(Finding(name, version, self._in(zh, en) if is_old else ""))
        return findings

    async def _read_postgres_version(self) -> str | None:
        """Return the version; None where the files are SQLite's, empty where it does not answer."""
        url = next(iter(self._urls.values()))
        if is_sqlite(url):
            return None
        try:
            with translate():
                async with open_engine(url, OPTIONS) as engine, engine.connect() as connection:
                    return str(await connection.scalar(text("SHOW server_version"))).partition(" ")[0]
        except DatabaseUnavailable:
            return ""

    async def _read_redis_version(self) -> str | None:
        if not self._settings.redis_url:
            return None
        try:
            async with redis.connect(self._settings.redis_url) as server:
                info = (await server.call("INFO", "server")).decode()
        except (RedisUnavailable, RedisRefused):
            return ""
        lines = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
        return lines.get("valkey_version") or lines.get("redis_version") or ""

    async def _read_rabbitmq_version(self) -> str | None:
        if not self._settings.broker_url.startswith("amqp"):
            return None
        address = parse(self._settings.broker_url)
        overview = httpx.URL(address.management(address.hosts[0])).copy_with(path="/api/overview")
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
                answer = await client.get(overview, auth=(address.username, address.password))
            return str(answer.json().get("rabbitmq_version", ""))
        except (httpx.HTTPError, ValueError):
            return ""

    def check_rights(self) -> Iterator[Finding]:
        """Remind of the services' rights at stores that are not embedded."""
        part = self._in("权限", "rights")
        if not (self._settings.redis_url or self._settings.broker_url):
            yield Finding(part, self._in("内置存储，不需要", "the stores are embedded; none are needed"))
            return
        zh = "各服务有独立账号时，先运行 `imsg rights redis 目录 --apply` 和 `imsg rights rabbitmq 目录 --apply`"
        en = "where services have users of their own, first run `imsg rights redis FOLDER --apply`, and for rabbitmq"
        yield Finding(part, self._in(zh, en), level="notice")
