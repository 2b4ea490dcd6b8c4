"""Alibaba Cloud's calls about an account."""

import asyncio
import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from imsg_contract.provider_accounts import Filing, ProviderEntry, Review
from imsg_sms.account_apis.port import AccountRefused, Balance
from imsg_sms.account_apis.reading import (
    CARRIERS,
    MAX_PAGES,
    JsonObject,
    make_template,
    merge_filings,
    read_json,
    read_object,
    read_objects,
    read_words,
)
from imsg_sms.account_settings import Aliyun
from imsg_sms.providers import aliyun_signature
from imsg_web.http_pool import HttpPool

AT_ONCE = 8


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
        """Call QuerySmsSignList for the names, and GetSmsSign for each, which alone returns the filing."""
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
            make_template(
                row.get("TemplateCode"),
                row.get("TemplateContent"),
                self.REVIEWS.get(row.get("AuditStatus")),
                read_words(read_object(row.get("Reason")).get("RejectInfo")),
            )
            for row in rows
        ]

    async def read_balance(self) -> Balance | None:
        """Return None: another service of Alibaba Cloud, with rights of its own, knows the balance."""
        return None

    async def _find_each(self, wanted: Collection[str], find: Any) -> Sequence[ProviderEntry]:  # noqa: ANN401
        slots = asyncio.Semaphore(AT_ONCE)

        async def find_one(name: str) -> ProviderEntry | None:
            async with slots:
                try:
                    entry: ProviderEntry | None = await find(name)
                except AccountRefused as error:
                    if error.code in self.UNKNOWN:
                        return None
                    raise
                return entry

        return [entry for entry in await asyncio.gather(*map(find_one, sorted(wanted))) if entry is not None]

    async def _find_signature(self, name: str) -> ProviderEntry:
        body = await self._call("GetSmsSign", {"SignName": name})
        by_carrier = {
            str(row.get("OperatorCode")): (self.REGISTERED[row.get("RegisterStatus")], _join_reasons(row))
            for row in read_objects(body.get("SignIspRegisterDetailList"))
            if row.get("OperatorCode") in CARRIERS and row.get("RegisterStatus") in self.REGISTERED
        }
        filing, why = merge_filings(by_carrier)
        rejected = read_words(read_object(body.get("AuditInfo")).get("RejectInfo"))
        review = self.REVIEWS.get(body.get("SignStatus"), "unknown")
        return ProviderEntry(id=name, text=name, review=review, filing=filing, reason=rejected or why)

    async def _find_template(self, code: str) -> ProviderEntry:
        body = await self._call("QuerySmsTemplate", {"TemplateCode": code})
        review = self.REVIEWS.get(body.get("TemplateStatus"))
        return make_template(code, body.get("TemplateContent"), review, read_words(body.get("Reason")))

    async def _list(self, action: str, field: str) -> list[JsonObject]:
        rows: list[JsonObject] = []
        for page in range(1, MAX_PAGES + 1):
            body = await self._call(action, {"PageIndex": str(page), "PageSize": str(self.PAGE_SIZE)})
            page_rows = read_objects(body.get(field))
            rows += page_rows
            if len(page_rows) < self.PAGE_SIZE:
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
        body = read_json((await self._pool.call("POST", url, {**signed, "accept": "application/json"}, b"")).content)
        if body.get("Code") != "OK":
            raise AccountRefused(body.get("Code"), body.get("Message"))
        return body


def _join_reasons(row: JsonObject) -> str:
    """Return why a carrier has not filed a signature: the provider's words, else its code."""
    reasons = read_objects(row.get("RegisterStatusReasons"))
    words = [str(word) for reason in reasons for word in reason.get("ReasonDescList") or ()]
    return "，".join(words or [str(reason["ReasonCode"]) for reason in reasons if reason.get("ReasonCode")])
