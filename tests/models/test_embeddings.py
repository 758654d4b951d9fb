"""The words that a model expects before a text really reach it; vectors are cached by content."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sharpen.errors import ConfigError, StoreError
from sharpen.models.embedding_cache import EmbeddingCache
from sharpen.models.embeddings import MINILM, SentenceEmbedder, as_langchain

QUESTION, PASSAGE = "where is it", "it is here"


def make(folder: Path, name: str, *, prompts: dict[str, str] | None = None) -> Path:
    """Write a random Sentence Transformers model of a few thousand parameters: BERT and a mean over its tokens."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    torch.manual_seed(1)
    source = folder / "source"
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words = (
        "where is it here : query passage Represent this sentence for searching relevant passages the question document"
    )
    tokenizer.train_from_iterator(
        [words] * 9, trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]", "[PAD]", "[CLS]", "[SEP]"])
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(source)
    BertModel(
        BertConfig(
            vocab_size=200, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
            max_position_embeddings=64,
        )
    ).save_pretrained(source)  # fmt: skip
    transformer = Transformer(str(source))
    model = SentenceTransformer(modules=[transformer, Pooling(16, pooling_mode="mean")], device="cpu", prompts=prompts)
    model.save_pretrained(str(folder / name), safe_serialization=True)
    return folder / name


def plain(folder: Path, text: str) -> np.ndarray:
    """Ask the library itself, with nothing before the text."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    model.default_prompt_name = None
    return np.asarray(model.encode(text, normalize_embeddings=True, show_progress_bar=False))


FAMILIES = [
    ("e5-small-v2", "query: ", "passage: "),
    ("multilingual-e5-base", "query: ", "passage: "),
    ("bge-small-en-v1.5", "Represent this sentence for searching relevant passages: ", ""),
    ("bge-m3", "", ""),
    ("some-other-model", "", ""),
    (
        "multilingual-e5-large-instruct",
        "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: ",
        "",
    ),
]


@pytest.mark.parametrize(("name", "query", "passage"), FAMILIES)
def test_the_prompts_of_a_family_reach_the_model(tmp_path: Path, name: str, query: str, passage: str) -> None:
    folder = make(tmp_path, name)
    embedder = SentenceEmbedder(str(folder))
    assert (embedder.prompts.query, embedder.prompts.passage) == (query, passage)
    assert embedder.embed_query(QUESTION) == pytest.approx(plain(folder, query + QUESTION), abs=1e-5)
    assert embedder.embed_documents([PASSAGE])[0] == pytest.approx(plain(folder, passage + PASSAGE), abs=1e-5)
    if query:
        assert np.abs(np.array(embedder.embed_query(QUESTION)) - plain(folder, QUESTION)).max() > 0.01


def test_instructor_reads_its_instruction_and_does_not_pool_it(tmp_path: Path) -> None:
    """Computed by hand: the mean over the token vectors of the text alone, in the context of the instruction."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = make(tmp_path, "instructor-base")
    embedder = SentenceEmbedder(str(folder))
    instruction = "Represent the question for retrieving supporting documents: "
    assert embedder.prompts.query == instruction
    tokenizer, bert = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    whole = tokenizer(instruction + QUESTION, return_tensors="pt")
    skipped = len(tokenizer(instruction)["input_ids"])
    with torch.inference_mode():
        tokens = bert(**whole).last_hidden_state[0]
    expected = tokens[skipped:].mean(0)
    expected = (expected / expected.norm()).numpy()
    assert embedder.embed_query(QUESTION) == pytest.approx(expected, abs=1e-5)
    assert np.abs(expected - plain(folder, instruction + QUESTION)).max() > 0.001
    assert np.abs(expected - plain(folder, QUESTION)).max() > 0.001


def test_the_model_s_own_prompts_come_before_its_family_s_and_ours_before_both(tmp_path: Path) -> None:
    folder = make(tmp_path, "e5-own", prompts={"query": "question: ", "document": "the "})
    assert SentenceEmbedder(str(folder)).prompts[:2] == ("question: ", "the ")
    ours = SentenceEmbedder(str(folder), query_prompt="", passage_prompt="here ")
    assert ours.prompts[:2] == ("", "here ")
    assert ours.embed_documents([PASSAGE])[0] == pytest.approx(plain(folder, "here " + PASSAGE), abs=1e-5)


def test_vectors_are_computed_once_and_survive_the_process(tmp_path: Path) -> None:
    folder = make(tmp_path, "e5-small")
    first = SentenceEmbedder(str(folder), cache=EmbeddingCache(tmp_path / "cache.db"))
    vectors = first.embed_documents([PASSAGE, QUESTION, PASSAGE])
    assert vectors[0] == vectors[2] != vectors[1]
    again = SentenceEmbedder(str(folder), cache=EmbeddingCache(tmp_path / "cache.db"))
    again._load = lambda: pytest.fail("it was computed again")  # type: ignore[method-assign]
    assert again.embed_documents([QUESTION, PASSAGE]) == [vectors[1], vectors[0]]
    with pytest.raises(pytest.fail.Exception):
        again.embed_query(PASSAGE)  # the same words as a question are another text


def test_another_prompt_or_other_weights_are_another_key(tmp_path: Path) -> None:
    folder = make(tmp_path, "plain")
    plain_key = SentenceEmbedder(str(folder)).key
    assert SentenceEmbedder(str(folder), query_prompt="x ").key != plain_key
    modules = folder / "1_Pooling" / "config.json"
    modules.write_text(json.dumps(json.loads(modules.read_text()) | {"include_prompt": False}))
    assert SentenceEmbedder(str(folder)).key != plain_key


def test_the_packaged_model_knows_what_is_alike() -> None:
    embedder = SentenceEmbedder(MINILM)
    cats, kittens, stocks = np.array(embedder.embed_documents(["cats purr", "kittens purring", "stock market"]))
    assert cats @ kittens > 0.5 > 0.3 > cats @ stocks
    assert embedder.dimension == 384


def test_it_is_a_langchain_embeddings(tmp_path: Path) -> None:
    from langchain_core.embeddings import Embeddings

    embedder = SentenceEmbedder(str(make(tmp_path, "plain")))
    langchain = as_langchain(embedder)
    assert isinstance(langchain, Embeddings)
    assert langchain.embed_query(QUESTION) == embedder.embed_query(QUESTION)
    assert langchain.embed_documents([PASSAGE]) == embedder.embed_documents([PASSAGE])


def test_a_model_that_is_not_there_or_not_safe_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        SentenceEmbedder(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="no installed package"):
        SentenceEmbedder("package:nothing_of_that_name")
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "config.json").write_text("{}")
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ConfigError, match="can run code"):
        SentenceEmbedder(str(tmp_path / "pickled"))


def test_a_broken_cache_says_which_file_to_delete(tmp_path: Path) -> None:
    (tmp_path / "cache.db").write_bytes(b"this is no database, but long enough to be read as one" * 30)
    with pytest.raises(StoreError, match=r"cache\.db"):
        EmbeddingCache(tmp_path / "cache.db").get(["x"])
