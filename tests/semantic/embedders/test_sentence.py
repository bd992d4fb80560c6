from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.embedder_contract import EmbedderContract, MakeEmbedder, cosine
from support.tiny_models import static_folder

from proxy.model.errors import ConfigError
from proxy.semantic.base import EmbedderError
from proxy.semantic.embedders.sentence import SentenceEmbedder

pytestmark = pytest.mark.timeout(300)  # the first to load torch waits for it


class TestContract(EmbedderContract):
    @pytest.fixture
    def make(self, hub: Path) -> MakeEmbedder:
        return lambda: SentenceEmbedder("all-MiniLM-L6-v2", device="cpu")

    @pytest.fixture
    async def embedder(self, minilm: SentenceEmbedder) -> SentenceEmbedder:
        return minilm


async def started(model: str, **settings: str | int) -> SentenceEmbedder:
    embedder = SentenceEmbedder(model, device="cpu", **settings)  # type: ignore[arg-type] # a table
    await embedder.start()
    return embedder


async def test_it_does_not_know_chinese(minilm: SentenceEmbedder) -> None:
    shares = [minilm.unknown(text) for text in ("怎么修改登录密码", "如何取消会员订阅")]
    assert min(share for share in shares if share is not None) > 0.5
    assert minilm.unknown("a word " * 200) == 1.0  # of more tokens than it reads


async def test_a_model_has_the_prefix_it_asks_for_unless_told_otherwise(tiny: Path) -> None:
    asked, none, same = [
        await started(str(tiny), **settings)
        for settings in ({}, {"prefix": ""}, {"prefix": "where is "})
    ]
    (one,) = await asked.embed(["my dog ?"])
    (bare,) = await none.embed(["where is my dog ?"])
    (other,) = await none.embed(["my dog ?"])
    assert cosine(one, bare) == pytest.approx(1, abs=1e-5)
    assert cosine(one, other) < 0.999
    assert asked.fingerprint == same.fingerprint != none.fingerprint
    assert asked.unknown("密 密") == pytest.approx(2 / 4)
    for embedder in (asked, none, same):
        await embedder.close()


async def test_vectors_can_be_cut(tiny: Path) -> None:
    whole, cut = await started(str(tiny)), await started(str(tiny), dimensions=8)
    (vector,) = await cut.embed(["my dog"])
    assert (cut.dimensions, vector.shape) == (8, (8,))
    assert cut.fingerprint != whole.fingerprint
    for embedder in (whole, cut):
        await embedder.close()


async def test_a_model_of_a_hub_is_found_in_its_cache_by_name(hub: Path, tiny: Path) -> None:
    for name in ("our-own--tiny", "sentence-transformers--tinier"):
        put_into_cache(hub, name, tiny)

    named, short, same = [await started(model) for model in ("our-own/tiny", "tinier", str(tiny))]
    assert named.name == "sentence-transformers:our-own/tiny"
    assert named.fingerprint == short.fingerprint == same.fingerprint
    for embedder in (named, short, same):
        await embedder.close()


def put_into_cache(hub: Path, name: str, model: Path) -> None:
    revision = "0123456789abcdef0123456789abcdef01234567"
    cached = hub / "hub" / f"models--{name}"
    shutil.copytree(model, cached / "snapshots" / revision)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(revision)


async def test_a_model_whose_tokeniser_cannot_be_seen_does_not_say_what_it_knows(
    hub: Path, tmp_path: Path
) -> None:
    embedder = await started(str(static_folder(tmp_path / "static")))
    (vector,) = await embedder.embed(["my dog"])
    assert vector.shape == (8,)
    assert embedder.unknown("密") is None
    await embedder.close()


async def test_other_weights_have_another_fingerprint(tiny: Path, tmp_path: Path) -> None:
    other = shutil.copytree(tiny, tmp_path / "other")
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)

    one, two = await started(str(tiny)), await started(str(other))
    assert one.fingerprint != two.fingerprint
    for embedder in (one, two):
        await embedder.close()


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("no-such-org/no-such-model", "could not be had from the hub: .*HF_HOME.*HF_ENDPOINT"),
        ("/no/such/folder", "there is no folder /no/such/folder"),
        ("./nor/here", "there is no folder"),
    ],
)
async def test_a_model_that_cannot_be_had_is_told(hub: Path, model: str, told: str) -> None:
    embedder = SentenceEmbedder(model)
    with pytest.raises(EmbedderError, match=told):
        await embedder.start()
    await embedder.close()


async def test_a_folder_that_holds_no_model_is_told(hub: Path, tmp_path: Path) -> None:
    embedder = SentenceEmbedder(str(tmp_path))
    with pytest.raises(EmbedderError, match=r"holds no model that can be loaded: "):
        await embedder.start()
    await embedder.close()


async def test_weights_in_a_form_that_can_hold_code_are_not_read(
    tiny: Path, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    other = shutil.copytree(tiny, tmp_path / "other")
    torch.save(load_file(other / "model.safetensors"), other / "pytorch_model.bin")
    (other / "model.safetensors").unlink()

    embedder = SentenceEmbedder(str(other))
    with pytest.raises(EmbedderError, match="safetensors"):
        await embedder.start()
    await embedder.close()


def test_a_backend_that_is_not_installed_is_told() -> None:
    with pytest.raises(ConfigError, match=r"pip install 'sentence-transformers\[openvino\]'"):
        SentenceEmbedder("all-MiniLM-L6-v2", backend="openvino")
