"""A snapshot for other tools: a Hugging Face data set, JSON lines that TRL reads, and Croissant metadata.

In: a snapshot's files. Out: files in a folder. Must not know the store, or how a snapshot came about.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sharpen.curation.bundle import MANIFEST, read_bundle, rows_of
from sharpen.durable import write_text
from sharpen.errors import ConfigError
from sharpen.plugins import part

KINDS = ("hf", "trl-sft", "trl-dpo", "trl-kto", "croissant")
# JSON-LD context of Croissant 1.1. Source: mlcommons.org/croissant/1.1, as mlcroissant writes it.
_LICENCE = "https://creativecommons.org/publicdomain/mark/1.0/"
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
    path = target / (f"{name}.croissant.json" if kind == "croissant" else f"{name}.{kind}.jsonl")
    if kind == "croissant":
        write_text(path, json.dumps(croissant(manifest), indent=1))
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
    counts = ", ".join(f"{count} {origin}" for origin, count in sorted(manifest["counts"].items()))
    return {
        "@context": _context(),
        "@type": "sc:Dataset",
        "name": manifest["snapshot"],
        "description": f"Training examples mined from recorded exchanges: {counts}. {MANIFEST} says what was dropped.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "citeAs": manifest["snapshot"],
        "license": _LICENCE,
        "url": f"urn:sharpen:{manifest['snapshot']}",
        "version": "1.0.0",
        "datePublished": "1970-01-01",
        "distribution": files,
        "recordSet": [{"@type": "cr:RecordSet", "@id": "examples", "name": "examples", "field": fields}],
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
