"""Data whose tokens tiny models of transformers made, trained and exported; made once for a run of the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.data import read_dataset, write_dataset
from mmkg_sdk.data.graph import DataSet, KnowledgeGraph
from mmkg_sdk.data.tokens.tokenize import tokenize_dataset
from mmkg_sdk.export import export_bundle
from mmkg_sdk.files.labels import Labels
from mmkg_sdk.modalities.text import learn_bert_vocabulary
from mmkg_sdk.training.session import start_training
from tests.data.tokens.test_images import save_model
from tests.families.raw_bundles import ADAMF, MYGO
from tests.once import once

ENTITIES = [f"thing {number}" for number in range(24)]
_WORDS = ["red", "green", "blue", "round", "square", "old", "new", "heavy", "light", "loud", "quiet", "tall"]
# Behind MyGO's constant of 30,522 rows, where ids are moved.
BERT_ROWS = 30_600


def write_raw(folder: Path) -> None:
    """A graph of 24 things: every third without a text, every fourth with a picture or two in "images"."""
    images = pytest.importorskip("PIL.Image", reason="images need pillow")
    random = np.random.default_rng(3)
    triples = random.integers(0, len(ENTITIES), (60, 3))
    triples[:, 1] %= 2
    texts = {
        label: f"{label}, a {' '.join(random.choice(_WORDS, 4))} thing: {row * 'ab'}!"
        for row, label in enumerate(ENTITIES)
        if row % 3
    }
    graph = KnowledgeGraph(
        "things", Labels(ENTITIES), Labels(["on", "in"], kind="relation"), triples[:50], triples[50:55], triples[55:]
    )
    write_dataset(DataSet(graph, descriptions=texts), folder)
    for row in range(0, len(ENTITIES), 4):
        for number in range(1 + row % 8 // 4):
            path = folder / "images" / ENTITIES[row] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            size = (20 + 3 * row, 40 - row)
            colours = random.integers(0, 256, (3, 4, 4), dtype=np.uint8).T
            images.fromarray(colours).resize(size).convert("RGBA" if row == 8 else "RGB").save(path)


def pictures_of(folder: Path) -> list[list[str] | None]:
    """The pictures of each thing."""
    found = [sorted(map(str, (folder / "images" / label).glob("*.png"))) for label in ENTITIES]
    return [own or None for own in found]


def save_text_model(folder: Path, *, rows: int = BERT_ROWS) -> None:
    """A seeded BERT of one layer, whose vocabulary has half of its pieces at the very end."""
    torch = pytest.importorskip("torch", reason="text models need torch")
    transformers = pytest.importorskip("transformers", reason="text models need transformers")
    from mmkg_sdk.modalities.text import bert_tokenizer

    pieces = learn_bert_vocabulary([*_WORDS, *ENTITIES, "a thing: abababab , !"] * 3, 120)
    half = len(pieces) // 2
    unused = [f"[unused{number}]" for number in range(rows - len(pieces))]
    tokenizer = bert_tokenizer([*pieces[:half], *unused, *pieces[half:]])
    tokenizer.encode_special_tokens = False
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    transformers.BertModel(transformers.BertConfig(vocab_size=rows, **sizes)).save_pretrained(folder)


def made_by_models(factory: pytest.TempPathFactory, family: str, kind: str) -> Path:
    """The things as "raw", tokenised in "data" by "bert" and a VQ model of a kind (`save_model`); "run", "bundle"."""

    def make(out: Path) -> None:
        write_raw(out / "raw")
        save_text_model(out / "bert")
        save_model(kind, out / "vq")
        dataset, images = read_dataset(out / "raw"), out / "raw" / "images"
        tokenized = tokenize_dataset(dataset, images=images, text_model=str(out / "bert"), image_model=str(out / "vq"))
        write_dataset(tokenized, out / "data")
        settings = MYGO if family == "mygo" else ADAMF
        run, _ = start_training(family, str(out / "data"), out / "run", settings=settings, preset="cpu")
        export_bundle(run, out / "bundle")

    return once(factory, f"{family}-{kind}-models", make)
