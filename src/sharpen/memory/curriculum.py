"""In which order to learn: what others build on comes first.

In: examples, and what is known. Out: the examples' positions in order. Must not know how they are trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sharpen.memory.facts import named
from sharpen.memory.knowledge import Knowledge
from sharpen.memory.words import asked
from sharpen.records import Example


def curriculum(examples: Sequence[Example], knowledge: Knowledge) -> list[int]:
    """Return the positions of the examples, prerequisites first; examples of equal depth keep their order.

    An example is as deep as the deepest concept its prompt mentions. A concept comes after what it is (`is_a`) and
    after what it is made of (`part_of`).
    """
    mentioned = [knowledge.mentioned(asked(example.messages)) for example in examples]
    needs: dict[str, set[str]] = {}
    left = [name for names in mentioned for name in names]
    while left:
        name = left.pop()
        if name not in needs:
            needs[name] = {named(one) for one in knowledge.before(name, hops=1)} - {name}
            left += sorted(needs[name])
    levels = depths(needs)
    deep = [max((levels[name] for name in names), default=0) for names in mentioned]
    return sorted(range(len(examples)), key=lambda place: (deep[place], place))


def depths(needs: Mapping[str, set[str]]) -> dict[str, int]:
    """Return each name's depth: 0 for what needs nothing, else one more than the deepest thing it needs.

    A cycle is broken at the name with the fewest open needs, of those the first by alphabet: the same every time.

    >>> depths({"lemur": {"primate"}, "primate": {"animal"}, "animal": set()})
    {'animal': 0, 'primate': 1, 'lemur': 2}
    """
    open_ = {name: {one for one in wanted if one in needs} for name, wanted in needs.items()}
    level: dict[str, int] = {}
    while open_:
        ready = sorted(name for name, wanted in open_.items() if not wanted - level.keys())
        if not ready:
            ready = [min(open_, key=lambda name: (len(open_[name] - level.keys()), name))]
        now = {name: max((level[one] + 1 for one in open_[name] if one in level), default=0) for name in ready}
        level |= now
        for name in ready:
            del open_[name]
    return level
