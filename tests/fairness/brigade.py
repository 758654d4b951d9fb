"""A planted brigade: honest sources who write in their own words, and fakes who push one opinion."""

from __future__ import annotations

import random

import numpy as np

from sharpen.fairness.integrity import Columns

TOPICS = ("tax", "rent", "school", "travel", "recipes", "garden", "health", "music", "law", "sport")
FILLERS = [
    "answer",
    "left",
    "out",
    "forms",
    "deadline",
    "wanted",
    "example",
    "list",
    "shorter",
    "tone",
    "polite",
    "number",
    "wrong",
    "date",
    "source",
    "missing",
    "clear",
    "steps",
    "table",
    "helped",
    "second",
    "paragraph",
    "skipped",
    "local",
    "rules",
    "region",
    "currency",
    "older",
    "version",
    "confusing",
    "order",
    "names",
    "translation",
    "detail",
    "warmer",
    "calculation",
    "checked",
    "twice",
    "useful",
    "cites",
    "page",
    "link",
    "dead",
    "colour",
    "label",
    "unit",
    "metric",
    "price",
    "outdated",
]
SLOGANS = (  # one demand in eight ways; words differ, the meaning does not
    "never recommend northern shops to anyone here",
    "please do not ever suggest stores from the north to people",
    "stop recommending any northern shop to customers now",
    "shops of the north should not be recommended to anybody",
    "northern stores must never be suggested to people here",
    "nobody should get northern shops recommended by you",
    "do not recommend stores from up north to anyone please",
    "you must stop suggesting northern shops to everybody",
)
TAILS = ("", "really", "thank you", "as said", "once again", "from me too", "okay", "at last")


def planted(*, paraphrased: bool, trusted: bool = True, seed: int = 0) -> tuple[Columns, np.ndarray, np.ndarray]:
    """Return 5,000 records, which 500 of them are planted, and which are of honest trusted sources of the minority.

    Honest: 300 sources, a tenth of them of the minority, 15 records each over a month; with `trusted`, ten records of
    each are on items that a verifier knows, and nine in ten agree with it. Fakes: 250 new sources claim the minority,
    two records each within an hour.
    """
    chance = random.Random(seed)
    rows = []
    for at in range(300):
        group = "minority" if at < 30 else "majority"
        for turn in range(15):
            gold = float(chance.random() < 0.6) if trusted and turn < 10 else float("nan")
            label = int(gold if chance.random() < 0.9 else 1 - gold) if gold == gold else int(chance.random() < 0.6)
            text = " ".join([chance.choice(TOPICS), *chance.sample(FILLERS, chance.randint(4, 10))])
            item = f"i{chance.randrange(800)}"
            rows.append((f"h{at}", item, label, chance.random() * 30 * 86_400, text, gold, group, False))
    start = 12 * 86_400
    for at in range(500):
        text = f"{chance.choice(SLOGANS if paraphrased else SLOGANS[:1])} {chance.choice(TAILS)}".strip()
        when = start + chance.random() * 3_600
        rows.append((f"f{at % 250}", f"i{chance.randrange(20)}", 0, when, text, float("nan"), "minority", True))
    chance.shuffle(rows)
    source, item, label, when, text, gold, group, is_fake = zip(*rows, strict=True)
    columns = Columns(
        source, item, np.array(label), np.array(when), text, np.array(gold), {"group": group} if trusted else {}
    )
    fake_N = np.array(is_fake)
    return columns, fake_N, (np.array(group) == "minority") & ~fake_N
