"""Asks SMS providers what they have of an account: its signatures, its templates, and what is left to send."""

import asyncio
import base64
import json
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import quote, urljoin, urlsplit

from imsg_contract.provider_accounts import Filing, ProviderEntry, Review, Words
from imsg_sms.http_settings import Http, HttpCheck
from imsg_sms.providers import aliyun_signature, tencent_signature, volcengine_signature
from imsg_sms.providers.http_calls import HttpCalls
from imsg_sms.providers.http_reading import at
from imsg_sms.providers.meanings import BEIJING
from imsg_sms.settings import Aliyun, AnyAccount, Tencent, Twilio, Volcengine
from imsg_web.http_pool import HttpPool

MAX_PAGES = 40
MAX_DETAIL = 300
AT_ONCE = 8

BOUGHT_WITHIN = timedelta(days=3 * 365)
"""The period of SmsPackagesStatistics, by date of purchase, which lists at most MAX_PACKAGES
(tencentcloud-sdk-python-sms 3.1.153). No package is valid for longer."""
MAX_PACKAGES = 500

_VARIABLE = re.compile(r"\$?\{([^{}]+)\}")

JsonObject = Mapping[str, Any]


class AccountRefused(Exception):  # noqa: N818  an answer
    """The provider does not take the call; the text is its code and its words."""

    def __init__(self, code: object, message: object = "") -> None:
        super().__init__(f"{code} {message}".strip())
        self.code = str(code)


@dataclass(frozen=True, slots=True)
class Left:
    """What an account has left: money, or messages of its packages."""

    amount: float
    bought: float | None
    """Of packages: how many were bought."""
    text: str


class AccountApi(Protocol):
    """What a provider can be asked about an account.

    Every method raises AccountRefused, NotSent and NoAnswer. Lists are None where the provider has no call for them.
    With `wanted`, those alone are asked for; one that is not in the answer is unknown there.
    """

    async def list_signatures(self, wanted: Collection[str] | None = None) -> Sequence[ProviderEntry] | None:
        """Return the signatures, with their filing where the provider says it."""

    async def list_templates(self, wanted: Collection[str] | None = None) -> Sequence[ProviderEntry] | None:
        """Return the templates."""

    async def read_left(self) -> Left | None:
        """Return what is left; None where the provider has no call for it."""


def make_account_api(account: AnyAccount, pool: HttpPool) -> AccountApi | None:
    """Return how to ask an account's provider; None for one that has no such call."""
    match account:
        case Aliyun():
            return AliyunAccount(account, pool)
        case Tencent():
            return TencentAccount(account, pool)
        case Volcengine():
            return VolcengineAccount(account, pool)
        case Twilio():
            return TwilioAccount(account, pool)
        case Http(check=HttpCheck() as call):
            return DescribedAccount(account, call, pool)
    return None


CARRIERS: Mapping[str, Words] = {
    "mobile": Words(zh="中国移动", en="China Mobile"),
    "unicom": Words(zh="中国联通", en="China Unicom"),
    "telecom": Words(zh="中国电信", en="China Telecom"),
}

FILINGS: Mapping[Filing, Words] = {
    "failed": Words(zh="报备失败", en="filing failed"),
    "lapsed": Words(zh="报备已失效", en="filing has lapsed"),
    "unfiled": Words(zh="未报备", en="not filed"),
    "filing": Words(zh="报备中", en="being filed"),
    "filed": Words(zh="已报备", en="filed"),
}
"""The worst first: a signature is what it is at the carrier where it is worst."""


def _judge_filing(by_carrier: Mapping[str, tuple[Filing, str]]) -> tuple[Filing | None, Words | None]:
    """Return the filing of a signature, and its reasons by carriers."""
    worst = next((filing for filing in FILINGS if any(one == filing for one, _ in by_carrier.values())), None)
    open_ = {carrier: found for carrier, found in by_carrier.items() if found[0] != "filed"}
    if not open_:
        return worst, None

    def describe(language: str, separator: str) -> str:
        parts = (
            " ".join(filter(None, (getattr(CARRIERS[carrier], language), getattr(FILINGS[filing], language), why)))
            for carrier, (filing, why) in open_.items()
        )
        return separator.join(parts)

    return worst, Words(zh=describe("zh", "；"), en=describe("en", "; "))


def _say(text: object) -> Words | None:
    """Return a provider's own words; None where there are none."""
    words = str(text or "").strip()
    return Words(zh=words, en=words) if words and words not in {"无审核备注", "通过"} else None


