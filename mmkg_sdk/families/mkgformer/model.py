"""MKGformer in torch: the hybrid encoder under the heads of its three tasks.

Parameter names are those of the official checkpoint.

Shapes: B batch, T text tokens, D hidden_dim, V vocabulary_size, E num_entities, C num_labels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ...errors import DataError, ExportError, missing_package
from ...registry import LINK_PREDICTION, RELATION_EXTRACTION
from ..official import compare_state
from .config import MKGformerConfig
from .crf import CRF
from .encoder import TEXT_EPS, HybridEncoder, Images, Texts, rows_at

if TYPE_CHECKING:
    from ...run import Run
    from ..link_prediction import LinkScorer

_NOT_IN_BACKBONES = re.compile(r"fusion_dense|(aux|rcnn)_position|position_ids")

# Nothing besides the weights is needed to build a model; texts and images come with each question.
INPUT_NAMES: tuple[str, ...] = ()


class MaskedLMHead(nn.Module):
    """BERT's masked language model head; its decoder is the word table itself (spec 6.1)."""

    bias: nn.Parameter

    def __init__(self, config: MKGformerConfig, words: nn.Embedding) -> None:
        super().__init__()
        width = config.hidden_dim
        self.bias = nn.Parameter(torch.zeros(config.vocabulary_size))
        self.transform = nn.ModuleDict(
            {"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, eps=TEXT_EPS)}
        )
        # On "meta", because both of its tensors are replaced: the checkpoint stores each of them under two names.
        self.decoder = nn.Linear(width, config.vocabulary_size, device="meta")
        self.decoder.weight, self.decoder.bias = words.weight, self.bias

    def features(self, hidden: Tensor) -> Tensor:
        """[..., D]: what is multiplied with the word table; hidden [..., D]."""
        return self.transform["LayerNorm"](F.gelu(self.transform["dense"](hidden)))  # type: ignore[no-any-return]

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., V]: a score for each token of the vocabulary."""
        return self.decoder(self.features(hidden))  # type: ignore[no-any-return]


class LinkPredictor(nn.Module):
    """Link prediction: the masked language model fills in the missing entity's token."""

    def __init__(self, config: MKGformerConfig) -> None:
        super().__init__()
        self.config = config
        encoder = HybridEncoder(config)
        head = MaskedLMHead(config, encoder.text_embeddings.word_embeddings)
        self.model = nn.ModuleDict({"unimo": encoder, "cls": nn.ModuleDict({"predictions": head})})

    @property
    def encoder(self) -> HybridEncoder:
        return self.model["unimo"]  # type: ignore[return-value]

    @property
    def head(self) -> MaskedLMHead:
        return self.model["cls"]["predictions"]  # type: ignore[index, no-any-return]

    def forward(self, texts: Texts, images: Images) -> Tensor:
        """[B, E]: a score for each entity at the mask; higher is better."""
        return self.query_vectors(texts, images) @ self.entity_table().T

    def query_vectors(self, texts: Texts, images: Images) -> Tensor:
        """[B, D + 1]: what is multiplied with the entity table; the last number is 1 and picks up the bias."""
        hidden = self.encoder(texts, images)
        at_mask = rows_at(hidden, self.mask_positions(texts.input_ids)[:, None])[:, 0]
        return F.pad(self.head.features(at_mask), (0, 1), value=1.0)

    def entity_table(self) -> Tensor:
        """[E, D + 1]: the entities' rows of the word table, each with its bias behind."""
        assert self.config.num_entities is not None
        start = self.config.base_vocabulary_size
        rows = slice(start, start + self.config.num_entities)
        words = self.encoder.text_embeddings.word_embeddings.weight
        return torch.cat([words[rows], self.head.bias[rows, None]], dim=1)

    def mask_positions(self, input_ids: Tensor) -> Tensor:
        """int64 [B]: where [MASK] stands.

        Raises:
            DataError: a row has none or several.
        """
        return only_position(input_ids, self.config.mask_token_id, "[MASK]")


class RelationExtractor(nn.Module):
    """Relation extraction: a classifier on the states at the markers <s> and <o> (spec 7)."""

    def __init__(self, config: MKGformerConfig) -> None:
        super().__init__()
        assert config.num_labels is not None
        self.config = config
        self.model = HybridEncoder(config)
        self.classifier = nn.Linear(2 * config.hidden_dim, config.num_labels)

    @property
    def encoder(self) -> HybridEncoder:
        return self.model

    def forward(self, texts: Texts, images: Images) -> Tensor:
        """[B, C]: a score for each relation; higher is better."""
        return self.classifier(self.pair_states(texts, images))  # type: ignore[no-any-return]

    def pair_states(self, texts: Texts, images: Images) -> Tensor:
        """[B, 2 D]: the encoder's output at <s>, then at <o>."""
        return rows_at(self.encoder(texts, images), self.marker_positions(texts.input_ids)).flatten(1)

    def marker_positions(self, input_ids: Tensor) -> Tensor:
        """int64 [B, 2]: where <s> and <o> stand.

        Raises:
            DataError: a row has none or several of one; long sentences lose markers by truncation.
        """
        head = self.config.base_vocabulary_size
        found = [only_position(input_ids, token, name) for token, name in ((head, "<s>"), (head + 2, "<o>"))]
        return torch.stack(found, dim=1)


