"""The same budget of work for everybody: a trainer ends when this process has spent so many CPU seconds on it.

In: a Transformers trainer, CPU seconds. Out: the same trainer, with an end and a learning rate that falls towards it.
Must not know any method. CPU seconds, because a busy machine makes a clock on the wall run faster than the work.
"""

from __future__ import annotations

import time
from typing import Any

WARM_UP = 0.1  # share of the budget, as in our recipes
EPOCHS = 1000.0  # more than any budget here lasts


def limit(trainer: Any, budget_s: float, started_s: float, warm_up: float) -> Any:
    """End the trainer's run when `budget_s` CPU seconds have passed since `started_s` of `time.process_time()`.

    The learning rate falls linearly to 0 over the budget, after a warm-up of that share of it. Returns the trainer.
    """
    from torch.optim.lr_scheduler import LambdaLR
    from transformers import TrainerCallback

    def spent() -> float:
        return min(1.0, (time.process_time() - started_s) / budget_s)

    def factor(_: int) -> float:
        now = spent()
        return now / warm_up if now < warm_up else (1 - now) / (1 - warm_up)

    def create_scheduler(num_training_steps: int, optimizer: Any = None) -> Any:
        trainer.lr_scheduler = LambdaLR(optimizer or trainer.optimizer, factor)
        return trainer.lr_scheduler

    class End(TrainerCallback):
        def on_step_end(self, _: Any, __: Any, control: Any, **___: Any) -> None:
            control.should_training_stop = spent() >= 1.0

    trainer.create_scheduler = create_scheduler
    trainer.add_callback(End())
    return trainer
