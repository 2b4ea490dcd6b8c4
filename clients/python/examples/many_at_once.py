"""Send many single messages side by side, each once, whatever happens in between."""

import asyncio
import os

from imsg_client import AsyncClient, OutcomeUnknown

INVOICES = {f"invoice-{number}": f"customer{number}@example.com" for number in range(20)}


async def main() -> None:
    """Send, eight at a time."""
    places = asyncio.Semaphore(8)
    async with AsyncClient(os.environ["IMSG_URL"], os.environ["IMSG_USERNAME"], os.environ["IMSG_PASSWORD"]) as imsg:

        async def send(invoice: str, to: str) -> str:
            async with places:
                try:
                    sent = await imsg.send_mail(to, f"Invoice {invoice}", "…", idempotency_key=invoice)
                except OutcomeUnknown:
                    return f"{invoice}: run this again, it will not be sent twice"
                return f"{invoice}: sent as {sent.id}"

        for line in await asyncio.gather(*(send(invoice, to) for invoice, to in INVOICES.items())):
            print(line)


asyncio.run(main())
