"""Vocabulary: bytes of every token, for both tokenizer families, and the trie with its cache."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from latticework.structured import bitmask
from latticework.structured.disk_cache import cache_directory
from latticework.structured.errors import LatticeworkError
from latticework.structured.tokenizer_bytes import load_or_read, read_tokenizer_json
from latticework.structured.trie import build
from latticework.structured.vocabulary import Vocabulary


@pytest.fixture
def byte_level(tmp_path: Path) -> Path:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False
    )
    tokenizer.train_from_iterator(["the cat sat on the mat, naïve café"] * 20, trainer)
    tokenizer.add_tokens([AddedToken("⟦tool⟧", special=False)])
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture
def byte_fallback(tmp_path: Path) -> Path:
    pieces = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{b:02X}>" for b in range(256)),
        "▁",
        "a",
        "b",
        "▁a",
        "é",
        "▁▁",
        "ab",
        "▁ab",
    ]
    merges = [("▁", "a"), ("▁", "▁"), ("a", "b"), ("▁a", "b")]
    tokenizer = Tokenizer(
        models.BPE({p: i for i, p in enumerate(pieces)}, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_byte_level_tokens_spell_what_the_tokenizer_decodes(byte_level: Path) -> None:
    vocabulary = Vocabulary.from_tokenizer_json(byte_level, "<|end|>")
    tokenizer = Tokenizer.from_file(str(byte_level))
    for text in ["the cat", " naïve", "café\n\t\x00", "日本 😀", "a⟦tool⟧b"]:
        ids = tokenizer.encode(text).ids
        assert b"".join(vocabulary.tokens[i] for i in ids) == text.encode()
        assert vocabulary.encode(text.encode()) == ids
    assert vocabulary.special_ids == vocabulary.eos_ids == {tokenizer.token_to_id("<|end|>")}
    assert vocabulary.single_bytes.all()


def test_byte_fallback_tokens_spell_what_the_tokenizer_decodes(byte_fallback: Path) -> None:
    vocabulary = Vocabulary.from_tokenizer_json(byte_fallback, "</s>")
    tokenizer = Tokenizer.from_file(str(byte_fallback))
    for text in ["ab a", "é日", "  b", "x"]:
        ids = tokenizer.encode(text).ids
        assert b"".join(vocabulary.tokens[i] for i in ids) == text.encode()
    assert vocabulary.special_ids == {0, 1, 2}
    assert vocabulary.eos_ids == {2}


def test_the_real_tokenizers_spell_their_own_segmentation(data_directory: Path, tmp_path: Path) -> None:
    text = 'def f(x):\n    return {"a": [1, 2.5e-3], "ünïcode": "日本語 😀\\u00e9"}  # <tag>\r\n'
    for name, eos in (("llama3", "<|end_of_text|>"), ("qwen3", "<|im_end|>")):
        path = tmp_path / f"{name}.json"
        path.write_bytes(gzip.decompress((data_directory / "tokenizers" / f"{name}.json.gz").read_bytes()))
        vocabulary = Vocabulary.from_tokenizer_json(path, eos)
        ids = vocabulary.encode(text.encode())
        assert ids is not None
        assert ids == Tokenizer.from_file(str(path)).encode(text, add_special_tokens=False).ids
        assert b"".join(vocabulary.tokens[i] for i in ids) == text.encode()


def test_hf_tokenizer_and_file_agree(model_directory: Path, smollm2_vocabulary: Vocabulary) -> None:
    from transformers import AutoTokenizer

    vocabulary = Vocabulary.from_hf(AutoTokenizer.from_pretrained(model_directory), size=49280)
    assert vocabulary.tokens[:49152] == smollm2_vocabulary.tokens
    assert vocabulary.size == 49280
    assert not any(vocabulary.tokens[49152:])
    assert vocabulary.eos_ids == smollm2_vocabulary.eos_ids


def test_unknown_end_token_and_unknown_family_are_named(byte_level: Path) -> None:
    with pytest.raises(LatticeworkError, match=r"no token '<nope>'"):
        Vocabulary.from_tokenizer_json(byte_level, "<nope>")
    data = json.loads(byte_level.read_text())
    data["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    with pytest.raises(LatticeworkError, match="WordPiece"):
        read_tokenizer_json(json.dumps(data))


def test_other_end_tokens_share_the_tables() -> None:
    vocabulary = Vocabulary([None, b"a", b"b", None], [0], special_ids=[3])
    other = vocabulary.with_eos([0, 2])
    assert other.trie is vocabulary.trie
    assert other.eos_ids == {0, 2}
    assert other.fingerprint != vocabulary.fingerprint
    assert vocabulary.with_eos([0]) is vocabulary
    with pytest.raises(LatticeworkError):
        vocabulary.with_eos([9])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=4).map(lambda b: bytes(x % 3 for x in b)), max_size=30))
def test_trie_layout(tokens: list[bytes]) -> None:
    trie = build(tokens)
    spelled = [b""]
    for node in range(1, len(trie.byte)):
        spelled = [*spelled, b""]
        parent = next(n for n in range(node - 1, -1, -1) if trie.depth[n] == trie.depth[node] - 1)
        spelled[node] = spelled[parent] + bytes([trie.byte[node]])
    assert len(set(spelled)) == len(spelled)
    for node, text in enumerate(spelled):
        assert trie.ids[trie.first_id[node] : trie.first_id[node + 1]].tolist() == [
            i for i, token in enumerate(tokens) if token == text and token
        ]
        below = trie.ids[trie.first_id[node] : trie.first_id[trie.end[node]]].tolist()
        assert sorted(below) == [i for i, token in enumerate(tokens) if token and token.startswith(text)]
        assert trie.extends(text) == any(t.startswith(text) and len(t) > len(text) for t in tokens)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("ab", min_size=1, max_size=3), max_size=6), st.text("ab", max_size=8))
def test_greedy_segmentation(tokens: list[str], text: str) -> None:
    ids = build([t.encode() for t in tokens]).longest_match(text.encode())
    if ids is None:
        return
    assert "".join(tokens[i] for i in ids) == text
    position = 0
    for i in ids:
        assert len(tokens[i]) == max(len(t) for t in tokens if text.startswith(t, position))
        assert i == tokens.index(tokens[i])
        position += len(tokens[i])


def test_tables_are_cached_and_a_damaged_cache_is_rebuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Vocabulary([None, b"ab", b"a", b"ab"], [0]).trie.ids.tolist() == [2, 1, 3]
    assert not cache_directory().exists(), "a small vocabulary is not worth a file"
    tokens = [None, *(f"{i:x}".encode() for i in range(5000)), b"ab"]
    first = Vocabulary(tokens, [0]).trie
    (file,) = cache_directory().iterdir()
    again = Vocabulary(tokens, [0]).trie
    assert again.ids.tolist() == first.ids.tolist()
    file.write_bytes(b"damaged")
    rebuilt = Vocabulary(tokens, [0]).trie
    assert rebuilt.ids.tolist() == first.ids.tolist()
    assert [f.name for f in cache_directory().iterdir()] == [file.name]


def test_a_tokenizer_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def tokenizer_of(size: int) -> str:
        added = [{"id": size, "content": "<|end|>", "special": True}]
        added.append({"id": size + 2, "content": "é", "special": False})
        vocabulary = {f"x{i}": i for i in range(size)}
        return json.dumps({"model": {"vocab": vocabulary}, "decoder": {"type": "ByteLevel"}, "added_tokens": added})

    texts = [tokenizer_of(size) for size in (100, 5000, 5001)]
    for text in texts:
        assert load_or_read(text) == load_or_read(text) == read_tokenizer_json(text)
    files = sorted(cache_directory().iterdir())
    assert len(files) == 2, "one for each tokenizer with many tokens"
    files[0].write_bytes(b"damaged")
    assert [load_or_read(text) for text in texts] == [read_tokenizer_json(text) for text in texts]


@settings(max_examples=100)
@given(st.integers(1, 200), st.data())
def test_bitmask_helpers(size: int, data: st.DataObject) -> None:
    wanted = data.draw(st.sets(st.integers(0, size - 1)))
    row = bitmask.allocate(2, size)[1]
    assert row.shape == (bitmask.words(size),)
    for token_id in wanted:
        bitmask.set_bit(row, token_id)
    assert bitmask.indices(row).tolist() == sorted(wanted)
    assert bitmask.count(row) == len(wanted)
    dropped = set(sorted(wanted)[::2])
    for token_id in dropped:
        bitmask.clear_bit(row, token_id)
    assert [t for t in range(size) if bitmask.test(row, t)] == sorted(wanted - dropped)
