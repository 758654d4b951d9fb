"""The error tree. Every error says what is wrong, where, and what to type next.

    SharpenError
    ├── ConfigError        the configuration file or a command's argument is wrong
    ├── MissingExtra       a part is not installed; names the line to type
    ├── BoundaryError      something outside of us failed; trying again may help
    │   ├── EngineError    a model could not be loaded or run
    │   ├── StoreError     the database or the disk refused
    │   ├── TrainerError   the trainer child died or reported a failure
    │   └── TrackerError   MLflow or a peer of it failed
    └── Refused            we will not do this, and say why
        ├── NotFound       the record that was named does not exist
        ├── BiasFound      a training set treats some worse than others, and the settings forbid that
        ├── ChampionChanged  somebody else deployed in between: nothing was written
        └── UntrustedJudge a judge that was not measured, or failed, may advise but not label or gate

In: nothing. Out: exceptions. Must not know any other module.
"""

from __future__ import annotations


class SharpenError(Exception):
    """Anything this package raises on purpose.

    `what` is one sentence that names the place and the fault; `next_step` is what the user types or changes.
    """

    def __init__(self, what: str, next_step: str = "") -> None:
        self.what = what
        self.next_step = next_step
        super().__init__(what)

    def __str__(self) -> str:
        return f"{self.what}\n  → {self.next_step}" if self.next_step else self.what


class ConfigError(SharpenError):
    """The configuration file or a command's argument is wrong."""


class MissingExtra(SharpenError):  # noqa: N818 - named for what it tells, like its peers below
    """A part is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"The package '{module}' is not installed.", f"sharpen install {extra}")


class BoundaryError(SharpenError):
    """Something outside of us failed: a provider, engine, store, trainer or plug-in. Trying again may help."""


class EngineError(BoundaryError):
    """A model could not be loaded or run."""


class StoreError(BoundaryError):
    """The database or the disk refused."""


class TrainerError(BoundaryError):
    """The trainer child died or reported a failure."""


class TrackerError(BoundaryError):
    """MLflow, or a peer of it, failed."""


class Refused(SharpenError):  # noqa: N818 - a decision, not a fault
    """We will not do this, and the message says why."""


class NotFound(Refused):
    """The record that was named does not exist."""


class BiasFound(Refused):
    """A training set shows signs of bias, and `[curation] bias` says to hold then."""


class ChampionChanged(Refused):
    """Somebody else deployed in between; nothing was written."""


class UntrustedJudge(Refused):
    """A judge that was not measured, or failed when it was, may advise, but not label or gate."""
