"""Run one function over many tasks: here, in several processes, or on a cluster that already runs.

In: the function's name, tasks as texts, and one line that says where. Out: a text per task, in the order of the tasks.
Must not know what the function does.

The line is `local`, `local:PROCESSES`, or `dask`, `spark`, `ray`, `ray-data` with `:ADDRESS`; without an address a
small cluster is started on this machine and ended again. Dask, Spark and Ray are driven through Fugue; `ray-data`
streams through Ray Data. A worker that dies loses the tasks it had: the engine gives them to another one, and here they
are begun again. So the function must be such that doing a task twice is doing it once.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from sharpen.errors import BoundaryError, ConfigError, SharpenError
from sharpen.plugins import part

LOCAL = "local"
ENGINES = (LOCAL, "dask", "spark", "ray", "ray-data")
_ATTEMPTS = 3  # chosen: of a task whose worker died; a task that kills its worker each time is given up
_WORKERS = 2  # chosen: of a cluster that is started for one run


def run_all(work: str, tasks: Sequence[str], engine: str) -> list[str]:
    """Return what `work`, a "module:function" of a text, makes of each task.

    Raises: ConfigError when there is no such engine; MissingExtra; BoundaryError when the engine gave up.
    """
    name, _, address = engine.partition(":")
    if name not in ENGINES:
        raise ConfigError(f"[curation] engine: there is no '{name}'.", f"one of {', '.join(ENGINES)}, with :ADDRESS")
    if not tasks:
        return []
    if name == LOCAL:
        return _local(work, tasks, address)
    try:
        return {"dask": _dask, "spark": _spark, "ray": _ray, "ray-data": _ray_data}[name](work, tasks, address)
    except SharpenError:
        raise
    except Exception as error:  # four engines fail in as many ways as they have layers
        raise BoundaryError(
            f"The engine '{engine}' gave up: {type(error).__name__}: {str(error)[:500]}",
            "is the cluster there, and sharpen installed on it? `sharpen curate` goes on with the parts that are left",
        ) from error


def apply(rows: list[dict[str, Any]], work: str) -> list[dict[str, Any]]:
    """Do the tasks of one batch; this is what Fugue and Ray Data send to a worker."""
    do = function(work)
    return [{"task": row["task"], "result": do(row["task"])} for row in rows]


def function(work: str) -> Callable[[str], str]:
    """Return the function that a "module:function" names."""
    module, _, name = work.partition(":")
    found: Callable[[str], str] = getattr(importlib.import_module(module), name)
    return found


def _do(work: str, task: str) -> str:
    return function(work)(task)


def _local(work: str, tasks: Sequence[str], processes: str) -> list[str]:
    if processes and not (processes.isdigit() and int(processes)):
        raise ConfigError(f"[curation] engine: 'local:{processes}' names no number of processes.", "local:2")
    if not processes:
        return [_do(work, task) for task in tasks]
    results: dict[str, str] = {}
    for _ in range(_ATTEMPTS):
        left = [task for task in tasks if task not in results]
        with ProcessPoolExecutor(int(processes), mp_context=get_context("spawn")) as pool:
            begun = {task: pool.submit(_do, work, task) for task in left}
            for task, future in begun.items():
                try:
                    results[task] = future.result()
                except BrokenProcessPool:  # a worker died, and took the others' work with it
                    continue
        if len(results) == len(set(tasks)):
            return [results[task] for task in tasks]
    raise BoundaryError(f"A worker died {_ATTEMPTS} times on the same parts.", "not enough memory? set more shards")


def _through_fugue(work: str, tasks: Sequence[str], engine: Any) -> list[str]:
    given = part("pandas").DataFrame({"task": list(tasks)})
    told = part("fugue.api").transform(
        given,
        apply,
        schema="task:str,result:str",
        params={"work": work},
        partition={"num": len(tasks), "algo": "even"},
        engine=engine,
        as_fugue=True,
    )
    results = {row["task"]: row["result"] for row in told.as_local_bounded().as_dicts()}
    return [results[task] for task in tasks]


def _dask(work: str, tasks: Sequence[str], address: str) -> list[str]:
    distributed = part("distributed")
    own = {} if address else {"n_workers": _WORKERS, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.Client(address or None, **own) as client:
        return _through_fugue(work, tasks, client)


def _spark(work: str, tasks: Sequence[str], address: str) -> list[str]:
    if not address:
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else workers are whatever `python3` is on the path
    builder = part("pyspark.sql").SparkSession.builder.appName("sharpen-curate")
    # The last figure of a local master is how often a task may fail: one worker's death must not end the run.
    builder = builder.master(address or f"local[{_WORKERS},{_ATTEMPTS}]").config("spark.ui.enabled", "false")
    session = builder.config("spark.sql.execution.arrow.pyspark.enabled", "true").getOrCreate()
    try:
        return _through_fugue(work, tasks, session)
    finally:
        session.stop()


def _ray(work: str, tasks: Sequence[str], address: str) -> list[str]:
    with _ray_cluster(address):
        return _through_fugue(work, tasks, "ray")


def _ray_data(work: str, tasks: Sequence[str], address: str) -> list[str]:
    with _ray_cluster(address):
        data = part("ray.data").from_items([{"task": task} for task in tasks], override_num_blocks=len(tasks))
        told = data.map(lambda row: apply([row], work)[0], max_retries=_ATTEMPTS).take_all()
    results = {row["task"]: row["result"] for row in told}
    return [results[task] for task in tasks]


@contextmanager
def _ray_cluster(address: str) -> Iterator[None]:
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "240")  # a busy machine takes longer than the default of 60
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = part("ray")
    own = {} if address else {"num_cpus": _WORKERS, "include_dashboard": False, "object_store_memory": 200 << 20}
    ray.init(address=address or None, log_to_driver=False, **own)
    try:
        yield
    finally:
        ray.shutdown()
