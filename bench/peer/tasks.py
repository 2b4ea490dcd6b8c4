"""The other half of what a team would build: Celery's worker, which hands mails to a server by smtplib."""

import os
import smtplib
import threading
from email.message import EmailMessage

from app import celery

PORT = int(os.environ["PEER_SMTP_PORT"])
kept = threading.local()

celery.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=4,
    broker_connection_retry_on_startup=True,
)


def connection() -> smtplib.SMTP:
    """Return this thread's connection."""
    if getattr(kept, "client", None) is None:
        kept.client = smtplib.SMTP("127.0.0.1", PORT, timeout=30)
    client: smtplib.SMTP = kept.client
    return client


@celery.task(  # type: ignore[untyped-decorator]
    name="send", autoretry_for=(OSError, smtplib.SMTPException), retry_backoff=True, max_retries=10, ignore_result=True
)
def send(request: str, to: str, content: dict[str, str]) -> None:
    """Send one mail."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "imsg@example.com", to, content["subject"]
    mail["Message-ID"] = f"<{request}@example.com>"
    mail.set_content(content["text"])
    try:
        connection().send_message(mail)
    except (OSError, smtplib.SMTPException):
        kept.client = None
        raise