class AliyunAccount:
    """An account at Alibaba Cloud."""

    REVIEWS: Mapping[object, Review] = {
        0: "reviewing", 1: "approved", 2: "rejected", 10: "withdrawn",
        "AUDIT_STATE_INIT": "reviewing", "AUDIT_STATE_PASS": "approved", "AUDIT_STATE_NOT_PASS": "rejected",
        "AUDIT_STATE_CANCEL": "withdrawn", "AUDIT_SATE_CANCEL": "withdrawn",
    }  # fmt: skip
    """SignStatus, TemplateStatus and AuditStatus (alibabacloud-dysmsapi20170525 4.6.0, misspelling included)."""

    REGISTERED: Mapping[object, Filing] = {
        0: "failed", 1: "filed", 2: "lapsed", 3: "filed", -1: "filing", -2: "unfiled",
    }  # fmt: skip
    """RegisterStatus of GetSmsSign; 1 is filed, and not yet confirmed by messages sent."""

    PAGE_SIZE = 50
    UNKNOWN = frozenset({"isv.SMS_TEMPLATE_ILLEGAL", "isv.SMS_SIGNATURE_ILLEGAL", "isv.SMS_SIGN_ILLEGAL"})

    def __init__(self, account: Aliyun, pool: HttpPool) -> None:
        self._account = account
        self._pool = pool

    async def list_signatures(self, wanted: Collection[str] | None = None) -> Sequence[ProviderEntry] | None:
        """Call QuerySmsSignList for the names, and GetSmsSign for each, which alone tells the filing."""
        if wanted is None:
            rows = await self._list("QuerySmsSignList", "SmsSignList")
            wanted = [str(row["SignName"]) for row in rows if row.get("SignName")]
        return await self._find_each(wanted, self._find_signature)

    async def list_templates(self, wanted: Collection[str] | None = None) -> Sequence[ProviderEntry] | None:
        """Call QuerySmsTemplateList, or QuerySmsTemplate for each that is wanted."""
        if wanted is not None:
            return await self._find_each(wanted, self._find_template)
        rows = await self._list("QuerySmsTemplateList", "SmsTemplateList")
        return [
            _make_template(
                row.get("TemplateCode"),
                row.get("TemplateContent"),
                self.REVIEWS.get(row.get("AuditStatus")),
                _say(_read_object(row.get("Reason")).get("RejectInfo")),
            )
            for row in rows
        ]

    async def read_left(self) -> Left | None:
        """Return nothing: the balance is told by another service of Alibaba Cloud, with rights of its own."""
        return None

    async def _find_each(self, wanted: Collection[str], find: Any) -> Sequence[ProviderEntry]:  # noqa: ANN401
        slots = asyncio.Semaphore(AT_ONCE)

        async def find_one(name: str) -> ProviderEntry | None:
            async with slots:
                try:
                    found: ProviderEntry | None = await find(name)
                except AccountRefused as error:
                    if error.code in self.UNKNOWN:
                        return None
                    raise
                return found

        return [entry for entry in await asyncio.gather(*map(find_one, sorted(wanted))) if entry is not None]

    async def _find_signature(self, name: str) -> ProviderEntry:
        body = await self._call("GetSmsSign", {"SignName": name})
        by_carrier = {
            str(row.get("OperatorCode")): (self.REGISTERED[row.get("RegisterStatus")], _join_reasons(row))
            for row in _read_objects(body.get("SignIspRegisterDetailList"))
            if row.get("OperatorCode") in CARRIERS and row.get("RegisterStatus") in self.REGISTERED
        }
        filing, why = _judge_filing(by_carrier)
        rejected = _say(_read_object(body.get("AuditInfo")).get("RejectInfo"))
        review = self.REVIEWS.get(body.get("SignStatus"), "unknown")
        return ProviderEntry(id=name, text=name, review=review, filing=filing, reason=rejected or why)

    async def _find_template(self, code: str) -> ProviderEntry:
        body = await self._call("QuerySmsTemplate", {"TemplateCode": code})
        review = self.REVIEWS.get(body.get("TemplateStatus", 1))
        return _make_template(code, body.get("TemplateContent"), review, _say(body.get("Reason")))

    async def _list(self, action: str, field: str) -> list[JsonObject]:
        rows: list[JsonObject] = []
        for page in range(1, MAX_PAGES + 1):
            body = await self._call(action, {"PageIndex": str(page), "PageSize": str(self.PAGE_SIZE)})
            found = _read_objects(body.get(field))
            rows += found
            if len(found) < self.PAGE_SIZE:
                break
        return rows

    async def _call(self, action: str, parameters: Mapping[str, str]) -> JsonObject:
        parts = urlsplit(self._account.endpoint)
        host, path = parts.netloc.rpartition("@")[2], parts.path or "/"
        request = aliyun_signature.Request("POST", host, action, "2017-05-25", parameters, path=path)
        signed = aliyun_signature.headers(
            request,
            self._account.access_key_id,
            self._account.access_key_secret.get_secret_value(),
            now=datetime.now(UTC),
            nonce=secrets.token_hex(16),
        )
        url = f"{parts.scheme}://{host}{path}?{aliyun_signature.encode(parameters)}"
        body = _read((await self._pool.call("POST", url, {**signed, "accept": "application/json"}, b"")).content)
        if body.get("Code") != "OK":
            raise AccountRefused(body.get("Code"), body.get("Message"))
        return body


