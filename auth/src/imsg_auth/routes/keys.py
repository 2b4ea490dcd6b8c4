"""API keys: one's own, and for administrators everybody's."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from imsg_auth.routes.dependencies import AuthServices, FreshLogin
from imsg_auth.schemas.keys import (
    KeyAnswer,
    KeyPatch,
    KeyRecord,
    KeyRotation,
    KeysAnswer,
    KeysQuery,
    LeakedKey,
    NewKey,
    NewKeyAnswer,
)
from imsg_contract.error_responses import BODY
from imsg_web.authorization import InternalRoute, User
from imsg_web.schemas import Success, describe_refusals

router = APIRouter(prefix="/api/keys", route_class=InternalRoute)


@router.post(
    "",
    dependencies=[FreshLogin],
    responses=describe_refusals("no_right", "log_in_again", *BODY, "no_such_user", "too_many_keys"),
)
async def add_key(user: User, body: NewKey, services: AuthServices) -> NewKeyAnswer:
    """Make an API key, which is shown this once."""
    key, text = await services.keys.add(user, body)
    return NewKeyAnswer(id=key.id, key=text)


@router.get("", responses=describe_refusals("wrong_type", "no_right"))
async def list_keys(user: User, query: Annotated[KeysQuery, Query()], services: AuthServices) -> KeysAnswer:
    """List one's own API keys; administrators see those of all users."""
    page, has_more = await services.keys.list_page(user, query.username, query.cursor, query.limit)
    return KeysAnswer(
        keys=[KeyRecord.model_validate(key, from_attributes=True) for key in page],
        next=page[-1].id if has_more else None,
    )


@router.post("/leaked", status_code=204, response_class=Response, responses=describe_refusals(*BODY, wants_token=False))
async def report_leak(body: LeakedKey, services: AuthServices) -> None:
    """End a key that was found in public; the answer does not say whether it was one."""
    await services.keys.end_leaked(body.key)


@router.patch("/{id}", dependencies=[FreshLogin], responses=describe_refusals("log_in_again", *BODY, "not_found"))
async def change_key(
    user: User,
    id: str,  # noqa: A002  its name in the path
    body: KeyPatch,
    services: AuthServices,
) -> KeyAnswer:
    """Change a key, in force for the very next call."""
    return KeyAnswer.model_validate(await services.keys.change(user, id, body), from_attributes=True)


@router.delete("/{id}", responses=describe_refusals("not_found"))
async def end_key(
    user: User,
    id: str,  # noqa: A002  its name in the path
    services: AuthServices,
) -> Success:
    """End a key at once."""
    await services.keys.end(user, id)
    return Success()


@router.post(
    "/{id}/rotate",
    dependencies=[FreshLogin],
    responses=describe_refusals("log_in_again", *BODY, "not_found", "too_many_keys"),
)
async def rotate_key(
    user: User,
    id: str,  # noqa: A002  its name in the path
    body: KeyRotation,
    services: AuthServices,
) -> NewKeyAnswer:
    """Make another key like this one, which ends after a while."""
    key, text = await services.keys.rotate(user, id, body.old_valid_s)
    return NewKeyAnswer(id=key.id, key=text)
