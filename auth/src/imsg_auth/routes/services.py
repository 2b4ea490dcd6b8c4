"""What only other services ask; the edge knows none of these paths."""

from fastapi import APIRouter

from imsg_auth import usernames
from imsg_auth.routes.dependencies import AuthServices
from imsg_auth.schemas.services import (
    ContactsAnswer,
    ContactsLookup,
    EventSubscription,
    HoldersAnswer,
    HoldersLookup,
    KeyLookup,
    KeyOwnerAnswer,
    KeyUses,
    TagChange,
    UserCacheRequest,
    UserLookup,
    UsernamesAnswer,
    UsernamesLookup,
    UserTagAnswer,
)
from imsg_auth.schemas.users import UserPatch
from imsg_contract.errors import Refusal
from imsg_web.authorization import Administrator, InternalRoute
from imsg_web.schemas import Success

MAX_SHOWN = 80
"""Characters of an unknown name that an answer repeats."""

router = APIRouter(prefix="/internal", route_class=InternalRoute, include_in_schema=False)


@router.post("/user-cache")
async def cache_user(body: UserCacheRequest, services: AuthServices) -> Success:
    """Write a user into Redis."""
    # A made-up token causes this call too: no row is locked before the token is known to be ours.
    user = await services.user_cache.find(body.username) if usernames.is_possible(body.username) else None
    if user is not None and body.token is not None and not services.tokens.verify(body.token, user):
        raise Refusal("token_invalid")
    if user is None or not await services.user_cache.write(body.username):
        raise Refusal("no_such_user", username=body.username[:MAX_SHOWN])
    return Success()


@router.post("/keys/find")
async def find_key_owner(body: KeyLookup, services: AuthServices) -> KeyOwnerAnswer:
    """Write the user of an API key into Redis, and return the name."""
    username = await services.keys.find_username(body.user_id, body.digest)
    if not await services.user_cache.write(username):
        raise Refusal("token_invalid")
    return KeyOwnerAnswer(username=username)


@router.post("/keys/used")
async def record_key_uses(body: KeyUses, services: AuthServices) -> Success:
    """Record when and from where keys were used last."""
    await services.keys.record_uses(body.uses)
    return Success()


@router.post("/contacts")
async def find_contacts(body: ContactsLookup, services: AuthServices) -> ContactsAnswer:
    """Return the contacts of users."""
    return ContactsAnswer(contacts=await services.users.find_contacts(body.method, body.names))


@router.put("/wechat/contacts")
async def set_tag(administrator: Administrator, body: TagChange, services: AuthServices) -> Success:
    """Set a user's WeChat tag, on behalf of an administrator."""
    await services.users.change(administrator, body.username, UserPatch(wechat=body.wechat), user_id=body.user_id)
    return Success()


@router.post("/wechat/user")
async def find_user(body: UserLookup, services: AuthServices) -> UserTagAnswer:
    """Return a user's id and WeChat tag: sender-wechat may read no other contact."""
    user = await services.users.find(body.username)
    return UserTagAnswer(username=user.username, user_id=user.id, tag=user.wechat)


@router.post("/holders")
async def find_holders(body: HoldersLookup, services: AuthServices) -> HoldersAnswer:
    """Return the users with an address, in any spelling, as a contact."""
    return HoldersAnswer(usernames=await services.users.find_holders(body.method, body.address))


@router.post("/wechat/usernames")
async def find_usernames(body: UsernamesLookup, services: AuthServices) -> UsernamesAnswer:
    """Return the users with these WeChat tags as contacts."""
    return UsernamesAnswer(usernames=await services.users.find_usernames("wechat", body.tags))


@router.put("/events")
async def subscribe(body: EventSubscription, services: AuthServices) -> Success:
    """Set which events of a user's messages callbacks wants."""
    await services.users.set_events(body.username, body.user_id, body.events)
    return Success()
