"""Accounts at providers, and what administrators switch at the channels' providers."""

import re
from collections.abc import Mapping
from dataclasses import fields as list_fields
from typing import Any, Literal

from fastapi import APIRouter

from imsg_auth.provider_accounts import Provider
from imsg_auth.routes.dependencies import AuthServices, FreshLogin, Language, RouteServices
from imsg_auth.schemas.providers import (
    AttentionShape,
    KindFieldShape,
    KindShape,
    Method,
    NewProvider,
    PresetShape,
    ProviderAnswer,
    ProviderCheckAnswer,
    ProviderCheckRequest,
    ProviderEntryShape,
    ProviderKindsAnswer,
    ProviderPatch,
    ProviderRestoration,
    ProvidersAnswer,
    ProviderShape,
    ProviderSignaturesAnswer,
    ProviderTemplatesAnswer,
    ProviderVersionsAnswer,
    SetUpShape,
)
from imsg_channels import METHODS
from imsg_contract.error_responses import BODY
from imsg_contract.errors import Refusal
from imsg_contract.provider_accounts import Kind, ProviderCheck, Words
from imsg_web.authorization import Administrator, InternalRoute, Reader
from imsg_web.responses import refuse_value
from imsg_web.schemas import Success, describe_refusals

PROVIDER_NAME = re.compile(r"[\w.-]{1,64}")
"""A name in the settings: a mail server's, an account's, a robot's."""

MAX_SHOWN = 80
"""Characters of an unknown name that an answer repeats."""

LISTED = ("no_right", "not_found", "providers_closed", "sender_away", "not_listed", "list_refused")
CHANGE = ("no_right", "log_in_again", *BODY, "providers_closed", "sender_away")

router = APIRouter(prefix="/api/providers", route_class=InternalRoute)


@router.get("/kinds", responses=describe_refusals("no_right"))
async def list_provider_kinds(_: Reader, language: Language, services: AuthServices) -> ProviderKindsAnswer:
    """Describe the kinds of providers that can be set up."""
    kinds = await services.accounts.list_kinds()
    return ProviderKindsAnswer(
        kinds=[_show_kind(method, kind, language) for method, own in kinds.items() for kind in own]
    )


@router.get("", responses=describe_refusals("no_right", "providers_closed"))
async def list_providers(_: Reader, language: Language, services: AuthServices) -> ProvidersAnswer:
    """List all providers."""
    return ProvidersAnswer(
        providers=[ProviderShape(**_show(provider, language)) for provider in await services.accounts.list()]
    )


@router.post(
    "",
    dependencies=[FreshLogin],
    responses=describe_refusals(*CHANGE, "provider_exists", "name_in_settings", "too_many_providers"),
)
async def add_provider(
    administrator: Administrator, body: NewProvider, language: Language, services: AuthServices
) -> ProviderAnswer:
    """Set up a provider; the senders use it within 2 s."""
    method = _check_method(body.method)
    await services.accounts.add(administrator, method, body.name, body.kind, await _read_fields(services, method, body))
    switches = body.model_dump(include={"enabled", "weight"}, exclude_none=True)
    if switches:
        await services.switches.change(administrator, method, body.name, switches)
    return await _answer(services, method, body.name, language)


@router.post("/check", dependencies=[FreshLogin], responses=describe_refusals(*CHANGE, "name_in_settings"))
async def check_new_provider(
    _: Administrator, body: ProviderCheckRequest, language: Language, services: AuthServices
) -> ProviderCheckAnswer:
    """Log in at the provider through a sender; nothing is sent or stored."""
    method = _check_method(body.method)
    fields = await _read_fields(services, method, body)
    return _show_check(await services.accounts.check(method, body.name, body.kind, fields), language)


