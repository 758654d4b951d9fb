"""Durable steps: a pass that is killed goes on from its last finished step, on DBOS Transact.

In: named steps, each a function from facts to facts (plain JSON values). Out: the facts at the end. Must not know what
a step does.

A step runs at least once: one that was killed half way runs again, so its effects must be idempotent. A step that
raises does not fail the pass: its error is handed to the caller and the pass stays unfinished, exactly as a kill would
have left it, so that the next start tries that step again. The ledger's file is the truth about what has happened.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sharpen.errors import BoundaryError
from sharpen.failpoints import failpoint
from sharpen.plugins import part

Facts = dict[str, Any]
Step = Callable[[Facts], Facts]

# Without a fixed version DBOS hashes the code, and a pass begun by other code is never picked up again. Raise it when
# the steps of a pass change so that an unfinished one cannot go on.
APPLICATION_VERSION = "1"
_WORKFLOW = "pass"
_MAKING_S = 30.0  # chosen: far more than DBOS takes to make its tables
_SETTLE_S = 60.0  # chosen: longer than a locked database makes a writer wait


@dataclass(frozen=True)
class Past:
    """A pass as the ledger remembers it: when it began, whether it has ended, and each finished step's two moments."""

    pass_id: str
    began: datetime
    is_finished: bool
    steps: tuple[tuple[datetime, datetime], ...]


class _Unfinished(BaseException):
    """Leave the pass as a kill would. DBOS records what derives from Exception as the pass's outcome; this does not."""


