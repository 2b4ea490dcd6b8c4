"""auth's OpenAPI is true: closed answers with required keys, and the refusals each URL can give."""

from typing import Any

import pytest

from imsg_testing.auth import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="module")

URLS = {
    ("post", "/api/login"), ("post", "/api/logout"), ("post", "/api/password"), ("get", "/api/me"),
    ("post", "/api/register"), ("post", "/api/modify/{username}"), ("get", "/api/users"),
    ("get", "/api/users/{username}"), ("patch", "/api/users/{username}"),
    ("get", "/api/providers"), ("post", "/api/providers"), ("get", "/api/providers/kinds"),
    ("post", "/api/providers/check"),
    ("patch", "/api/providers/{method}/{name}"), ("delete", "/api/providers/{method}/{name}"),
    ("post", "/api/providers/{method}/{name}/check"), ("post", "/api/providers/{method}/{name}/restore"),
    ("get", "/api/providers/{method}/{name}/versions"),
    ("get", "/api/providers/{method}/{name}/signatures"), ("get", "/api/providers/{method}/{name}/templates"),
    ("get", "/api/senders"), ("post", "/api/senders"), ("patch", "/api/senders/{name}"),
    ("delete", "/api/senders/{name}"), ("get", "/api/senders/{name}/dns"),
    ("delete", "/api/users/{username}"),
    ("get", "/api/keys"), ("post", "/api/keys"), ("patch", "/api/keys/{id}"), ("delete", "/api/keys/{id}"),
    ("post", "/api/keys/{id}/rotate"), ("post", "/api/keys/leaked"),
    ("get", "/api/users/{username}/quotas"),
    ("put", "/api/users/{username}/quotas"),
    ("get", "/api/quotas"),
    ("put", "/api/quotas"),
    ("get", "/api/caps"), ("put", "/api/caps"),
    ("get", "/api/windows"), ("put", "/api/windows"), ("get", "/api/holidays"), ("put", "/api/holidays"),
    ("post", "/api/me/totp"), ("post", "/api/me/totp/confirm"), ("delete", "/api/me/totp"),
    ("delete", "/api/users/{username}/totp"),
    ("get", "/api/sessions"), ("post", "/api/sessions"), ("post", "/api/sessions/resume"),
    ("delete", "/api/sessions/{id}"),
}  # fmt: skip


FASTAPIS_OWN = {"HTTPValidationError", "ValidationError"}
"""What FastAPI describes beside ours; the gateway's document leaves it out."""


async def document(visitor: Visitor) -> dict[str, Any]:
    """Read the document."""
    found: dict[str, Any] = (await visitor.get("/openapi.json")).json()
    return found


async def test_the_public_urls_are_in_it_and_nothing_else(visitor: Visitor) -> None:
    """Internal ones are not."""
    paths = (await document(visitor))["paths"]
    assert {(verb, path) for path, verbs in paths.items() for verb in verbs} == URLS


async def test_every_answer_is_closed_and_its_keys_are_required(visitor: Visitor) -> None:
    """What a client's generated classes hold is what comes."""
    schemas = (await document(visitor))["components"]["schemas"]
    taken = {"Login", "Logout", "PasswordChange", "Registration", "Modification", "UserPatch", "ProviderPatch"}
    taken |= {"NewKey", "KeyPatch", "KeyRotation", "LeakedKey", "Quota", "QuotasBody"}
    taken |= {"Cap", "CapsBody", "Category", "Otp", "NewPageSession", "ResumedSession"}
    taken |= {"WindowBody", "WindowsBody", "HolidaysBody"}
    taken |= {
        "NewProvider",
        "ProviderCheckRequest",
        "ProviderRestoration",
        "ProviderRoutes",
        "NewSender",
        "SenderPatch",
    }
    answered = {"Success", "ProviderAnswer", "ProviderShape", "ProvidersAnswer", "ProviderCheckAnswer"}
    answered |= {"ProviderKindsAnswer", "AttentionShape", "KindShape", "KindFieldShape", "PresetShape", "SetUpShape"}
    answered |= {"ProviderVersionsAnswer", "TokenAnswer", "UserAnswer", "UserRecord", "UsersAnswer", "MeAnswer"}
    answered |= {"ProviderSignaturesAnswer", "ProviderTemplatesAnswer", "ProviderEntryShape"}
    answered |= {"SenderAnswer", "SendersAnswer", "SenderShape", "SenderDnsAnswer", "DnsRecordShape", "ReceiverShape"}
    answered |= {"RemarkShape"}
    answered |= {"KeyAnswer", "KeyRecord", "KeysAnswer", "NewKeyAnswer", "OwnKey"}
    answered |= {"CapsAnswer", "CapShape", "TotpAnswer", "RecoveryCodesAnswer"}
    answered |= {"PageSessionAnswer", "PageSessionRecord", "PageSessionsAnswer"}
    answered |= {"WindowsAnswer", "WindowShape", "HolidaysAnswer"}
    answered |= {"QuotasAnswer", "QuotaShape", "QuotaUsage"}
    assert set(schemas) - FASTAPIS_OWN == taken | answered
    for name in answered:
        assert schemas[name]["additionalProperties"] is False
        assert set(schemas[name]["required"]) == set(schemas[name]["properties"])


async def test_every_url_names_its_refusals_in_the_public_shape(visitor: Visitor) -> None:
    """And none that it never gives."""
    for path, verbs in (await document(visitor))["paths"].items():
        for verb, operation in verbs.items():
            statuses = set(operation["responses"])
            success = "204" if path == "/api/keys/leaked" else "200"
            assert statuses >= {success, "400", "500", "503"} - ({"400"} if verb in ("get", "delete") else set())
            assert ("401" in statuses) == (path != "/api/keys/leaked")
            for status in statuses - {"204", "422"}:  # FastAPI adds it: the gateway leaves it out
                answer = operation["responses"][status]
                schema = answer["content"]["application/json"]["schema"]
                assert ("reason" in schema.get("properties", ())) == (status != "200")
