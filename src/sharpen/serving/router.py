"""Every request is answered by the right version, and a new champion takes over while requests are on their way.

In: requests, and the Deployments in the store. Out: answers, each with the version that gave it. Must not know HTTP,
or why a version was deployed.

Two threads: the worker owns the engine and makes every call to it; the watcher reads the store, so that a store that
hangs never stops an answer. A request is bound to its version when it is submitted and keeps it. Where a Deployment
shares the traffic, a session always meets the same version (`shares.py`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sharpen.errors import BoundaryError, EngineError, NotFound, SharpenError
from sharpen.models.engine import Engine, Generation, Job, Request
from sharpen.records import Deployment, ModelVersion
from sharpen.serving.shares import Serving, Split, split_of
from sharpen.serving.shelf import Shelf
from sharpen.serving.tickets import Answer, Overloaded, Ticket
from sharpen.store import Store

__all__ = ["Answer", "Overloaded", "Router", "Ticket"]

_log = logging.getLogger(__name__)
_LOAD_AGAIN_AFTER_POLLS = 10  # chosen: a champion that would not load is tried again, without stopping answers often


class Router:
    """Answers requests with one engine.

    At most `max_rows` requests are on the engine and `max_waiting` more wait; the store is read every `poll_s` seconds.
    """

    def __init__(
        self, engine: Engine, store: Store, adapters: Path, *, poll_s: float, max_waiting: int, max_rows: int = 32
    ) -> None:
        self._engine = engine
        self._store = store
        self._shelf = Shelf(engine, store, adapters)
        self._poll_s = poll_s
        self._max_waiting = max_waiting
        self._max_rows = max_rows
        self.swaps = 0  # Deployments taken over since the start
        self._wake = threading.Condition()
        # Below: read and written under `_wake`, or by the worker alone.
        self._waiting: deque[Ticket] = deque()
        self._running: list[Ticket] = []
        self._given_up: list[Ticket] = []
        self._wanted: Deployment | None = None
        self._serving: Serving | None = None
        self._tried: tuple[str, float] = ("", 0.0)  # the deployment that would not load, and when to try it again
        self._load_error: str | None = None
        self._store_error: str | None = None
        self._settled = threading.Event()  # the first look at the store has led to something
        self._stopping = threading.Event()
        self._deadline = float("inf")
        self._worker = threading.Thread(target=self._work, name="sharpen-engine", daemon=True)
        self._watcher = threading.Thread(target=self._watch, name="sharpen-watch", daemon=True)

    # -- for callers, on any thread ----------------------------------------------------------------------------------

    def start(self, wait_s: float = 10.0) -> None:
        """Start answering; return when the champion is loaded, could not be loaded, or after `wait_s` seconds."""
        self._worker.start()
        self._watcher.start()
        self._settled.wait(wait_s)

    def stop(self, timeout_s: float = 10.0) -> None:
        """Take no more requests, finish those on their way, and break them off after `timeout_s` seconds."""
        with self._wake:
            self._deadline = time.monotonic() + timeout_s
            self._stopping.set()
            self._wake.notify_all()
        if self._worker.ident is not None:
            self._worker.join()
            self._watcher.join(timeout_s)

    def submit(
        self,
        request: Request,
        on_text: Callable[[str], None] | None = None,
        version_id: str | None = None,
        *,
        session: str | None = None,
    ) -> Ticket:
        """Queue a request for a version, or for whoever answers this session: the champion, or a canary beside it.

        `on_text` gets each piece, on the worker's thread.
        Reads the store, and so may block, when `version_id` is not one of `versions()`.
        Raises: NotFound, Overloaded, EngineError when nothing can answer yet, StoreError.
        """
        if version_id is not None:
            self.describe(version_id)
        with self._wake:
            if self._stopping.is_set():
                raise BoundaryError("The server is stopping.", "send the request again in a moment")
            if version_id is None:
                if self._serving is None:
                    raise EngineError(self._problem() or "No model is loaded yet.", "try again in a moment")
                version_id = self._serving.version_for(session)
            if len(self._waiting) + len(self._running) >= self._max_waiting + self._max_rows:
                raise Overloaded(f"{len(self._waiting)} requests wait already.", "send the request again in a moment")
            ticket = Ticket(Job(request, version_id))
            if on_text is not None:
                ticket.job.on_text = self._guarded(ticket, on_text)
            self._waiting.append(ticket)
            self._wake.notify_all()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Give a request up; its answer holds what was written. One that is answered already stays as it is."""
        with self._wake:
            self._given_up.append(ticket)
            self._wake.notify_all()

    def describe(self, version_id: str) -> ModelVersion:
        """Return a version's record, from the store the first time. Raises: NotFound, StoreError."""
        return self._shelf.describe(version_id)

    def versions(self) -> frozenset[str]:
        """Return the versions that are loaded."""
        return self._shelf.loaded

    @property
    def champion(self) -> str | None:
        """The version that answers now; None when none can."""
        return self._serving.version_id if self._serving else None

    @property
    def shares(self) -> dict[str, float]:
        """The share of the traffic per version that answers now, 0-1."""
        return self._serving.shares if self._serving else {}

    @property
    def load(self) -> tuple[int, int]:
        """How many requests wait, and how many are on the engine."""
        return len(self._waiting), len(self._running)

    def health(self) -> dict[str, Any]:
        """Return what an operator asks first. `state` is starting, ready, degraded or stopped."""
        with self._wake:
            alive = self._worker.is_alive() and not self._stopping.is_set()
            problem = self._problem()
            state = "degraded" if problem else "ready"
            return {
                "state": "stopped" if not alive else "starting" if self._serving is None else state,
                "champion": self.champion,
                "loaded": sorted(self._shelf.loaded),
                "waiting": len(self._waiting),
                "running": len(self._running),
                "error": problem,
            }

    def _problem(self) -> str | None:
        return self._load_error or self._store_error

    def _guarded(self, ticket: Ticket, on_text: Callable[[str], None]) -> Callable[[str], None]:
        """Keep a listener's failure away from the other rows of the batch."""

        def emit(piece: str) -> None:
            try:
                on_text(piece)
            except Exception:
                _log.exception("a listener failed; its request is given up")
                self.cancel(ticket)

        return emit

    # -- the watcher -------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while True:
            self._look()
            if self._stopping.wait(self._poll_s):
                return

    def _look(self) -> None:
        try:
            deployment = self._store.champion()
            self.describe(deployment.version_id)
        except Exception as error:
            # Health is open to anyone: the address of the store goes to the log alone.
            what = error.what if isinstance(error, NotFound) else "The store cannot be read."
            if what != self._store_error:
                _log.error("no news from the store: %s", error, exc_info=not isinstance(error, SharpenError))
            self._store_error = what
            self._settled.set()
            return
        with self._wake:
            self._store_error = None
            self._wanted = deployment
            self._wake.notify_all()

    # -- the worker --------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(self._has_work)
                over = self._stopping.is_set() and not (self._waiting or self._running)
                if over or time.monotonic() > self._deadline:
                    break
            try:
                self._turn()
            except Exception as error:  # whatever happens, the next request must be answered
                _log.exception("the engine failed")
                self._fail_running(error)
        self._break_off()

    def _has_work(self) -> bool:
        busy = self._waiting or self._running or self._given_up
        return bool(busy) or self._stopping.is_set() or self._due() is not None

    def _turn(self) -> None:
        """Do what lies between two steps, and a step."""
        if (deployment := self._due()) is not None:
            self._switch(deployment)
        self._drop_given_up()
        self._admit()
        if self._running and not self._engine.step():
            self._settle()
            if self._running:
                raise EngineError("The engine lost track of its jobs.")
        self._settle()
        self._unload_idle()

    def _due(self) -> Deployment | None:
        """Return the deployment to switch to, if there is one and it is time."""
        wanted, (failed_id, again_at) = self._wanted, self._tried
        if wanted is None or (self._serving is not None and self._serving.deployment_id == wanted.id):
            return None
        return None if wanted.id == failed_id and time.monotonic() < again_at else wanted

    def _switch(self, deployment: Deployment) -> None:
        """Load the new champion, then let it answer; if it will not load, keep what answers now."""
        try:
            self._shelf.load(deployment.version_id)
        except Exception as error:
            self._tried = (deployment.id, time.monotonic() + _LOAD_AGAIN_AFTER_POLLS * self._poll_s)
            if self._serving is None:
                self._fall_back(deployment)
            what = error.what if isinstance(error, SharpenError) else str(error)
            text = f"The champion '{deployment.version_id}' cannot be loaded: {what}"
            if text != self._load_error:
                _log.error("%s; '%s' answers", text, self.champion)
            self._load_error = text
        else:
            self._load_error = None
            self._serving = Serving(
                deployment.id, deployment.version_id, deployment.previous_id, self._split(deployment)
            )
            self.swaps += 1
            _log.info("'%s' answers", deployment.version_id)
        self._settled.set()

    def _split(self, deployment: Deployment) -> Split | None:
        """Load the canary beside the champion; one that will not load gets no traffic, and so never advances."""
        split = split_of(deployment)
        if split is None:
            return None
        try:
            self._shelf.load(split.version_id)
        except Exception as error:
            what = error.what if isinstance(error, SharpenError) else str(error)
            self._load_error = f"The canary '{split.version_id}' cannot be loaded: {what}"
            _log.error("%s; '%s' answers alone", self._load_error, deployment.version_id)
            return None
        return split

    def _fall_back(self, deployment: Deployment) -> None:
        """After a restart the champion before is better than no answer."""
        if deployment.previous_id is None:
            return
        try:
            self._shelf.load(deployment.previous_id)
        except Exception:
            _log.exception("the champion before cannot be loaded either")
        else:
            self._serving = Serving("", deployment.previous_id, None)

    def _drop_given_up(self) -> None:
        with self._wake:
            given_up, self._given_up = self._given_up, []
            unstarted = [ticket for ticket in given_up if ticket in self._waiting]
            for ticket in unstarted:
                self._waiting.remove(ticket)
        for ticket in unstarted:
            ticket.set_result(Answer(Generation("", 0, 0, "cancelled"), ticket.version_id))
        for ticket in given_up:
            if ticket in self._running:
                self._engine.cancel(ticket.job)
        self._settle()

    def _admit(self) -> None:
        while True:
            with self._wake:
                if not self._waiting or len(self._running) >= self._max_rows:
                    return
                ticket = self._waiting.popleft()
                self._running.append(ticket)
            try:
                self._shelf.load(ticket.version_id)
                self._engine.start(ticket.job)
            except Exception as error:
                self._fail(ticket, error)
            else:
                if (result := ticket.job.result) is not None:
                    self._running.remove(ticket)
                    ticket.set_result(Answer(result, ticket.version_id, refused=result.finish_reason == "error"))

    def _settle(self) -> None:
        for ticket in [ticket for ticket in self._running if ticket.job.done]:
            self._running.remove(ticket)
            assert ticket.job.result is not None
            ticket.set_result(Answer(ticket.job.result, ticket.version_id, refused=ticket.job.result.refused))

    def _unload_idle(self) -> None:
        with self._wake:
            needed = {ticket.version_id for ticket in (*self._waiting, *self._running)}
            needed |= self._serving.needed if self._serving else set()
        self._shelf.keep(needed)

    def _fail(self, ticket: Ticket, error: Exception) -> None:
        self._running.remove(ticket)
        ticket.set_exception(error if isinstance(error, SharpenError) else EngineError(f"The engine failed: {error}"))

    def _fail_running(self, error: Exception) -> None:
        self._settle()
        for ticket in list(self._running):
            try:
                self._engine.cancel(ticket.job)
            except Exception:
                _log.exception("a job could not be taken off the engine")
            self._fail(ticket, error)

    def _break_off(self) -> None:
        with self._wake:
            self._running.extend(self._waiting)
            self._waiting.clear()
        self._fail_running(BoundaryError("The server stopped before the answer was complete.", "send it again"))