class Ledger:
    """The steps that were finished, per pass. One instance per process: DBOS allows no more."""

    def __init__(self, url: str, steps: Mapping[str, Step]) -> None:
        self._steps = dict(steps)
        self._until: str | None = None
        self._deadline = float("inf")
        self._outcomes: dict[str, Future[Facts]] = {}
        self._url = url
        self._ready = threading.Event()  # an unfinished pass, picked up at launch, waits until it is asked for
        self._wanted: str | None = None

    def __enter__(self) -> Ledger:
        dbos = part("dbos")
        serialization = part("dbos._serialization")
        _quieten()
        dbos.DBOS.destroy(destroy_registry=True)
        dbos.DBOS(
            config={
                "name": "sharpen",
                "system_database_url": self._url,
                "serializer": serialization.DBOSPortableJSONSerializer(),  # the default is pickle
                "application_version": APPLICATION_VERSION,
                "executor_id": "local",
                "log_level": "CRITICAL",
                "console_log_level": "CRITICAL",
                "enable_otlp": False,
                "use_listen_notify": False,
            }
        )
        self._dbos = dbos.DBOS
        self._id = dbos.SetWorkflowID

        def run(pass_id: str, facts: Facts) -> Facts:  # DBOS marks the function, and a bound method takes no marks
            return self._run(pass_id, facts)

        self._pass = dbos.DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=None)(run)
        try:
            self._dbos.launch()
        except Exception as error:  # whatever the driver raises means the same to the caller
            self._dbos.destroy(destroy_registry=True)
            raise _unwritable(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._wanted = None
        self._ready.set()
        self._dbos.destroy(destroy_registry=True)

    def passes(self) -> dict[str, bool]:
        """Return every pass in the order they began, and whether it has finished."""
        return {status.workflow_id: status.status == "SUCCESS" for status in self._dbos.list_workflows()}

    def go(self, pass_id: str, facts: Facts, *, until: str | None = None, for_s: float = float("inf")) -> Facts:
        """Begin the pass, or go on with it if it was begun; return its facts when it has ended.

        `until` names the step after which to stop; `for_s` is how many seconds may pass before no further step is
        begun. The pass then stays unfinished. Raises: whatever a step raised.
        """
        self._until, self._wanted = until, pass_id
        self._deadline = time.monotonic() + for_s
        outcome = self._outcomes.setdefault(pass_id, Future())
        status = self._dbos.get_workflow_status(pass_id)
        if status is None:
            try:
                with self._id(pass_id):
                    self._dbos.start_workflow(self._pass, pass_id, facts)
            except Exception as error:
                raise _unwritable(error) from error
        elif status.status == "SUCCESS":
            return dict(self._dbos.retrieve_workflow(pass_id).get_result())
        elif status.status not in ("PENDING", "ENQUEUED"):
            raise BoundaryError(f"The ledger says that {pass_id} is {status.status}.", "sharpen doctor")
        self._ready.set()
        facts = outcome.result()
        if len(self.finished_steps(pass_id)) == len(self._steps):
            self._settle(pass_id)
        return facts

    def _settle(self, pass_id: str) -> None:
        """Wait until the ledger says that the pass has ended: DBOS writes that a moment after its last step."""
        deadline = time.monotonic() + _SETTLE_S
        while self._dbos.get_workflow_status(pass_id).status != "SUCCESS":
            if time.monotonic() > deadline:
                raise BoundaryError(f"The ledger did not take note of the end of {pass_id}.", "sharpen doctor")
            time.sleep(0.01)

    def finished_steps(self, pass_id: str) -> dict[str, Facts]:
        """Return what each finished step of a pass gave, in order."""
        steps = self._dbos.list_workflow_steps(pass_id)
        return {step["function_name"]: step["output"] or {} for step in steps if step["error"] is None}

    def _run(self, pass_id: str, facts: Facts) -> Facts:
        """The workflow. Deterministic: everything that touches the world is inside a step."""
        outcome = self._outcomes.setdefault(pass_id, Future())
        self._ready.wait()
        if self._wanted != pass_id:
            raise _Unfinished
        last = list(self._steps)[-1]
        try:
            for name, step in self._steps.items():
                facts = facts | self._dbos.run_step({"name": name}, _guarded(name, step), facts)
                failpoint(f"{name}.after_ledger")
                if name != last and (name == self._until or time.monotonic() >= self._deadline):
                    raise _Unfinished
        except _Unfinished as stop:
            cause = stop.__cause__
            if cause is None:
                outcome.set_result(facts)
            else:
                outcome.set_exception(cause)
            raise
        except BaseException as error:  # the ledger itself failed: whoever waits must hear of it
            outcome.set_exception(_unwritable(error) if isinstance(error, Exception) else error)
            raise _Unfinished from error
        outcome.set_result(facts)
        return facts


def unfinished(url: str) -> list[str]:
    """Return the passes that were begun and have not ended, without going on with any. Raises: BoundaryError."""
    return [one.pass_id for one in history(url) if not one.is_finished]


def history(url: str) -> list[Past]:
    """Return every pass in the order they began, without going on with any; none where there is no ledger yet.

    Raises: BoundaryError when it is there and cannot be read.
    """
    deadline = time.monotonic() + _MAKING_S
    while _is_there(url):
        try:
            return _read(url)
        except Exception as error:  # whatever the driver raises means the same to the caller
            if "no such column" not in str(error) or time.monotonic() > deadline:
                cause = f"The ledger cannot be read: {error}"
                raise BoundaryError(cause, "check the file's rights and the disk") from error
        time.sleep(0.1)  # another process is making the tables just now, or bringing them to a newer form
    return []


def _read(url: str) -> list[Past]:
    dbos = part("dbos")
    serializer = part("dbos._serialization").DBOSPortableJSONSerializer()
    _quieten()
    client = dbos.DBOSClient(system_database_url=url, serializer=serializer, retry_connection_errors=False)
    try:
        return [
            Past(
                status.workflow_id,
                _moment(status.created_at),
                status.status == "SUCCESS",
                tuple(
                    (_moment(step["started_at_epoch_ms"]), _moment(step["completed_at_epoch_ms"]))
                    for step in client.list_workflow_steps(status.workflow_id)
                    if step["error"] is None and step["started_at_epoch_ms"] and step["completed_at_epoch_ms"]
                ),
            )
            for status in client.list_workflows(load_input=False, load_output=False)
        ]
    finally:
        client.destroy()


def _is_there(url: str) -> bool:
    """Tell whether a first pass has made the ledger's tables; a server that cannot be asked is left to the reader."""
    engine = sa.create_engine(url)
    try:
        is_file = engine.dialect.name == "sqlite"
        if is_file and not Path(engine.url.database or "").exists():
            return False
        return sa.inspect(engine).has_table("workflow_status", schema=None if is_file else "dbos")
    except sa.exc.SQLAlchemyError:
        return True
    finally:
        engine.dispose()


def _moment(epoch_ms: float) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)


def _quieten() -> None:
    """Keep DBOS from printing tracebacks: what it raises comes to the user as our own error.

    A logger that has a handler gets none from DBOS, whose own holds on to the stderr of that moment and fails every
    later start when that has been closed.
    """
    logger = logging.getLogger("dbos")
    logger.setLevel(logging.CRITICAL)
    logger.propagate = False
    logger.handlers[:] = [logging.NullHandler()]


def _unwritable(error: Exception) -> BoundaryError:
    cause = str(error).splitlines()[0] if str(error) else type(error).__name__
    return BoundaryError(
        f"The ledger cannot be written: {cause}", "check the disk's space and the file's rights, then `sharpen cycle`"
    )


def _guarded(name: str, step: Step) -> Step:
    """Let a step's error out past DBOS, which would otherwise record it as the step's outcome for ever."""

    def run(facts: Facts) -> Facts:
        failpoint(f"{name}.begin")
        try:
            given = step(facts)
        except Exception as error:
            raise _Unfinished from error
        failpoint(f"{name}.before_ledger")
        return given

    return run
