"""The people of groups, as the catalog keeps them, for a send that names groups in place of recipients."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from imsg_channels.spec import ChannelSpec
from imsg_contract.errors import Refusal
from imsg_gateway.credentials import Credential
from imsg_gateway.validation_errors import recipients_wrong
from imsg_web.responses import refuse_value
from imsg_web.service_client import Peer, ServiceFailed

MAX_GROUPS = 20
"""Groups of one send."""

SCOPE = "groups"

SUCCESS, NOT_FOUND = 200, 404


class GroupRecipients(NamedTuple):
    """The recipients of groups."""

    recipients: list[dict[str, Any]]
    """`{to, contacts, params, language}` of each."""
    without_address: int
    """Members who have no address of the method: they are left out."""


class Groups:
    """Finds the recipients of groups."""

    def __init__(self, catalog: Peer, max_recipients: int) -> None:
        self._catalog = catalog
        self._max = max_recipients

    async def find(
        self, fields: Mapping[str, Any], method: ChannelSpec, credential: Credential, legs: Sequence[str] = ()
    ) -> GroupRecipients:
        """Return the recipients of the groups in `groups`, each once, with their addresses of further legs.

        Raises Refusal wrong_type, no_scope, no_such_group, recipients_invalid; ServiceUnavailable.
        """
        names = _read_names(fields)
        await credential.require(SCOPE)
        body = {"groups": names, "method": method.name, "most": self._max, "legs": list(legs)}
        path = "/internal/groups/recipients"
        answer = await self._catalog.call("POST", path, caller=await credential.authenticate(), json=body)
        found = answer.json()
        if answer.status_code == NOT_FOUND and found.get("reason") == "not_found":
            known = [name for name in names if name in found.get("detail", "")]
            raise Refusal("no_such_group", name=(known or names)[0][:64])
        if answer.status_code != SUCCESS:
            raise ServiceFailed(f"the catalog answered {answer.status_code} to {path}")
        to = {recipient["to"]: recipient for recipient in reversed(found["recipients"])}
        if len(to) > self._max or (not to and found["total"] > self._max):
            count = max(len(to), found["total"])
            raise recipients_wrong(
                f"一次最多 {self._max} 人，这些通讯组有 {count} 人；请在页面上或用 imsg send 发送，它们会分成几次请求",
                f"a send takes {self._max} people, these groups have {count}; the page and imsg send make several "
                "requests of it",
            )
        if not to:
            label = method.address.label
            raise recipients_wrong(f"通讯组里没有人有{label.zh}", f"nobody in these groups has a {label.en}")
        return GroupRecipients(list(reversed(to.values())), found["without_address"])


def _read_names(fields: Mapping[str, Any]) -> list[str]:
    names = fields["groups"]
    if fields.get("to") is not None:
        raise refuse_value("groups", "to 与 groups 只能填写一个", "leave it out, or to")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise refuse_value("groups", "应为通讯组名称的列表", "it must be a list of groups' names")
    if len(names) > MAX_GROUPS:
        raise refuse_value("groups", f"一次最多 {MAX_GROUPS} 个通讯组", f"there may be {MAX_GROUPS} at once")
    return names
