"""While the server runs: move the canary, look at live traffic, send alerts. On a thread of its own.

In: configuration and store. Out: Deployments, alerts. Must not know requests; whatever fails here is logged, and no
answer waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from sharpen.config import Config
from sharpen.errors import SharpenError
from sharpen.monitoring.outbox import Outbox
from sharpen.monitoring.watch import Alert, Embed, Watch
from sharpen.promotion.journal import Journal
from sharpen.promotion.rollout import Look, Pilot
from sharpen.records import Trace
from sharpen.store import Store

_log = logging.getLogger(__name__)
_LONGEST_REPLY = 2000  # chosen: characters of a reply that are embedded


class Steward:
    """Looks every `look_s` seconds. Several servers may have one each: every move and every alert is made once.

    Raises: ConfigError when an alert could not be sent as configured; Refused when the journal's key is unfit.
    """

    def __init__(self, config: Config, store: Store) -> None:
        settings = config.monitoring
        self._look_s = settings.look_s
        self._outbox = Outbox(store, settings)
        self._watch = Watch(store, settings, embedding(config, store) if settings.embeddings else None)
        self._pilot = Pilot(store, Journal.open(config.home), config.rollout)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sharpen-steward", daemon=True)

    def start(self) -> None:
        """Begin; the first look comes after `look_s` seconds."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End after the look that is on its way."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def look(self) -> None:
        """Look once. Raises nothing: what failed is in the log, and the next look tries again."""
        for part in (self._pilot_look, self._watch_look, self._outbox.deliver):
            try:
                part()
            except SharpenError as error:
                _log.error("monitoring: %s", error)
            except Exception:
                _log.exception("monitoring failed")

    def _pilot_look(self) -> None:
        look: Look | None = self._pilot.look()
        if look is not None and look.decision != "stay":
            _log.warning("canary '%s': %s", look.canary.challenger_id, look.reason)

    def _watch_look(self) -> None:
        alerts: list[Alert] = self._watch.look()
        self._outbox.put(alerts)

    def _work(self) -> None:
        while not self._stopping.wait(self._look_s):
            self.look()


def embedding(config: Config, store: Store) -> Embed:
    """Return a function that embeds the replies of exchanges by their ids; erased and empty ones are left out."""
    from sharpen.models.embeddings import SentenceEmbedder

    model: Callable[[list[str]], list[list[float]]] = SentenceEmbedder(config.memory.embeddings).embed_documents

    def embed(trace_ids: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        traces = [one for one in store.find(Trace, ids=trace_ids) if one.reply]
        vectors = model([str(one.reply)[:_LONGEST_REPLY] for one in traces]) if traces else []
        return {one.id: np.asarray(vector) for one, vector in zip(traces, vectors, strict=True)}

    return embed
