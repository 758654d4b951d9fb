"""The loop, in one page: ask, say what was wrong, run a cycle, read the verdict, look where it came from.

    python examples/00_the_loop.py                  # a random model of a million parameters, in about a minute
    python examples/00_the_loop.py sharpen.toml     # your model and your suite

The random model knows nothing, so the gate may well hold: what this shows is how the parts are called. `sharpen demo`
tells the same story with a real model.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from sharpen import Loop, scorer
from sharpen.lineage.provenance import render, why


# 1. What "better" means. A scorer takes a reply and the right answer; a suite's rows name it. `exact` is built in; this
#    one is more lenient: any casing, and more words after the first.
@scorer
def first_word(reply: str, reference: str) -> float:
    """Return 1 if the reply begins with the right word."""
    return float(reply.lower().split()[:1] == [reference.lower()])


def write_suite(path: Path) -> None:
    """Write cases: is a number even or odd? A case falls into train, dev, gate or vault by the hash of its prompt."""
    rows = [
        {
            "prompt": f"Is {number} even or odd?",
            "reference": "odd" if number % 2 else "even",
            "choices": ["even", "odd"],
            "scorer": "first_word",
        }
        for number in range(200)
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")


def tiny_deployment(folder: Path) -> Path:
    """Make a random model, a suite, and the configuration that names both. Your own has the same few keys."""
    from sharpen.testing import tiny_model

    write_suite(folder / "parity.jsonl")
    tiny_model(folder / "model", texts=["Is 7 even or odd?", "even", "odd"])
    config = folder / "sharpen.toml"
    config.write_text(
        'base = "model"\n'
        'pace = "demo"\n'
        "[gateway]\n"
        "max_reply_tokens = 4\n"
        "[evaluation]\n"
        'suite = "parity.jsonl"\n'
        "max_new_tokens = 4\n"
        "[curation]\n"
        "near_duplicate = 1.0\n"  # these questions differ in one number: to the filters they are all the same
        "overlap = 1.0\n"
        "[critique]\n"
        "max_new_tokens = 4\n"
        "[tracking]\n"
        "mlflow = false\n"
    )
    return config


def main(config: Path) -> None:
    """Run one pass of the loop."""
    # 2. Open the loop. Version 0 is the base as it is; it serves from now on.
    loop = Loop.open(config, on_progress=tell)
    base = loop.initialise()
    print(f"version 0: {base.id}")

    # 3. Use it. Only training cases are asked here: the others measure. Behind `sharpen serve`, people ask instead.
    asked = loop.target.tier("train")[:40]
    traces = [loop.chat(case.messages[-1].content) for case in asked]
    print(f"asked {len(traces)}, for example: {asked[0].messages[-1].content!r} → {traces[0].reply!r}")

    # 4. Say what was wrong. A correction is the strongest thing to learn from.
    for case, trace in zip(asked, traces, strict=True):
        value, _ = loop.target.score(case, trace.reply)
        if not value:
            loop.feedback(trace, value=-1, correction=case.reference)

    # 5. One cycle: critique, curate, train, evaluate, promote. Killed half way, the next call goes on from there.
    cycle = loop.cycle()
    for stage in cycle.stages:
        print(f"{stage.stage:<10} {stage.seconds:6.1f} s, {stage.model_seconds:6.1f} s in the model")

    # 6. The gate's decision. "Hold: not enough evidence yet" is a normal outcome.
    assert cycle.verdict is not None
    print(cycle.verdict.reason)
    for one in cycle.verdict.comparisons:
        print(f"  {one.suite} against {one.against}: {one.challenger:.1%} and {one.other:.1%}, p = {one.p_value:.2g}")

    # 7. Where the new version comes from, back to the exchanges it learned from. `sharpen undo` would go back.
    if cycle.version_id:
        from rich import print as show

        show(render(why(loop.store, cycle.version_id, shown=2)))


def tell(stage: str, done: int, total: int) -> None:
    """Show how far a stage is."""
    if done and done == total:
        print(f"  {stage}: {done} of {total}", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(tiny_deployment(Path(temporary)))
