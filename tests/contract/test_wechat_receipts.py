"""A receipt outlives the broker's absence."""

import asyncio
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from imsg_contract.topology import RECEIPT
from imsg_contract.wire import Receipt, Status
from imsg_testing.brokers import open_ready
from imsg_testing.proxy import Proxy
from imsg_testing.servers import Valkey
from imsg_testing.waiting import eventually
from imsg_wechat.receipts import NotPublished, Receipts

WITHIN_S = 60.0


def receipt(msgid: str) -> Receipt:
    return Receipt(
        provider="wechat", provider_id=msgid, address="7K3-M9Q-2XF", status=Status.DELIVERED, at=datetime.now(UTC)
    )


async def test_what_the_broker_did_not_take_reaches_history_once_it_is_back() -> None:
    with Valkey() as valkey:
        parts = urlsplit(valkey.url)
        assert parts.hostname is not None
        assert parts.port is not None
        proxy = Proxy(parts.hostname, parts.port)
        async with proxy.running(), open_ready(proxy.url(valkey.url)) as broker, asyncio.timeout(WITHIN_S):
            receipts = Receipts(broker)
            running = asyncio.create_task(receipts.run())
            proxy.is_deaf = True
            with pytest.raises(NotPublished):
                await receipts.publish(receipt("1"), 0.3)
            proxy.is_deaf = False
            proxy.cut()

            async with broker.consume(broker.topology.history, 10) as deliveries:
                async for delivery in deliveries:
                    await broker.ack(delivery)
                    if delivery.key == RECEIPT:
                        assert Receipt.model_validate_json(delivery.body).provider_id == "1"
                        break

            async def is_told() -> bool:
                return not receipts._waiting

            await eventually(is_told, WITHIN_S)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
