"""A snapshot for other tools: a Hugging Face data set, JSON lines that TRL reads, and Croissant metadata.

In: a snapshot's files. Out: files in a folder. Must not know the store, or how a snapshot came about.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sharpen.curation.bundle import MANIFEST, read_bundle, rows_of
from sharpen.curation.datasheet import OPEN, as_text
from sharpen.durable import write_text
from sharpen.errors import ConfigError
from sharpen.plugins import part

KINDS = ("hf", "trl-sft", "trl-dpo", "trl-kto", "croissant", "datasheet")
_ENDINGS = {"croissant": "croissant.json", "datasheet": "datasheet.md"}
# JSON-LD context of Croissant 1.1. Source: mlcommons.org/croissant/1.1, as mlcroissant writes it.
_FIELDS = dict.fromkeys(("chosen", "rejected", "reference", "origin"), "sc:Text")
_FIELDS |= dict.fromkeys(("weight", "margin"), "sc:Float")


def export(address: str, name: str, kind: str, target: Path) -> Path:
    """Write a snapshot for another tool; return what was written. Raises: ConfigError, Refused, MissingExtra."""
    if kind not in KINDS:
        raise ConfigError(f"There is no export '{kind}'.", f"one of {', '.join(KINDS)}")
    manifest, table = read_bundle(address, name)
    target.mkdir(parents=True, exist_ok=True)
    if kind == "hf":
        folder = target / name
        part("datasets").Dataset(table).save_to_disk(str(folder))
        return folder
    path = target / f"{name}.{_ENDINGS.get(kind, f'{kind}.jsonl')}"
    if kind == "croissant":
        write_text(path, json.dumps(croissant(manifest), indent=1))
    elif kind == "datasheet":
        if "bias" not in manifest.get("datasheet", {}):
            raise ConfigError(f"Snapshot '{name}' has no datasheet: [curation] bias was off.", 'bias = "report"')
        write_text(path, as_text(manifest["datasheet"]))
    else:
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in trl_rows(rows_of(table), kind)))
    return path


def trl_rows(rows: Iterator[dict[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    """Yield rows in the conversational form of TRL: prompt-completion, preference, or unpaired preference."""
    for row in rows:
        prompt = row["messages"]
        good, bad = (None if row[side] is None else [_answer(row[side])] for side in ("chosen", "rejected"))
        if kind == "trl-sft" and good:
            yield {"prompt": prompt, "completion": good}
        elif kind == "trl-dpo" and good and bad:
            yield {"prompt": prompt, "chosen": good, "rejected": bad}
        elif kind == "trl-kto":
            for answer, label in ((good, True), (bad, False)):
                if answer:
                    yield {"prompt": prompt, "completion": answer, "label": label}


def _answer(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def croissant(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a snapshot's Croissant metadata: its files with their digests, and its fields."""
    files = [
        {
            "@type": "cr:FileObject",
            "@id": file["name"],
            "name": file["name"],
            "contentUrl": file["name"],
            "contentSize": f"{file['bytes']} B",
            "encodingFormat": "application/x-parquet",
            "sha256": file["sha256"],
        }
        for file in manifest["files"]
    ]
    source = {"@id": files[0]["@id"]} if len(files) == 1 else {"@id": "files"}
    if len(files) > 1:
        files.append(
            {
                "@type": "cr:FileSet",
                "@id": "files",
                "name": "files",
                "encodingFormat": "application/x-parquet",
                "includes": "train-*.parquet",
            }
        )
    kind = "fileObject" if len(manifest["files"]) == 1 else "fileSet"
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"examples/{name}",
            "name": name,
            "dataType": told,
            "source": {kind: source, "extract": {"column": name}},
        }
        for name, told in _FIELDS.items()
    ]
    page = manifest.get("datasheet") or {}
    counts = ", ".join(f"{count} {origin}" for origin, count in sorted(manifest["counts"].items()))
    return {
        "@context": _context(),
        "@type": "sc:Dataset",
        "name": manifest["snapshot"],
        "description": f"Training examples mined from recorded exchanges: {counts}. {MANIFEST} says what was dropped.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "citeAs": manifest["snapshot"],
        "license": page.get("licence", OPEN),
        "url": f"urn:sharpen:{manifest['snapshot']}",
        "version": "1.0.0",
        "datePublished": "1970-01-01",
        "distribution": files,
        **_responsible(page),
        "recordSet": [{"@type": "cr:RecordSet", "@id": "examples", "name": "examples", "field": fields}],
    }


def _responsible(page: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the datasheet says, in the terms of Croissant's RAI vocabulary. Source: Croissant RAI 1.0."""
    if "bias" not in page:
        return {}
    dropped = ", ".join(f"{name} {count}" for name, count in page["filters"].items()) or "nothing"
    make_up = "; ".join(f"{axis}: {told}" for axis, told in page["make_up"].items()) or "no source declared a group"
    marks = [f"words that mark answers to {who}: {', '.join(own)}" for who, own in page["bias"]["marker_terms"].items()]
    return {
        "rai:dataCollection": "Recorded exchanges of a deployed model, and what people and verifiers said of them.",
        "rai:dataPreprocessingProtocol": [f"dropped by filters: {dropped}"],
        "rai:dataBiases": [*page["bias"]["sentences"], *marks] or ["no check found any"],
        "rai:dataLimitations": [f"not looked at: {gap}" for gap in page["bias"]["not_looked_at"]],
        "rai:annotatorDemographics": [f"people: {page['people']}; {make_up}"],
        "rai:personalSensitiveInformation": [f"consent: {page['consent']}"],
    }


def _context() -> dict[str, Any]:
    names = "citeAs column conformsTo data dataType examples extract field fileObject fileProperty fileSet format"
    names += " includes isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace"
    names += " samplingRate separator source subField transform"
    context: dict[str, Any] = {name: f"cr:{name}" for name in names.split()}
    context |= {
        "@language": "en", "@vocab": "https://schema.org/", "cr": "http://mlcommons.org/croissant/",
        "rai": "http://mlcommons.org/croissant/RAI/", "dct": "http://purl.org/dc/terms/", "sc": "https://schema.org/",
        "conformsTo": "dct:conformsTo",
    }  # fmt: skip
    for name, kind in (("data", "@json"), ("examples", "@json"), ("dataType", "@vocab")):
        context[name] = {"@id": f"cr:{name}", "@type": kind}
    return context