class EntityTagger(nn.Module):
    """Entity recognition: a tag for every word piece, decided together by a CRF (spec 8)."""

    def __init__(self, config: MKGformerConfig) -> None:
        super().__init__()
        assert config.num_labels is not None
        self.config = config
        self.model = HybridEncoder(config)
        self.fc = nn.Linear(config.hidden_dim, config.num_labels)
        self.crf = CRF(config.num_labels)

    @property
    def encoder(self) -> HybridEncoder:
        return self.model

    def forward(self, texts: Texts, images: Images) -> Tensor:
        """[B, T, C]: the emissions, which the CRF reads."""
        hidden = F.dropout(self.encoder(texts, images), self.config.dropout, self.training)
        return self.fc(hidden)  # type: ignore[no-any-return]

    def tags(self, texts: Texts, images: Images) -> Tensor:
        """int64 [B, T]: the best sequence of tags, -1 on padding."""
        return self.crf.decode(self(texts, images), texts.attention_mask)


MKGformer = LinkPredictor | RelationExtractor | EntityTagger


def build_model(config: MKGformerConfig) -> MKGformer:
    """The model of the configured task, with fresh weights."""
    if config.task == LINK_PREDICTION:
        return LinkPredictor(config)
    return RelationExtractor(config) if config.task == RELATION_EXTRACTION else EntityTagger(config)


def build(config: dict[str, Any], inputs: Mapping[str, NDArray[Any]]) -> MKGformer:
    """The model of a run's configuration, with fresh weights; `inputs` are not needed."""
    return build_model(MKGformerConfig.from_json(config))


def scorer(model: LinkPredictor, run: Run) -> LinkScorer:
    """Scores of all entities for a chunk of queries; the model is left in eval mode."""
    from .links.scoring import link_scorer

    return link_scorer(model, run)


def pretrained_weights(config: MKGformerConfig) -> dict[str, NDArray[Any]]:
    """The weights of the backbones that a configuration names, by parameter name; nothing if it names none.

    Rows of added tokens in the word table are drawn from a seed of their own, the same on every call.

    Raises:
        BackendError, DataError: as `initialise_from_backbones`; also if only one of the two is named.
    """
    if not (config.pretrained_text or config.pretrained_vision):
        return {}
    if not (config.pretrained_text and config.pretrained_vision):
        raise DataError("pretrained_text and pretrained_vision go together; set both, or none.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(config)
    names = initialise_from_backbones(model, text=config.pretrained_text, vision=config.pretrained_vision)
    prefix = next(f"{name}." for name, module in model.named_modules() if module is model.encoder)
    state = model.state_dict()
    return {prefix + name: state[prefix + name].numpy() for name in names}


def initialise_from_backbones(
    model: MKGformer, *, text: str = "bert-base-uncased", vision: str = "openai/clip-vit-base-patch32"
) -> list[str]:
    """Give both towers the weights of public models, as the authors start their training (spec 5).

    What these do not have keeps its fresh weights: rows of added tokens, `fusion_dense`, two position tables, heads.

    Args:
        text, vision: names at Hugging Face, or folders, of a BERT and of a CLIP vision tower.

    Returns:
        The names within the encoder of what it got.

    Raises:
        BackendError: transformers is not installed.
        DataError: a model cannot be read, or has other sizes than the configuration.
    """
    try:
        from transformers import BertModel, CLIPVisionModel
    except ImportError as err:
        raise missing_package("transformers", "train", "starting from public backbones") from err
    own = model.encoder.state_dict()
    found: dict[str, Tensor] = {}
    for kind, source, tower in ((BertModel, text, "text_"), (CLIPVisionModel, vision, "vision_")):
        try:
            backbone = kind.from_pretrained(source).state_dict()
        except Exception as err:  # transformers raises a different type for each way a download can fail
            raise DataError(
                f"{source}: not a {kind.__name__} ({f'{err}'.splitlines()[0]}). Pass a name or a folder of one."
            ) from err
        found |= {_our_name(name.removeprefix("vision_model."), tower): tensor for name, tensor in backbone.items()}
    words = "text_embeddings.word_embeddings.weight"
    rows = model.config.base_vocabulary_size
    expected = {name: tensor for name, tensor in own.items() if not _NOT_IN_BACKBONES.search(name)}
    expected[words] = own[words][:rows]
    try:
        compare_state(found, expected)
    except ExportError as err:
        raise DataError(f"{text} and {vision} do not fit the configuration: {err}") from err
    found[words] = torch.cat([found[words], own[words][rows:]])
    model.encoder.load_state_dict(found, strict=False)
    return [name for name in own if name in found]


def _our_name(name: str, tower: str) -> str:
    """encoder.layer.0.x -> encoder.text_layer.0.x; anything else gets the tower in front."""
    part, _, rest = name.partition(".")
    return f"encoder.{tower}{rest}" if part == "encoder" else f"{tower}{name}"


def only_position(input_ids: Tensor, token: int, name: str) -> Tensor:
    """int64 [B]: where each row has the token.

    Raises:
        DataError: a row has none or several.
    """
    hits = input_ids == token
    counts = hits.sum(dim=1)
    if (counts != 1).any():
        row = int((counts != 1).nonzero()[0])
        raise DataError(
            f"row {row} has {int(counts[row])} times {name} (token {token}); expected exactly one. The text may have "
            "been truncated before it; use a larger max_length or a shorter text."
        )
    return hits.long().argmax(dim=1)