class TencentAccount:
    """An account at Tencent Cloud."""

    REVIEWS: Mapping[object, Review] = {0: "approved", 1: "reviewing", 2: "approved", -1: "rejected"}
    """StatusCode of signatures and templates; 2 is approved and not in force yet
    (tencentcloud-sdk-python-sms 3.1.153)."""

    PAGE_SIZE = 100

    def __init__(self, account: Tencent, pool: HttpPool) -> None:
        self._account = account
        self._pool = pool

    async def list_signatures(self, wanted: Collection[str] | None = None) -> Sequence[ProviderEntry] | None:
        """Call DescribeSmsSignList; the state of a signature includes its filing."""
        rows = await self._list("DescribeSmsSignList", "DescribeSignListStatusSet")
        if rows is None:
            return None
        entries = [self._read_signature(row) for row in rows]
        return [entry for entry in entries if wanted is None or entry.text in wanted]

    async def list_templates(self, wanted: Collection[str] | None = None) -> Sequence[ProviderEntry] | None:
        """Call DescribeSmsTemplateList for those that are wanted, or page by page."""
        if wanted is None:
            rows = await self._list("DescribeSmsTemplateList", "DescribeTemplateStatusSet")
        else:
            ids = [int(template) for template in sorted(wanted) if template.isascii() and template.isdecimal()]
            listed = await self._call("DescribeSmsTemplateList", {"International": 0, "TemplateIdSet": ids})
            rows = _read_objects(listed.get("DescribeTemplateStatusSet"))
        return [
            _make_template(
                row.get("TemplateId"),
                row.get("TemplateContent"),
                "reviewing" if row.get("StatusCode") == 2 else self.REVIEWS.get(row.get("StatusCode")),  # noqa: PLR2004
                _say(row.get("ReviewReply")),
            )
            for row in rows or ()
        ]

    async def read_left(self) -> Left | None:
        """Call SmsPackagesStatistics for the messages left in packages."""
        now = datetime.now(BEIJING)
        span = {"BeginTime": f"{now - BOUGHT_WITHIN:%Y%m%d%H}", "EndTime": f"{now:%Y%m%d%H}"}
        query = {"SmsSdkAppId": self._account.app_id, "Limit": MAX_PACKAGES, "Offset": 0, **span}
        packages = [
            (_read_whole(package.get("PackageAmount")), _read_whole(package.get("CurrentUsage")))
            for package in _read_objects(
                (await self._call("SmsPackagesStatistics", query)).get("SmsPackagesStatisticsSet")
            )
            if _read_whole(package.get("PackageExpiredTime")) > now.timestamp() or not package.get("PackageExpiredTime")
        ]
        if not packages:
            return None
        left, bought = sum(amount - used for amount, used in packages), sum(amount for amount, _ in packages)
        return Left(left, bought, f"{left:,} left in its packages")

    def _read_signature(self, row: JsonObject) -> ProviderEntry:
        state, reply = row.get("StatusCode"), _say(row.get("ReviewReply"))
        review = self.REVIEWS.get(state, "unknown")
        filing: Filing | None = {0: "filed", 2: "filing"}.get(state) if isinstance(state, int) else None  # type: ignore[assignment]
        if review == "rejected" and reply is not None and "报备" in reply.zh:
            review, filing = "approved", "failed"
        return ProviderEntry(
            id=str(row.get("SignId")), text=str(row.get("SignName") or ""), review=review, filing=filing, reason=reply
        )

    async def _list(self, action: str, field: str) -> list[JsonObject] | None:
        rows: list[JsonObject] = []
        for page in range(MAX_PAGES):
            asked = {"International": 0, "Limit": self.PAGE_SIZE, "Offset": page * self.PAGE_SIZE}
            body = await self._call(action, asked)
            if field not in body:
                return None
            found = _read_objects(body[field])
            rows += found
            if len(found) < self.PAGE_SIZE:
                break
        return rows

    async def _call(self, action: str, parameters: JsonObject) -> JsonObject:
        parts = urlsplit(self._account.endpoint)
        body = json.dumps(parameters).encode()
        host, path = parts.netloc.rpartition("@")[2], parts.path or "/"
        request = tencent_signature.Request(host, "sms", action, "2021-01-11", body, path)
        key = self._account.secret_key.get_secret_value()
        signed = tencent_signature.headers(
            request, self._account.secret_id, key, now=datetime.now(UTC), region=self._account.region
        )
        answer = await self._pool.call("POST", f"{parts.scheme}://{host}{path}", signed, body)
        response = _read(answer.content).get("Response")
        if not isinstance(response, dict):
            raise AccountRefused("its answer can't be read")
        if isinstance(error := response.get("Error"), dict):
            raise AccountRefused(error.get("Code"), error.get("Message"))
        return response


