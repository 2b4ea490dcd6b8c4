"""What a team would otherwise build: FastAPI takes the request, redis-py limits it, Celery's broker keeps it.

The same promises where they can be had: publishes confirmed, a quorum queue, a token, a limit per hour and per day.
"""

import os
import time
import uuid
from typing import Annotated

import redis.asyncio
from celery import Celery
from fastapi import FastAPI
from kombu import Queue
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

LIMIT = 1_000_000_000


class Content(BaseModel):
    """A mail."""

    subject: Annotated[str, Field(min_length=1, max_length=255)]
    text: str
    html: str | None = None


class Mail(BaseModel):
    """The body of POST /api/send."""

    token: str
    to: str | list[str]
    method: str
    content: Content


celery = Celery("peer", broker=os.environ["PEER_AMQP"])
celery.conf.update(
    task_queues=[Queue("peer.mail", queue_arguments={"x-queue-type": "quorum"})],
    task_default_queue="peer.mail",
    task_default_delivery_mode=2,
    task_ignore_result=True,
    broker_transport_options={"confirm_publish": True},
    broker_pool_limit=64,
)
client = redis.asyncio.Redis.from_url(os.environ["PEER_REDIS"], decode_responses=True)
app = FastAPI()


async def is_limited(username: str) -> bool:
    """Count one request in two windows, as recipes with redis-py do."""
    now = int(time.time())
    async with client.pipeline(transaction=True) as pipeline:
        for window in (3_600, 86_400):
            key = f"peer:{username}:{window}:{now // window}"
            pipeline.incr(key)
            pipeline.expire(key, window)
        counts = await pipeline.execute()
    return bool(counts[0] > LIMIT or counts[2] > LIMIT)


@app.post("/api/send")
async def send(mail: Mail) -> dict[str, object]:
    """Accept a mail."""
    username = await client.hget(f"peer:token:{mail.token}", "username")
    if username is None:
        return {"errorCode": 10005, "errorMessage": "token"}
    if await is_limited(str(username)):
        return {"errorCode": 10013, "errorMessage": "limit"}
    request = uuid.uuid4().hex
    # Celery publishes with blocking calls; a thread keeps them off the loop.
    await run_in_threadpool(celery.send_task, "send", (request, mail.to, mail.content.model_dump()))
    return {"errorCode": 0, "errorMessage": "OK", "id": request, "count": 1}
