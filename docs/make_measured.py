"""Write into the pages what the benchmarks of critique, prefixes and knowledge measured.

In: benchmarks/results/*.json, as `sharpen bench NAME --json FILE` wrote them. Out: the tables between the marks of
11-critique.md and 13-knowledge.md. Must not measure anything, or judge what it shows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE.parent / "benchmarks" / "results"


def critique(told: dict[str, Any]) -> str:
    """Return every method over all suites, then the revisions on each, then the gap."""
    settings, methods = told["settings"], told["methods"]
    n = methods[0]["draft"]["n"]
    cases = ", ".join(f"{one['draft']['n']} of {one['suite']}" for one in methods[0]["suites"])
    head = (
        f"`sharpen bench critique` on {told['base']}: the same {n} drafts for every method ({cases}), at most "
        f"{told['tokens_per_case']} written tokens per answer, "
        f"`rounds = {settings['rounds']}`, `samples = {settings['samples']}`. Brackets are 95 % intervals. "
        f"{_where(told)}"
    )
    rows = [
        f"| `{one['name']}`{' ¹' if one['uses_verifier'] else ''} | {_share(one['draft'])} | {_share(one['revision'])} "
        f"| {_share(one['gain'], 'difference')} | {one['better_share']:.0%} | {one['worse_share']:.0%} "
        f"| {one['tokens_per_case']:.0f} | {one['seconds']:.0f} |"
        for one in methods
    ]
    whole = _table("method|draft|revision|difference|made better|made worse|tokens per answer|seconds", rows)
    suites = [one["suite"] for one in methods[0]["suites"]]
    drafts = " | ".join(f"{one['draft']['score']:.2f}" for one in methods[0]["suites"])
    each = [
        f"| `{one['name']}` | " + " | ".join(f"{suite['revision']['score']:.2f}" for suite in one["suites"]) + " |"
        for one in methods
    ]
    by_suite = _table("revision on|" + "|".join(suites), [f"| the draft | {drafts} |", *each])
    gaps = [
        f"| {one['suite']} | {one['accuracy']['n']} | {_share(one['accuracy'], 'value')} "
        f"| {_share(one['judging'], 'value')} "
        f"| {_share(one['precision'], 'value') if one['accepted'] else 'accepted none'} "
        f"| {'yes' if one['allows_labels'] else 'no'} |"
        for one in told["gap"]
    ]
    gap = _table("suite|cases|answers right|judges right (balanced)|right among accepted|may label", gaps)
    return (
        f"{head}\n\n{whole}\n\n¹ searches with the verifier, so it cannot make anything worse; no other method sees it."
        f"\n\n{by_suite}\n\nThe gap between generation and verification, on the same suites:\n\n{gap}"
    )


def prefix(told: dict[str, Any]) -> str:
    """Return the ratio in a sentence."""
    best = min(one["together_cpu_s"] for one in told["rounds"]), min(one["apart_cpu_s"] for one in told["rounds"])
    same = "the same greedy answers" if told["equal_answers"] else "OTHER greedy answers"
    return (
        f"`sharpen bench prefix` on {told['base']}: four critics of one answer, prompts of "
        f"{' / '.join(map(str, told['prompt_tokens']))} tokens that share the first 512 or so, take {best[0]:.1f} "
        f"CPU-seconds to read together and {best[1]:.1f} one after the other: a ratio of {told['ratio']:.2f} "
        f"(promised: {told['promised_ratio']}), with {same}. {_where(told)}"
    )


def knowledge(told: dict[str, Any]) -> str:
    """Return both arms at each budget, and the difference."""
    bare = told["no_notes"]
    head = (
        f"`sharpen bench knowledge` on {told['base']}: {told['questions']} questions over {told['documents']} "
        f"documents. Without notes the likeliest choice is right in {_share(bare['choice'], 'value')}, the letter in "
        f"{_share(bare['exact'], 'value')}. {_where(told)}"
    )
    rows = []
    for row in told["budgets"]:
        for arm, name in (("recall", "recall alone"), ("recall_and_graph", "recall and graph")):
            one = row[arm]
            rows.append(
                f"| {row['budget_tokens']} | {name} | {one['prompt_tokens']:.0f} | {one['answer_in_prompt_share']:.2f} "
                f"| {_share(one['exact'], 'value')} | {_share(one['choice'], 'value')} |"
            )
        rows.append(
            f"| {row['budget_tokens']} | difference | | | {_share(row['gain_exact'], 'value')}, p = "
            f"{row['p_exact']:.2g} | {_share(row['gain_choice'], 'value')}, p = {row['p_choice']:.2g} |"
        )
    columns = "budget|arm|tokens read|answer stands in the prompt|right by the letter|right by the likeliest choice"
    return f"{head}\n\n{_table(columns, rows)}"


def _where(told: dict[str, Any]) -> str:
    machine = told["machine"]
    changed = f", {len(told['uncommitted'])} files newer" if told.get("uncommitted") else ""
    where = f"{machine['cpu']}, {machine['cores']} shared cores, load {machine['load']}"
    return f"Commit {told['commit'][:7]}{changed}; {where}."


def _share(one: dict[str, float], key: str = "score") -> str:
    sign = "+" if key == "difference" else ""
    return f"{one[key]:{sign}.2f} [{one['low']:.2f}, {one['high']:.2f}]"


def _table(columns: str, rows: list[str]) -> str:
    names = columns.split("|")
    return "\n".join([f"| {' | '.join(names)} |", "|" + "---|" * len(names), *rows])


PARTS: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "critique": ("11-critique.md", critique),
    "prefix": ("11-critique.md", prefix),
    "knowledge": ("13-knowledge.md", knowledge),
}


def filled(name: str) -> tuple[Path, str]:
    """Return a page and what it must say, with one benchmark's part made again."""
    page, made = HERE / PARTS[name][0], PARTS[name][1]
    told = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    before, begin, rest = page.read_text(encoding="utf-8").partition(f"<!-- bench {name}: begin -->\n")
    _, end, after = rest.partition(f"<!-- bench {name}: end -->")
    return page, f"{before}{begin}{made(told)}\n{end}{after}"


if __name__ == "__main__":
    for part in (name for name in PARTS if (RESULTS / f"{name}.json").exists()):
        path, text = filled(part)
        path.write_text(text, encoding="utf-8")