class VolcengineAccount:
    """An account at Volcengine."""

    REVIEWS: Mapping[object, Review] = {
        1: "reviewing", 2: "rejected", 3: "approved", 4: "withdrawn", 5: "approved",
    }  # fmt: skip
    """`status` of GetSignatureAndOrderList and GetSmsTemplateAndOrderList (volc-sdk-nodejs); 5 is exempted."""

    CARRIERS: Mapping[str, str] = {"cmcc": "mobile", "unicom": "unicom", "ct": "telecom"}
    PAGE_SIZE = 100

    def __init__(self, account: Volcengine, pool: HttpPool) -> None:
        self._account = account
        self._pool = pool

    async def list_signatures(self, wanted: Collection[str] | None = None) -> Sequence[ProviderEntry] | None:
        """Call GetSignatureAndOrderList. The numbers of `reportStatus` are not documented; `usable` is what counts."""
        entries = [self._read_signature(row) for row in await self._list("GetSignatureAndOrderList")]
        return [entry for entry in entries if wanted is None or entry.text in wanted]

    async def list_templates(self, wanted: Collection[str] | None = None) -> Sequence[ProviderEntry] | None:
        """Call GetSmsTemplateAndOrderList."""
        entries = [
            _make_template(
                row.get("templateId") or row.get("id"),
                row.get("content"),
                self.REVIEWS.get(row.get("status")),
                _say(row.get("reason")),
            )
            for row in await self._list("GetSmsTemplateAndOrderList", area="cn")
        ]
        return [entry for entry in entries if wanted is None or entry.id in wanted]

    async def read_left(self) -> Left | None:
        """Return nothing: there is no call for it."""
        return None

    def _read_signature(self, row: JsonObject) -> ProviderEntry:
        report, usable = _read_object(row.get("reportStatus")), row.get("usable")
        filing: Filing | None = None if not isinstance(usable, bool) else "filed" if usable else "unfiled"
        reasons = [
            (carrier, str(why))
            for field, carrier in self.CARRIERS.items()
            if (why := _read_object(report.get(field)).get("reason"))
        ]
        why = (
            _judge_filing({carrier: ("unfiled", text) for carrier, text in reasons})[1] if filing == "unfiled" else None
        )
        return ProviderEntry(
            id=str(row.get("id")),
            text=str(row.get("content") or ""),
            review=self.REVIEWS.get(row.get("status"), "unknown"),
            filing=filing,
            reason=why or _say(row.get("reason")),
        )

    async def _list(self, action: str, **more: str) -> list[JsonObject]:
        rows: list[JsonObject] = []
        for page in range(1, MAX_PAGES + 1):
            asked = {"subAccount": self._account.sms_account, "pageIndex": str(page), "pageSize": str(self.PAGE_SIZE)}
            found = _read_objects((await self._call(action, {**asked, **more})).get("list"))
            rows += found
            if len(found) < self.PAGE_SIZE:
                break
        return rows

    async def _call(self, action: str, parameters: Mapping[str, str]) -> JsonObject:
        parts = urlsplit(self._account.endpoint)
        host, path = parts.netloc.rpartition("@")[2], parts.path or "/"
        query = {"Action": action, "Version": "2021-01-11", **parameters}
        request = volcengine_signature.Request(host, query, b"", path, "GET")
        signed = volcengine_signature.headers(
            request,
            self._account.access_key_id,
            self._account.access_key_secret.get_secret_value(),
            now=datetime.now(UTC),
            region=self._account.region,
            service="volcSMS",
        )
        url = f"{parts.scheme}://{host}{path}?{volcengine_signature.encode(query)}"
        body = _read((await self._pool.call("GET", url, {**signed, "accept": "application/json"})).content)
        error = _read_object(_read_object(body.get("ResponseMetadata")).get("Error"))
        if error:
            raise AccountRefused(error.get("Code"), error.get("Message"))
        if not isinstance(body.get("Result"), dict):
            raise AccountRefused("its answer can't be read")
        return _read_object(body["Result"])


