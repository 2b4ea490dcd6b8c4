"""The magic recipients as the sandbox plays them: some troubles strike the first try alone."""

from imsg_contract.magic_recipients import DOMAIN, MAILBOXES, NUMBERS, MailTrouble, Stage, find_mailbox


class MagicMailboxes:
    """The magic mailboxes, and which of them were refused once."""

    def __init__(self) -> None:
        self._tried: set[str] = set()

    def find(self, address: str, stage: Stage) -> MailTrouble | None:
        """Return what happens to this recipient at this stage; None where nothing does."""
        trouble = find_mailbox(address)
        if trouble is None or trouble.stage != stage:
            return None
        if trouble.once and address in self._tried:
            self._tried.discard(address)
            return None
        if trouble.once:
            self._tried.add(address)
        return trouble


def explain() -> dict[str, str]:
    """Return address → what happens to messages for it."""
    mails = {f"{local}@{DOMAIN}": trouble.what for local, trouble in MAILBOXES.items()}
    return mails | {number: trouble.what for number, trouble in NUMBERS.items()}