@router.patch(
    "/{method}/{name}",
    dependencies=[FreshLogin],
    responses=describe_refusals(*CHANGE, "not_found", "name_in_settings"),
)
async def change_provider(  # noqa: PLR0917  FastAPI passes them by their names
    administrator: Administrator,
    method: Method,
    name: str,
    body: ProviderPatch,
    language: Language,
    services: AuthServices,
) -> ProviderAnswer:
    """Change a provider, switch it on or off, or change its share."""
    if method not in METHODS or not PROVIDER_NAME.fullmatch(name):
        raise Refusal("not_found", what=f"{method}/{name}"[:MAX_SHOWN])
    switches = body.model_dump(exclude_unset=True, include={"enabled", "weight"})
    is_changed = any(part is not None for part in (body.kind, body.settings, body.routes))
    if not switches and not is_changed:
        raise Refusal("missing", field="enabled")
    if is_changed:
        await services.accounts.change(
            administrator, method, name, body.kind, await _read_fields(services, method, body)
        )
    switch = await services.switches.change(administrator, method, name, switches) if switches else None
    return ProviderAnswer(**_show(await services.accounts.find(method, name, switch), language))


@router.delete(
    "/{method}/{name}",
    dependencies=[FreshLogin],
    responses=describe_refusals("no_right", "log_in_again", "not_found", "name_in_settings", "providers_closed"),
)
async def remove_provider(administrator: Administrator, method: Method, name: str, services: AuthServices) -> Success:
    """Remove a provider with its versions."""
    await services.accounts.remove(administrator, _read_method(method), name)
    return Success()


@router.post(
    "/{method}/{name}/check",
    dependencies=[FreshLogin],
    responses=describe_refusals("no_right", "log_in_again", "not_found", "name_in_settings", *CHANGE),
)
async def check_provider(
    _: Administrator, method: Method, name: str, language: Language, services: AuthServices
) -> ProviderCheckAnswer:
    """Log in at the provider through a sender; nothing is sent."""
    return _show_check(await services.accounts.check(_read_method(method), name), language)


@router.get(
    "/{method}/{name}/signatures",
    responses=describe_refusals(*LISTED),
)
async def list_provider_signatures(
    _: Reader, method: Method, name: str, language: Language, services: AuthServices
) -> ProviderSignaturesAnswer:
    """List the signatures that the provider has, with their review and their filing with the carriers."""
    return ProviderSignaturesAnswer(signatures=await _list_entries(services, method, name, "signatures", language))


@router.get(
    "/{method}/{name}/templates",
    responses=describe_refusals(*LISTED),
)
async def list_provider_templates(
    _: Reader, method: Method, name: str, language: Language, services: AuthServices
) -> ProviderTemplatesAnswer:
    """List the templates that the provider has, with their variables and their review."""
    return ProviderTemplatesAnswer(templates=await _list_entries(services, method, name, "templates", language))


@router.get(
    "/{method}/{name}/versions",
    responses=describe_refusals("no_right", "not_found", "name_in_settings", "providers_closed"),
)
async def list_provider_versions(
    _: Reader, method: Method, name: str, language: Language, services: AuthServices
) -> ProviderVersionsAnswer:
    """List the versions of a provider, the newest first."""
    versions = await services.accounts.list_versions(_read_method(method), name)
    return ProviderVersionsAnswer(versions=[ProviderShape(**_show(version, language)) for version in versions])


@router.post(
    "/{method}/{name}/restore",
    dependencies=[FreshLogin],
    responses=describe_refusals(*CHANGE, "not_found", "name_in_settings"),
)
async def restore_provider(  # noqa: PLR0917  FastAPI passes them by their names
    administrator: Administrator,
    method: Method,
    name: str,
    body: ProviderRestoration,
    language: Language,
    services: AuthServices,
) -> ProviderAnswer:
    """Make an earlier version of a provider the current one."""
    await services.accounts.restore(administrator, _read_method(method), name, body.version)
    return await _answer(services, method, name, language)


async def _read_fields(
    services: RouteServices, method: str, body: ProviderCheckRequest | ProviderPatch
) -> Mapping[str, Any]:
    """Return what an account keeps: its settings, and the conditions beside them."""
    routes = {} if body.routes is None else body.routes.model_dump(exclude_unset=True)
    return {**(body.settings or {}), **await services.accounts.find_keys(method, routes)}


