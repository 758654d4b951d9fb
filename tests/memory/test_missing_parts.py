"""Whatever is named in the configuration and is not installed says what to type."""

from __future__ import annotations

import json
import subprocess
import sys

# What is opened, the module that is not there, and the extra to install.
PARTS = [
    ("index('chroma')", "chromadb", "memory"),
    ("index('qdrant')", "qdrant_client", "qdrant"),
    ("index('pgvector', 'postgresql://nobody@127.0.0.1:1/x')", "langchain_postgres", "pgvector"),
    ("index('milvus')", "langchain_milvus", "milvus"),
    ("index('weaviate', 'http://127.0.0.1:1')", "weaviate", "weaviate"),
    ("index('pinecone', 'http://127.0.0.1:1')", "pinecone", "pinecone"),
    ("embedded()", "sentence_transformers", "memory"),
    ("framework('llama_index')", "llama_index", "llama-index"),
    ("framework('haystack')", "haystack", "haystack"),
    ("method('cot')", "langgraph", "loop"),
    ("critic()", "langchain_openai", "openai"),
    ("team()", "autogen_agentchat", "install autogen"),
]
SCRIPT = """
import asyncio, json, sys, tempfile
from pathlib import Path
from sharpen.config import parse
from sharpen.errors import MissingExtra
from sharpen.memory import frameworks
from sharpen.memory.vectors import VectorIndex
from sharpen.models.embeddings import SentenceEmbedder

class Zeros:
    key, dimension = "zeros", 3
    def embed_query(self, text): return [1.0, 0.0, 0.0]
    def embed_documents(self, texts): return [self.embed_query(text) for text in texts]

def index(store, url=""):
    home = tempfile.mkdtemp()
    memory = {"vectors": store, "url": url, "api_key_env": "HOME"}
    return len(VectorIndex.of(parse({"home": home, "memory": memory}), Zeros()))

def embedded(): return SentenceEmbedder().embed_query("hello")
def framework(name): return getattr(frameworks, name)(*([], Zeros()) if name == "llama_index" else ([],))
def method(name):
    from sharpen.critique.methods import draw
    return draw(name)
def critic():
    from sharpen.critique.voices import open_voice
    return open_voice("openai:http://127.0.0.1:1/v1#m", None)
def team():
    from sharpen.critique.autogen_team import _autogen
    return _autogen()

said = []
for call, missing in json.loads(sys.argv[1]):
    for name in [one for one in sys.modules if one.partition(".")[0] == missing]:
        del sys.modules[name]
    sys.modules[missing] = None
    try:
        said.append(f"nothing is missing: {eval(call)}")
    except MissingExtra as error:
        said.append(str(error))
    del sys.modules[missing]
print(json.dumps(said))
"""


def test_a_missing_part_says_what_to_install() -> None:
    asked = json.dumps([(call, missing) for call, missing, _ in PARTS])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, asked], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    for (call, missing, extra), told in zip(PARTS, said, strict=True):
        assert missing in told or missing.partition("_")[0] in told, call
        assert "install" in told and extra in told, (call, told)
