"""The routes of groups, which the gateway relays."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from imsg_catalog.groups.members import Member, read_contacts
from imsg_catalog.groups.schemas import (
    AddedMembers,
    DeletedGroup,
    GroupAnswer,
    GroupPatch,
    GroupRecipients,
    GroupsAnswer,
    GroupShape,
    GroupsQuery,
    MemberBody,
    MembersAnswer,
    MembersQuery,
    MembersRemoval,
    NewGroup,
    NewMembers,
    RemovedMembersAnswer,
    RowProblem,
    WrongRow,
    show_group,
    show_member,
)
from imsg_catalog.groups.store import Groups, Page
from imsg_channels.spec import BilingualText
from imsg_contract import error_responses
from imsg_contract.errors import Refusal
from imsg_web.app import accept_language
from imsg_web.authorization import InternalRoute, Sender, User
from imsg_web.responses import ok, prefers_english
from imsg_web.schemas import describe_refusals

SLICE = 100
"""Rows that are read before other tasks run."""


async def find_groups(request: Request) -> Groups:
    """Return the groups of the app."""
    groups: Groups = request.app.state.services.groups
    return groups


CatalogGroups = Annotated[Groups, Depends(find_groups)]

router = APIRouter(prefix="/api/groups", route_class=InternalRoute)
internal = APIRouter(prefix="/internal/groups", route_class=InternalRoute, include_in_schema=False)


@router.get("", responses=describe_refusals("wrong_type"))
async def list_groups(user: User, query: Annotated[GroupsQuery, Query()], groups: CatalogGroups) -> GroupsAnswer:
    """List your groups and the shared ones; administrators, operators and auditors see all."""
    rows = await groups.page(user, query.cursor, query.limit)
    following = rows[-1].name if len(rows) == query.limit else None
    return GroupsAnswer(groups=[GroupShape(**show_group(row)) for row in rows], next=following)


@router.post("", responses=describe_refusals("no_right", *error_responses.BODY, "group_exists"))
async def create_group(user: Sender, body: NewGroup, groups: CatalogGroups) -> GroupAnswer:
    """Create a group."""
    return GroupAnswer(**show_group(await groups.create(body.name, user, shared=body.shared, note=body.note)))


@router.get("/{name}", responses=describe_refusals("not_found"))
async def read_group(user: User, name: str, groups: CatalogGroups) -> GroupAnswer:
    """Read one group."""
    return GroupAnswer(**show_group(await groups.find(name, user)))


@router.patch(
    "/{name}", responses=describe_refusals("no_right", *error_responses.BODY, "not_found", "not_yours", "group_exists")
)
async def change_group(user: Sender, name: str, body: GroupPatch, groups: CatalogGroups) -> GroupAnswer:
    """Rename a group, share it, or change its note."""
    return GroupAnswer(**show_group(await groups.change(name, user, body.model_dump(exclude_unset=True))))


@router.delete("/{name}", responses=describe_refusals("no_right", "not_found", "not_yours"))
async def delete_group(user: Sender, name: str, groups: CatalogGroups) -> DeletedGroup:
    """Delete a group with its members; what was sent to them is kept."""
    await groups.delete(name, user)
    return DeletedGroup()


@router.get("/{name}/members", responses=describe_refusals("not_found", "wrong_type"))
async def list_members(
    user: User, name: str, query: Annotated[MembersQuery, Query()], groups: CatalogGroups
) -> MembersAnswer:
    """List the members of a group, in the order in which they were added."""
    group, rows = await groups.read_members(name, user, Page(query.find, query.cursor, query.limit))
    following = str(rows[-1].n) if len(rows) == query.limit else None
    return MembersAnswer(members=[show_member(row) for row in rows], total=group.size, next=following)


@router.post(
    "/{name}/members",
    responses=describe_refusals("no_right", *error_responses.BODY, "not_found", "not_yours", "group_full"),
)
async def add_members(
    user: Sender, name: str, body: NewMembers, request: Request, groups: CatalogGroups
) -> AddedMembers:
    """Add members; one who has the same address as a new row is replaced by it. Invalid rows are left out and named."""
    english = prefers_english(accept_language(request))
    members, rows, problems = await _read_rows(body.list_rows(), groups.now_ms(), english=english)
    added = await groups.add(name, user, members)
    conflict = (
        "its addresses are of two members; remove one of them" if english else "它的地址分属两位成员，请先移除其中一位"
    )
    problems += [RowProblem(row=rows[place], detail=conflict) for place in added.conflicts]
    return AddedMembers(
        added=added.added, changed=added.changed, problems=sorted(problems, key=lambda problem: problem.row)
    )


@router.post(
    "/{name}/members/remove", responses=describe_refusals("no_right", *error_responses.BODY, "not_found", "not_yours")
)
async def remove_members(user: Sender, name: str, body: MembersRemoval, groups: CatalogGroups) -> RemovedMembersAnswer:
    """Remove members by any address of theirs."""
    removed, unknown = await groups.remove(name, user, body.to)
    return RemovedMembersAnswer(removed=removed, unknown=unknown)


@internal.post("/recipients")
async def find_recipients(user: User, body: GroupRecipients, groups: CatalogGroups) -> dict[str, Any]:
    """Return the recipients of a send to groups, and how many members have no address of its method."""
    total, members = await groups.read_all(body.groups, user, body.most)
    recipients = [
        {
            "to": to,
            "contacts": {leg: member.contacts[leg] for leg in body.legs if leg in member.contacts},
            "params": member.params,
            "language": member.language,
        }
        for member in members
        if (to := member.find_recipient(body.method)) is not None
    ]
    return ok(total=total, recipients=recipients, without_address=len(members) - len(recipients))


@internal.get("/memberships")
async def list_memberships(method: str, to: str, limit: int, groups: CatalogGroups) -> dict[str, Any]:
    """List the groups in which an address is, with what they keep of the person; all of them, whatever `limit`."""
    del limit
    found = await groups.find_memberships(method, to)
    memberships = [{"group": name, **show_member(member).model_dump(mode="json")} for name, member in found]
    return ok(memberships=memberships, next=None)


async def _read_rows(
    given: Sequence[MemberBody | WrongRow], now_ms: int, *, english: bool
) -> tuple[list[Member], list[int], list[RowProblem]]:
    """Return the members of rows, the places of these rows, and what is wrong with the others."""
    members: list[Member] = []
    places: list[int] = []
    problems: list[RowProblem] = []
    for place, row in enumerate(given):
        if place % SLICE == SLICE - 1:
            await asyncio.sleep(0)
        member = row.refusal if isinstance(row, WrongRow) else _make_member(row, now_ms)
        if isinstance(member, Member):
            members.append(member)
            places.append(place)
        elif isinstance(member, Refusal):
            problems.append(RowProblem(row=place, detail=member.answer(english=english)["detail"]))
        else:
            problems.append(RowProblem(row=place, detail=member.en if english else member.zh))
    return members, places, problems


def _make_member(row: MemberBody, now_ms: int) -> Member | BilingualText:
    contacts = read_contacts(row.to, row.contacts)
    if isinstance(contacts, BilingualText):
        return contacts
    consent = row.consent
    return Member(
        0,
        contacts,
        row.params,
        now_ms,
        row.language,
        None if consent is None else _milliseconds(consent.at),
        None if consent is None else consent.source,
    )


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1_000)
