"""Alerts that must arrive: written down first, then sent until the receiver has said yes.

In: alerts. Out: signed POST requests to the address in the configuration, and lines in the log. Must not know what is
watched.

An alert is in the database before anything is sent. Whoever sends it first takes it for a while, so that two servers do
not both send it; if he is killed, it is due again after that while. It may arrive twice, never not: its id tells.
No part of an address ever comes from an alert; redirects are not followed, and an answer's body is not read.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import httpx
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from sharpen.config import MonitoringSection
from sharpen.errors import ConfigError
from sharpen.failpoints import failpoint
from sharpen.monitoring.watch import Alert
from sharpen.store import Store
from sharpen.tables import ALERTS

_log = logging.getLogger(__name__)
_SHORTEST_KEY = 16  # chosen: as the gateway's
_TIMEOUT_S = 10.0  # chosen: a receiver that takes longer is asked again
_TAKEN_S = 30.0  # chosen: longer than a request may last
_LONGEST_WAIT_S = 3600.0  # chosen: an alert that nobody takes is tried every hour, for ever
_AT_ONCE = 20  # chosen: requests per look


class Outbox:
    """Writes alerts down, and sends those that are due.

    Raises: ConfigError when the address is none, or there is no key to sign with.
    """

    def __init__(self, store: Store, settings: MonitoringSection) -> None:
        self._store = store
        self._url = settings.webhook
        self._key = os.environ.get(settings.webhook_key_env, "").strip().encode()
        if not self._url:
            return
        parts = urlsplit(self._url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("[monitoring] webhook is not an address.", 'webhook = "https://host/path"')
        if len(self._key) < _SHORTEST_KEY:
            raise ConfigError(
                f"[monitoring] webhook needs a key of at least {_SHORTEST_KEY} characters to sign alerts with.",
                f"export {settings.webhook_key_env}=$(python -c 'import secrets; print(secrets.token_urlsafe(32))')",
            )

    def put(self, alerts: Sequence[Alert]) -> list[Alert]:
        """Write alerts down, and in the log; return those that are new. Raises: StoreError."""
        new = []
        insert = postgresql.insert if self._store.is_postgres else sqlite.insert
        with self._store.writing() as connection:
            for alert in alerts:
                body = json.dumps(alert.as_dict(), sort_keys=True)
                statement = insert(ALERTS).values(id=alert.id, body=body, attempts=0, due_s=time.time())
                done = connection.execute(
                    statement.on_conflict_do_nothing(), execution_options={"preserve_rowcount": True}
                )
                new += [alert] if done.rowcount == 1 else []
            failpoint("alert.before_commit")
        for alert in new:
            _log.warning("%s", alert.text)
        return new

    def waiting(self) -> int:
        """Return how many alerts have not arrived yet. Raises: StoreError."""
        query = sa.select(sa.func.count()).select_from(ALERTS).where(ALERTS.c.delivered_s.is_(None))
        with self._store.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def deliver(self, at_s: float | None = None) -> int:
        """Send what is due; return how many arrived. A receiver that fails is only logged. Raises: StoreError."""
        if not self._url:
            return 0
        moment, arrived = time.time() if at_s is None else at_s, 0
        query = sa.select(ALERTS).where(ALERTS.c.delivered_s.is_(None), ALERTS.c.due_s <= moment)
        with self._store.reading() as connection:
            due = list(connection.execute(query.order_by(ALERTS.c.due_s).limit(_AT_ONCE)))
        if not due:
            return 0
        with httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False) as client:
            for row in due:
                if self._take(row.id, row.attempts, moment):
                    failpoint("alert.before_send")
                    if self._send(client, row.id, row.body):
                        failpoint("alert.after_send")
                        self._arrived(row.id)
                        arrived += 1
        return arrived

    def _take(self, alert_id: str, attempts: int, moment: float) -> bool:
        """Put the alert's next sending off, unless somebody else just did."""
        wait_s = min(_LONGEST_WAIT_S, _TAKEN_S * 2.0 ** min(attempts, 10))
        mine = (ALERTS.c.id == alert_id) & (ALERTS.c.attempts == attempts) & ALERTS.c.delivered_s.is_(None)
        with self._store.writing() as connection:
            statement = sa.update(ALERTS).where(mine).values(attempts=attempts + 1, due_s=moment + wait_s)
            return connection.execute(statement).rowcount == 1

    def _arrived(self, alert_id: str) -> None:
        with self._store.writing() as connection:
            connection.execute(sa.update(ALERTS).where(ALERTS.c.id == alert_id).values(delivered_s=time.time()))

    def _send(self, client: httpx.Client, alert_id: str, body: str) -> bool:
        sent = str(int(time.time()))
        headers = {
            "content-type": "application/json",
            "x-sharpen-id": alert_id,
            "x-sharpen-time": sent,
            "x-sharpen-signature": signature(self._key, sent, body),
        }
        try:
            with client.stream("POST", self._url, content=body.encode(), headers=headers) as answer:
                if answer.is_success:
                    return True
                problem = f"it answered {answer.status_code}"
        except httpx.HTTPError as error:
            problem = type(error).__name__
        # The address may hold a secret, and an error's text may hold the address.
        _log.warning("the alert %s did not arrive, and is sent again later: %s", alert_id, problem)
        return False


def signature(key: bytes, sent: str, body: str) -> str:
    """Return what the receiver compares: the HMAC-SHA256 of the time, a dot and the body, in hexadecimal."""
    return hmac.new(key, f"{sent}.{body}".encode(), hashlib.sha256).hexdigest()