class _WithoutEntries:
    """A provider that knows neither signatures nor templates."""

    async def list_signatures(self, wanted: Collection[str] | None = None) -> Sequence[ProviderEntry] | None:
        """Return nothing."""
        del wanted
        return None

    async def list_templates(self, wanted: Collection[str] | None = None) -> Sequence[ProviderEntry] | None:
        """Return nothing."""
        del wanted
        return None


class TwilioAccount(_WithoutEntries):
    """An account at Twilio."""

    def __init__(self, account: Twilio, pool: HttpPool) -> None:
        self._account = account
        self._pool = pool

    async def read_left(self) -> Left | None:
        """Call Balance.json of the account (twilio.com/docs/usage/api/balance)."""
        account = self._account
        key = account.key_secret or account.auth_token
        login = f"{account.key_sid or account.account_sid}:{key.get_secret_value()}".encode()
        headers = {"authorization": f"Basic {base64.b64encode(login).decode()}", "accept": "application/json"}
        sid = quote(account.account_sid, safe="")
        answer = await self._pool.call(
            "GET", f"{account.endpoint.rstrip('/')}/2010-04-01/Accounts/{sid}/Balance.json", headers
        )
        body = _read(answer.content)
        if "balance" not in body:
            raise AccountRefused(body.get("code") or answer.status_code, body.get("message") or "")
        text = f"balance {body['balance']} {body.get('currency', '')}".strip()
        try:
            return Left(float(body["balance"]), None, text)
        except (TypeError, ValueError):
            return None


class DescribedAccount(_WithoutEntries):
    """An account at a described provider: its description may tell of a call that says what is left."""

    def __init__(self, account: Http, check: HttpCheck, pool: HttpPool) -> None:
        self._account = account
        self._check = check
        self._calls = HttpCalls(account, pool)

    async def read_left(self) -> Left | None:
        """Make the call of the description."""
        account, check = self._account, self._check
        answer = await self._calls.ask(check, urljoin(account.url, check.path))
        if not answer.is_success:
            code = answer.text.strip() if account.code == "text" else at(answer.body, account.code)
            name = f"http_{answer.status}" if code is None else account.name_code(code)
            raise AccountRefused(f"{name};", answer.text[:MAX_DETAIL])
        left = at(answer.body, check.left) if check.left else None
        try:
            return None if left is None else Left(float(left), None, f"{left} left")
        except (TypeError, ValueError):
            return None


def _make_template(name: object, text: object, review: Review | None, reason: Words | None) -> ProviderEntry:
    content = str(text or "")
    variables = tuple(dict.fromkeys(_VARIABLE.findall(content)))
    return ProviderEntry(id=str(name), text=content, variables=variables, review=review or "unknown", reason=reason)


def _join_reasons(row: JsonObject) -> str:
    """Return why a carrier has not filed a signature: the provider's words, else its code."""
    reasons = _read_objects(row.get("RegisterStatusReasons"))
    words = [str(word) for reason in reasons for word in reason.get("ReasonDescList") or ()]
    return "，".join(words or [str(reason["ReasonCode"]) for reason in reasons if reason.get("ReasonCode")])


def _read_objects(listed: object) -> list[JsonObject]:
    """Return the objects in a JSON list; empty if it is no list."""
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []


def _read_object(value: object) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _read_whole(value: object) -> int:
    """Return a JSON whole number; 0 if it is none."""
    return value if isinstance(value, int) else 0


def _read(body: bytes) -> JsonObject:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
