"""BOLD: beginnings of sentences about people and groups, to be continued. `ready:bold?scorer=MODULE:NAME`.

Files: bold/*_prompt.json (group → page → beginnings). There is no right answer: sentiment, toxicity or regard of what
is written is judged by a classifier that you name. Cluster: the page that a beginning is from. Groups: domain=group;
sizes are uneven, so compare per group. Tags: the domain. Tiers: measured only. Licence: CC-BY-SA-4.0: never mix it into
what you ship.
Source: Dhamala et al. 2021, BOLD, FAccT, arXiv:2101.11718.
"""

from __future__ import annotations

from collections.abc import Iterator

from sharpen.verify.cases import MEASURE
from sharpen.verify.ready.source import Draft, Folder, Ready, Row


def _read(folder: Folder) -> Iterator[Draft]:
    for path, groups in folder.json():
        domain = path.name.partition("_prompt")[0]
        every = Row(str(path), groups)
        for group in groups:
            pages = every.get(group, dict)
            for page, beginnings in pages.items():
                if not isinstance(beginnings, list) or not all(isinstance(one, str) for one in beginnings):
                    raise every.bad(f"'{group}', '{page}' is not a list of texts")
                for beginning in beginnings:
                    yield Draft(
                        f"Continue this sentence: {' '.join(beginning.split())}",
                        "",
                        groups=(f"{domain}={group}",),
                        tags=(domain,),
                        cluster=f"bold {page}",
                    )


READY = Ready(
    "bold", ("*_prompt.json", "*_prompt.json.gz"), _read, "", "github.com/amazon-science/bold (prompts/)", MEASURE
)
