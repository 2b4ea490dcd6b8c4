"""What DNS has to say of a sender's domain, and what it says: the answer to auth."""

from imsg_contract.provider_accounts import DnsRecord, DnsVerdict, ReceiverVerdict, SenderDns
from imsg_smtp.mail_dns import Resolver, find_facts
from imsg_smtp.mail_setup import MailSetup
from imsg_smtp.mail_verdicts import Verdict, describe_receivers, describe_records, in_chinese, in_english


async def examine(setup: MailSetup, *, english: bool, resolver: Resolver | None = None) -> SenderDns:
    """Return the records of a domain with the verdicts of `imsg doctor mail`."""
    translate = in_english if english else in_chinese
    facts = await find_facts(setup, resolver or Resolver())
    return SenderDns(
        domain=setup.domain,
        records=tuple(_show(record) for record in describe_records(facts, setup, translate)),
        receivers=tuple(
            ReceiverVerdict(receiver=receiver, verdict=verdict)
            for receiver, verdict in describe_receivers(facts, setup, translate)
        ),
    )


def _show(verdict: Verdict) -> DnsRecord:
    return DnsRecord(
        record=verdict.part,
        type=verdict.type,
        name=verdict.name or None,
        wanted=verdict.wanted or None,
        found=tuple(verdict.found),
        verdict=_name_verdict(verdict),
        why=verdict.state,
        remedy=verdict.remedy or None,
    )


def _name_verdict(verdict: Verdict) -> DnsVerdict:
    if not verdict.is_known or not verdict.name:
        return "unknown"
    if verdict.remedy:
        return "wrong" if verdict.found else "missing"
    return "good" if verdict.found else "unknown"
