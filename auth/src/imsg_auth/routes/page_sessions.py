"""The sessions of the web page: the console opens and resumes them, and users list and end them."""

from fastapi import APIRouter, Request

from imsg_auth.routes.dependencies import TOKEN_HEADER, AuthServices
from imsg_auth.schemas.sessions import (
    NewPageSession,
    PageSessionAnswer,
    PageSessionRecord,
    PageSessionsAnswer,
    ResumedSession,
    TokenAnswer,
)
from imsg_contract import tokens
from imsg_contract.error_responses import BODY
from imsg_web.authorization import InternalRoute, User
from imsg_web.schemas import Success, describe_refusals

router = APIRouter(prefix="/api/sessions", route_class=InternalRoute)


@router.post("", responses=describe_refusals(*BODY))
async def open_session(user: User, body: NewPageSession, request: Request, services: AuthServices) -> PageSessionAnswer:
    """Store the session of this token; a client with the secret may resume it."""
    token = request.headers.get(TOKEN_HEADER, "")
    return PageSessionAnswer(id=await services.page_sessions.open(user, token, body.digest, body.agent))


@router.post("/resume", responses=describe_refusals(*BODY, "token_invalid", wants_token=False))
async def resume_session(body: ResumedSession, services: AuthServices) -> TokenAnswer:
    """Get the token of a session by its secret."""
    issued = await services.page_sessions.resume(body.secret)
    return TokenAnswer(token=issued.token, expires_in=issued.expires_in)


@router.get("", responses=describe_refusals())
async def list_sessions(user: User, request: Request, services: AuthServices) -> PageSessionsAnswer:
    """List one's own sessions of the web page."""
    token = tokens.parse(request.headers.get(TOKEN_HEADER, ""))
    return PageSessionsAnswer(
        sessions=[
            PageSessionRecord(
                id=session.id,
                address=session.address,
                agent=session.agent,
                created_at=session.created_at,
                expires_at=session.expires_at,
                current=token is not None and token.nonce == session.id,
            )
            for session in await services.page_sessions.list_own(user)
        ]
    )


@router.delete("/{id}", responses=describe_refusals("not_found"))
async def end_session(user: User, id: str, services: AuthServices) -> Success:  # noqa: A002  its name in the path
    """End a session of the web page; an administrator may end any."""
    await services.page_sessions.end(user, id)
    return Success()
