"""GET /api/v2/status: what runs, and what is wrong; the worst first."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from starlette.responses import JSONResponse

from imsg_channels import METHODS
from imsg_contract.findings import Finding, Replica, Sentence
from imsg_contract.provider_accounts import AccountState, Attention, ProviderTrouble
from imsg_contract.topology import REPLICAS, attention_key
from imsg_gateway.status_findings import APPS, check_broker, check_channel, check_databases, check_redis, check_replicas
from imsg_testing.gateway import RunningGateway, run_gateway
from imsg_testing.servers import Valkey
from imsg_testing.waiting import eventually

SHANGHAI = ZoneInfo("Asia/Shanghai")
BACKUP = Finding(part="backup", level="fault", state=Sentence(zh="已逾期", en="overdue"))


def make_replica(service: str, name: str = "host:1", *unmet: str, version: str = "1") -> Replica:
    return Replica(
        service=service, replica=name, version=version, since=datetime(2026, 11, 29, tzinfo=UTC), unmet=unmet
    )


ALL = [make_replica(service) for service in sorted((*APPS, *METHODS))]


def test_services_without_a_replica_are_faults_and_those_without_a_store_too() -> None:
    assert {finding.level for finding in check_replicas(ALL, METHODS)} == {"well"}

    replicas = [replica for replica in ALL if replica.service not in {"catalog", "history", "auth"}]
    replicas += [make_replica("history", "a:1", "database"), make_replica("auth", "a:1", "redis"), make_replica("auth")]
    findings = {finding.name: finding for finding in check_replicas(replicas, METHODS)}
    assert {name for name, finding in findings.items() if finding.level == "fault"} == {"catalog", "history"}
    assert findings["auth"].level == "notice"  # another replica serves
    assert "a:1: database" in findings["history"].state.en


def test_two_versions_and_what_a_replica_found_are_shown_once() -> None:
    found = [replica.model_copy(update={"findings": (BACKUP,)}) for replica in ALL[:2]]
    findings = [*check_replicas([*found, *ALL[2:], make_replica("auth", "b:1", version="2")], METHODS)]

    assert findings.count(BACKUP) == 1
    (version,) = (finding for finding in findings if finding.part == "version")
    assert (version.level, version.state.en) == ("notice", "1 and 2 run at once")


def test_an_alarm_and_a_full_redis_are_faults() -> None:
    assert (check_broker(None).level, check_redis("").level) == ("well", "well")
    broker, redis = check_broker("low on disk"), check_redis("OOM")
    assert (broker.level, redis.level) == ("fault", "fault")
    assert "low on disk" in broker.state.zh
    assert "OOM" in redis.state.zh


def test_each_database_has_a_row() -> None:
    with_databases = [
        replica.model_copy(update={"conditions": ("broker", "database"), "unmet": unmet})
        for replica, unmet in (
            (make_replica("auth"), ()),
            (make_replica("history", "a:1"), ("database",)),
            (make_replica("history", "b:1"), ()),
            (make_replica("scheduler"), ("database",)),
        )
    ]
    findings = {finding.name: finding for finding in check_databases([*with_databases, make_replica("smtp")])}

    assert {name: finding.level for name, finding in findings.items()} == {
        "auth": "well", "history": "notice", "scheduler": "fault",
    }  # fmt: skip
    assert "a:1" in findings["history"].state.zh
    assert "b:1" not in findings["history"].state.zh
    assert findings["scheduler"] in list(check_replicas(with_databases, METHODS))


OPEN = {"method": "sms", "state": "open", "why": None, "until": None, "waiting": 3, "consumers": 2, "late_s": 0}


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [
        ({}, "well", "open, by main; consumers 2; 3 (bulk 3) wait"),
        ({"state": "paused", "why": "moving"}, "fault", "paused: moving; 3 wait"),
        ({"state": "paused", "why": "moving", "waiting": None}, "fault", "paused: moving"),
        (
            {"state": "blocked", "why": "余额不足", "until": "2026-11-26T10:05:00Z"},
            "fault",
            "blocked until 11-26 18:05 +0800: 余额不足; 3 wait",
        ),
        ({"consumers": 0}, "fault", "no sender consumes it; 3 wait"),
        ({"waiting": 1_234}, "notice", "a backlog: 1,234 wait"),
        ({"late_s": 600}, "fault", "10 minutes late"),
        ({"why": "no provider is configured: add one", "providers": []}, "well", "no provider"),
        ({"providers": [{"name": "main", "state": "blocked", "why": "isp.LIMIT"}]}, "notice", "main: isp.LIMIT"),
    ],
)
def test_a_channel_is_judged_by_the_worst_of_it(change: dict[str, object], level: str, words: str) -> None:
    providers = [{"name": "main", "state": "open", "why": None}]
    finding = check_channel({**OPEN, "lanes": {"priority": 0, "bulk": 3}, "providers": providers, **change}, SHANGHAI)

    assert finding.level == level
    assert words in finding.state.en
    assert (finding.remedy is None) == (level == "well")


async def test_the_worst_comes_first_in_the_language_of_the_request(gateway: RunningGateway) -> None:
    token = await gateway.user(role="auditor")
    now_s, _ = await gateway.redis.call("TIME")
    smtp = make_replica("smtp").model_copy(update={"at_s": int(now_s) + 600, "findings": (BACKUP,)})
    gone = make_replica("sms").model_copy(update={"at_s": int(now_s) - 3_600})
    await gateway.redis.call("HSET", REPLICAS, "smtp host:1", smtp.model_dump_json(), "sms x", gone.model_dump_json())

    kept = {"buckets": [], "dead": [{"id": "x"}], "next": None}
    gateway.history.answer = JSONResponse({"errorCode": 0, "errorMessage": "OK", **kept})
    answer = (await gateway.client.get("/api/v2/status", params={"token": token})).json()

    assert answer["level"] == "fault"
    assert [replica["service"] for replica in answer["replicas"] if replica["service"] in METHODS] == ["smtp"]
    levels = [finding["level"] for finding in answer["findings"]]
    assert levels == sorted(levels, key=["fault", "notice", "well"].index)
    rows = {(finding["part"], finding["name"]): finding for finding in answer["findings"]}
    assert [finding["state"] for finding in answer["findings"] if finding["part"] == "backup"] == ["已逾期"]
    assert rows["disk", ""]["state"].startswith("/ 可用")
    assert "dead-letters" in rows["dead_letters", ""]["remedy"]
    assert rows["service", "sender-smtp"]["level"] == "well"
    assert rows["service", "sender-sms"]["state"] == "没有运行中的副本"
    english = await gateway.client.get("/api/v2/status", params={"token": token}, headers={"accept-language": "en"})
    assert "no replica runs" in {finding["state"] for finding in english.json()["findings"]}


async def test_a_service_the_gateway_cannot_reach_is_a_fault_though_its_replicas_report_ready(
    gateway: RunningGateway,
) -> None:
    token = await gateway.user(role="auditor")
    now_s, _ = await gateway.redis.call("TIME")
    ready = [replica.model_copy(update={"at_s": int(now_s) + 600}) for replica in ALL]
    for replica in ready:
        await gateway.redis.call("HSET", REPLICAS, f"{replica.service} x", replica.model_dump_json())

    kept: dict[str, object] = {"errorCode": 0, "errorMessage": "OK", "buckets": [], "dead": [], "next": None}
    gateway.history.answer = JSONResponse(kept)

    async def find() -> dict[str, tuple[str, str]]:
        english = {"accept-language": "en"}
        answer = await gateway.client.get("/api/v2/status", params={"token": token}, headers=english)
        rows = [finding for finding in answer.json()["findings"] if finding["part"] == "service"]
        assert len({finding["name"] for finding in rows}) == len(rows), "a service is there twice"
        return {finding["name"]: (finding["level"], finding["state"]) for finding in rows}

    assert {level for name, (level, _) in (await find()).items() if name in {"history", "scheduler"}} == {"well"}

    # Another service answers where history should be: a name that leads astray, or a mistyped URL.
    gateway.history.answer = JSONResponse({**kept, "service": "catalog"})
    gateway.scheduler.answer = JSONResponse({}, 502)
    found = await find()

    assert found["history"] == ("fault", "catalog answers at its URL")
    assert found["scheduler"] == ("fault", "answers HTTP 502")
    assert found["catalog"][0] == "well"


async def test_users_do_not_see_it(gateway: RunningGateway) -> None:
    answer = await gateway.client.get("/api/v2/status", params={"token": await gateway.user()})

    assert answer.json()["reason"] == "no_right"


async def test_a_provider_is_named_with_its_channel(gateway: RunningGateway) -> None:
    token = await gateway.user(role="admin")
    trouble = ProviderTrouble(code="login", zh="拒绝登录", en="refuses the log-in")
    found = (Attention(since=datetime(2026, 11, 29, tzinfo=UTC), trouble=trouble),)
    state = AccountState(at=0, digest="", found=found)
    await gateway.redis.call("HSET", attention_key("smtp"), "stale", state.model_dump_json())
    gateway.history.report_nothing()
    answer = await gateway.client.get("/api/v2/status", params={"token": token})

    (row,) = (finding for finding in answer.json()["findings"] if finding["part"] == "provider")
    assert (row["title"], row["state"], row["level"]) == ("服务商 stale（邮件）", "拒绝登录", "fault")


async def test_the_metrics_show_what_is_wrong_for_as_long_as_it_is(gateway: RunningGateway) -> None:
    trouble = ProviderTrouble(code="balance_low", zh="余额不足", en="the balance is low")
    found = (Attention(since=datetime(2026, 11, 29, tzinfo=UTC), trouble=trouble),)
    state = AccountState(at=0, digest="", found=found)
    line = 'imsg_finding{level="fault",name="sms main",part="provider"} 1.0'

    async def is_shown() -> bool:
        return line in (await gateway.client.get("/metrics")).text

    async def is_gone() -> bool:
        return not await is_shown()

    await gateway.redis.call("HSET", attention_key("sms"), "main", state.model_dump_json())
    await eventually(is_shown)
    assert 'level="well"' not in (await gateway.client.get("/metrics")).text
    await gateway.redis.call("DEL", attention_key("sms"))
    await eventually(is_gone)


async def test_without_redis_the_metrics_show_the_disk_and_nothing_that_only_redis_knows() -> None:
    """A full disk may be what ends Redis: its alert goes on. No alert goes by what was true before."""
    with Valkey() as store:
        async with run_gateway(store.url, public_url="http://imsg.example.com", disk_free_gib=1_000_000) as gateway:

            async def shows(*parts: str) -> bool:
                metrics = (await gateway.client.get("/metrics")).text
                found = set(re.findall(r'^imsg_finding\{.*part="(\w+)"\} 1\.0$', metrics, re.MULTILINE))
                assert f"\nimsg_findings_complete {float('backup' in found)}\n" in metrics
                return found - {"service", "database"} == set(parts)

            await eventually(lambda: shows("backup", "disk"))
            store.stop()
            await eventually(lambda: shows("redis", "disk"))
            store.start()
            await eventually(lambda: shows("backup", "disk"))


async def test_without_a_broker_the_rest_is_shown_and_the_broker_is_a_fault(store_url: str) -> None:
    with Valkey() as queues:
        async with run_gateway(store_url, broker_url=queues.url) as gateway:
            token = await gateway.user(role="admin")
            gateway.history.report_nothing()
            queues.stop()
            answer = (await gateway.client.get("/api/v2/status", params={"token": token})).json()
            queues.start()

    rows = {finding["part"]: finding for finding in answer["findings"]}
    assert rows["broker"]["level"] == "fault"
    assert "channel" not in rows
    assert rows["redis"]["level"] == "well"
