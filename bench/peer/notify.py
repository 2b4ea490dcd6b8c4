"""Apprise behind HTTP, as Apprise-API is built: a request is answered when the notification has been handed over."""

import os

import apprise
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

PORT = os.environ["PEER_SMTP_PORT"]
app = FastAPI()


class Notification(BaseModel):
    """A text and its recipient."""

    to: str
    title: str
    body: str


def hand_over(notification: Notification) -> bool:
    """Send it by Apprise's mail plugin."""
    sender = apprise.Apprise()
    sender.add(f"mailto://127.0.0.1:{PORT}?from=imsg@example.com&to={notification.to}&mode=insecure")
    return bool(sender.notify(title=notification.title, body=notification.body))


@app.post("/notify")
async def notify(notification: Notification) -> dict[str, bool]:
    """Send a notification."""
    return {"sent": await run_in_threadpool(hand_over, notification)}