def _check_method(method: str) -> str:
    """Return the method of a body. Raises Refusal wrong_type."""
    if method not in METHODS:
        raise refuse_value("method", f"只能是 {'、'.join(METHODS)}", f"it must be one of {', '.join(METHODS)}")
    return method


def _read_method(method: str) -> str:
    """Return the method. Raises Refusal not_found."""
    if method not in METHODS:
        raise Refusal("not_found", what=method[:MAX_SHOWN])
    return method


async def _answer(services: RouteServices, method: str, name: str, language: str) -> ProviderAnswer:
    return ProviderAnswer(**_show(await services.accounts.find(method, name), language))


async def _list_entries(
    services: RouteServices, method: str, name: str, what: Literal["signatures", "templates"], language: str
) -> list[ProviderEntryShape]:
    check = await services.accounts.list_entries(_read_method(method), name, what)
    is_english = language == "en"
    if check.trouble is not None:
        why, remedy = (
            (check.trouble.en, check.trouble.remedy_en) if is_english else (check.trouble.zh, check.trouble.remedy_zh)
        )
        raise Refusal("list_refused", why=why.rstrip("。."), remedy=remedy.rstrip("。."))
    if check.entries is None:
        titles = {"signatures": "签名", "templates": "模板"}
        raise Refusal("not_listed", name=name, what=what if is_english else titles[what])
    return [
        ProviderEntryShape(
            id=entry.id,
            text=entry.text,
            variables=list(entry.variables),
            review=entry.review,
            filing=entry.filing,
            reason=None if entry.reason is None else entry.reason.en if is_english else entry.reason.zh,
        )
        for entry in check.entries
    ]


def _show(provider: Provider, language: str) -> dict[str, object]:
    shown = {field.name: getattr(provider, field.name) for field in list_fields(provider)}
    shown["from"] = shown.pop("source")
    conditions = shown.pop("conditions")
    shown["settings"] = {key: value for key, value in provider.settings.items() if key not in conditions}
    shown["routes"] = {name: provider.settings[key] for key, name in conditions.items() if key in provider.settings}
    shown["attention"] = [
        AttentionShape(
            what=attention.trouble.en if language == "en" else attention.trouble.zh,
            since=attention.since,
            remedy=attention.trouble.remedy_en if language == "en" else attention.trouble.remedy_zh,
        )
        for attention in provider.attention
    ]
    return shown


def _show_kind(method: str, kind: Kind, language: str) -> KindShape:
    def choose(words: Words) -> str:
        return words.en if language == "en" else words.zh

    return KindShape(
        kind=kind.kind,
        method=method,
        title=choose(kind.title),
        fields=[
            KindFieldShape(
                name=field.name,
                title=choose(field.title),
                help=choose(field.help),
                type=field.type,
                choices=list(field.choices),
                secret=field.secret,
                required=field.required,
                rare=field.rare,
                route=field.route,
                group=None if field.group is None else choose(field.group),
                when={name: list(values) for name, values in field.when.items()},
                default=field.default,
            )
            for field in kind.fields
        ],
        presets=[
            PresetShape(
                name=preset.name, title=choose(preset.title), settings=dict(preset.settings), help=choose(preset.help)
            )
            for preset in kind.presets
        ],
        setup=[
            SetUpShape(
                title=choose(step.title),
                value=step.value,
                when={name: list(values) for name, values in step.when.items()},
            )
            for step in kind.setup
        ],
    )


def _show_check(check: ProviderCheck, language: str) -> ProviderCheckAnswer:
    trouble = check.trouble
    if trouble is None:
        return ProviderCheckAnswer(ok=True, code=None, why=None, remedy=None)
    is_english = language == "en"
    return ProviderCheckAnswer(
        ok=trouble.is_unsure,
        code=trouble.code,
        why=trouble.en if is_english else trouble.zh,
        remedy=(trouble.remedy_en if is_english else trouble.remedy_zh) or None,
    )
