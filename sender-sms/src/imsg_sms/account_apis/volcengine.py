"""Volcengine's calls about an account."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from imsg_contract.provider_accounts import Filing, ProviderEntry, Review
from imsg_sms.account_apis.port import AccountRefused, Balance
from imsg_sms.account_apis.reading import (
    MAX_PAGES,
    JsonObject,
    make_template,
    merge_filings,
    read_json,
    read_object,
    read_objects,
    read_words,
)
from imsg_sms.account_settings import Volcengine
from imsg_sms.providers import volcengine_signature
from imsg_web.http_pool import HttpPool


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
            make_template(
                row.get("templateId") or row.get("id"),
                row.get("content"),
                self.REVIEWS.get(row.get("status")),
                read_words(row.get("reason")),
            )
            for row in await self._list("GetSmsTemplateAndOrderList", area="cn")
        ]
        return [entry for entry in entries if wanted is None or entry.id in wanted]

    async def read_balance(self) -> Balance | None:
        """Return nothing: there is no call for it."""
        return None

    def _read_signature(self, row: JsonObject) -> ProviderEntry:
        report, usable = read_object(row.get("reportStatus")), row.get("usable")
        filing: Filing | None = None if not isinstance(usable, bool) else "filed" if usable else "unfiled"
        reasons = [
            (carrier, str(why))
            for field, carrier in self.CARRIERS.items()
            if (why := read_object(report.get(field)).get("reason"))
        ]
        why = (
            merge_filings({carrier: ("unfiled", text) for carrier, text in reasons})[1] if filing == "unfiled" else None
        )
        return ProviderEntry(
            id=str(row.get("id")),
            text=str(row.get("content") or ""),
            review=self.REVIEWS.get(row.get("status"), "unknown"),
            filing=filing,
            reason=why or read_words(row.get("reason")),
        )

    async def _list(self, action: str, **more: str) -> list[JsonObject]:
        rows: list[JsonObject] = []
        for page in range(1, MAX_PAGES + 1):
            query = {"subAccount": self._account.sms_account, "pageIndex": str(page), "pageSize": str(self.PAGE_SIZE)}
            page_rows = read_objects((await self._call(action, {**query, **more})).get("list"))
            rows += page_rows
            if len(page_rows) < self.PAGE_SIZE:
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
        body = read_json((await self._pool.call("GET", url, {**signed, "accept": "application/json"})).content)
        error = read_object(read_object(body.get("ResponseMetadata")).get("Error"))
        if error:
            raise AccountRefused(error.get("Code"), error.get("Message"))
        if not isinstance(body.get("Result"), dict):
            raise AccountRefused("its answer can't be read")
        return read_object(body["Result"])
