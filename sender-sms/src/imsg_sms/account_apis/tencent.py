"""Tencent Cloud's calls about an account."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from imsg_contract.provider_accounts import Filing, ProviderEntry, Review, Words
from imsg_sms.account_apis.port import AccountRefused, Balance
from imsg_sms.account_apis.reading import (
    MAX_PAGES,
    JsonObject,
    make_template,
    read_json,
    read_objects,
    read_whole_number,
    read_words,
)
from imsg_sms.account_settings import Tencent
from imsg_sms.providers import tencent_signature
from imsg_sms.providers.meanings import BEIJING
from imsg_web.http_pool import HttpPool

BOUGHT_WITHIN = timedelta(days=3 * 365)
"""The period of SmsPackagesStatistics, by date of purchase, which lists at most MAX_PACKAGES
(tencentcloud-sdk-python-sms 3.1.153). No package is valid for longer."""
MAX_PACKAGES = 500


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
            rows = read_objects(listed.get("DescribeTemplateStatusSet"))
        return [
            make_template(
                row.get("TemplateId"),
                row.get("TemplateContent"),
                "reviewing" if row.get("StatusCode") == 2 else self.REVIEWS.get(row.get("StatusCode")),  # noqa: PLR2004
                read_words(row.get("ReviewReply")),
            )
            for row in rows or ()
        ]

    async def read_balance(self) -> Balance | None:
        """Call SmsPackagesStatistics for the messages left in packages."""
        now = datetime.now(BEIJING)
        span = {"BeginTime": f"{now - BOUGHT_WITHIN:%Y%m%d%H}", "EndTime": f"{now:%Y%m%d%H}"}
        query = {"SmsSdkAppId": self._account.app_id, "Limit": MAX_PACKAGES, "Offset": 0, **span}
        rows = read_objects((await self._call("SmsPackagesStatistics", query)).get("SmsPackagesStatisticsSet"))
        packages = [
            (read_whole_number(row.get("PackageAmount")), read_whole_number(row.get("CurrentUsage")))
            for row in rows
            if not row.get("PackageExpiredTime") or read_whole_number(row["PackageExpiredTime"]) > now.timestamp()
        ]
        if not packages:
            return None
        left, bought = sum(amount - used for amount, used in packages), sum(amount for amount, _ in packages)
        text = Words(zh=f"套餐包剩余 {left:,} 条", en=f"{left:,} left in its packages")
        return Balance(left, bought, text)

    def _read_signature(self, row: JsonObject) -> ProviderEntry:
        state, reply = row.get("StatusCode"), read_words(row.get("ReviewReply"))
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
            query = {"International": 0, "Limit": self.PAGE_SIZE, "Offset": page * self.PAGE_SIZE}
            body = await self._call(action, query)
            if field not in body:
                return None
            page_rows = read_objects(body[field])
            rows += page_rows
            if len(page_rows) < self.PAGE_SIZE:
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
        response = read_json(answer.content).get("Response")
        if not isinstance(response, dict):
            raise AccountRefused("its answer can't be read")
        if isinstance(error := response.get("Error"), dict):
            raise AccountRefused(error.get("Code"), error.get("Message"))
        return response
