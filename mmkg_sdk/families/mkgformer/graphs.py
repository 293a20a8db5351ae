"""The MKGformer graphs that are exported: the same numbers as the model in evaluation mode, with less work.

image_encoder                                     once per entity or post: what the images alone decide
query_encoder, relation_encoder or tag_encoder    once per query: one of them, by the task

Everything below the first fused layer of the vision tower depends on the images alone and is computed by
image_encoder; the other graph starts from that `image_state`. Its last text layer runs for the positions that are read,
and link prediction's head for the mask: its score of an entity is the product of the query with a row of
`LinkPredictor.entity_table`.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ...bundle.graph_specs import Axis, GraphSpec, TensorSpec
from ...files.tensors import scratch_array
from ...registry import LINK_PREDICTION, RELATION_EXTRACTION
from ...run import Run
from ..exported import DTYPES, Norm, linear, load_weights, set_dtype
from .config import MKGformerConfig
from .encoder import HybridEncoder, padding_bias
from .images import ImageGroups, image_groups
from .links.model import LinkPredictor
from .model import MKGformer, build_model
from .sentences.crf import viterbi
from .sentences.model import EntityTagger, RelationExtractor
from .towers import TextEmbeddings, TextLayer, VisionLayer

LARGE_ENCODERS = ("image_encoder", "query_encoder", "relation_encoder", "tag_encoder")
# Sets of images encoded at a time.
_STATE_CHUNK = 16


def encoded_entities(model: LinkPredictor) -> dict[str, Tensor]:
    """What link prediction knows of every entity: "vectors" [E, D + 1]."""
    return {"vectors": model.entity_table()}


def bundle_tensors(run: Run, model: LinkPredictor) -> dict[str, dict[str, NDArray[Any]]]:
    """What a link prediction bundle holds besides table and triples: the texts, and the state of each set of images.

    States are computed in float32 whatever the bundle's precision, and stored on the disk.
    """
    config, image_rows = model.config, run.inputs["image_rows"]
    shown = np.unique(image_rows)  # those without images, -1, are a set, too
    states = scratch_array((len(shown), config.visual_tokens, config.hidden_dim), config.state_dtype)
    encode = graph_modules(model, torch.float32)["image_encoder"]
    groups = image_groups(run.tensors("images"))
    for start in range(0, len(shown), _STATE_CHUNK):
        inputs = _image_inputs(groups, shown[start : start + _STATE_CHUNK], config)
        with torch.inference_mode():
            states[start : start + _STATE_CHUNK] = encode(**inputs).numpy()
    return {"inputs": run.inputs | {"image_rows": np.searchsorted(shown, image_rows)}, "images": {"states": states}}


def graph_cases(run: Run, model: LinkPredictor) -> dict[str, tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]]:
    """The run's own images for image_encoder, and what the model makes of them."""
    encoder, groups = model.encoder, image_groups(run.tensors("images"))
    rows = np.unique(run.inputs["image_rows"])[-_STATE_CHUNK:]
    with torch.inference_mode():
        tokens = encoder.vision_embeddings(groups.images(torch.as_tensor(rows)), len(rows))
        vision = encoder.vision_pre_layrnorm(tokens)
        for layer in encoder.encoder.vision_layers[: model.config.fusion_start_layer]:
            vision = layer(vision)
    inputs = _image_inputs(groups, rows, model.config)
    return {
        "image_encoder": (
            {name: pixels.numpy() for name, pixels in inputs.items()},
            {"image_state": vision.numpy()},
        )
    }


def _image_inputs(groups: ImageGroups, rows: NDArray[np.int64], config: MKGformerConfig) -> dict[str, Tensor]:
    """What image_encoder takes for some rows; an absent group is one of no images."""
    images = groups.images(torch.as_tensor(rows))
    sizes = {"aux": config.aux_image_size, "rcnn": config.rcnn_image_size}
    absent = {name: torch.zeros(len(rows), 0, 3, size, size) for name, size in sizes.items()}
    inputs = {f"{name}_values": absent[name] if (own := getattr(images, name)) is None else own for name in sizes}
    return inputs if images.main is None else {**inputs, "pixel_values": images.main}


def graph_modules(model: MKGformer, dtype: torch.dtype) -> dict[str, nn.Module]:
    """The modules to export by graph name; `dtype` is that of the weights that are multiplied."""
    return _modules(copy.deepcopy(model).cpu(), dtype)


def _modules(model: MKGformer, dtype: torch.dtype) -> dict[str, nn.Module]:
    """As above; the model itself is changed."""
    model = model.eval().requires_grad_(False).double()
    modules: dict[str, nn.Module] = {"image_encoder": ImageEncoder(model.encoder, model.config)}
    if isinstance(model, LinkPredictor):
        modules["query_encoder"] = QueryEncoder(model)
    elif isinstance(model, RelationExtractor):
        modules["relation_encoder"] = RelationEncoder(model)
    else:
        modules["tag_encoder"] = TagEncoder(model)
    for module in modules.values():
        set_dtype(module, dtype)
    return modules


def load_modules(config: MKGformerConfig, precision: str, weights: dict[str, Tensor]) -> dict[str, nn.Module]:
    """The modules of a bundle, from its weights named GRAPH.WEIGHT.

    Raises:
        RuntimeError: if a weight is missing, unknown or misshapen.
    """

    def skeleton() -> dict[str, nn.Module]:
        with torch.device("meta"):  # random weights of two whole towers would take seconds and several times the memory
            return _modules(build_model(config), DTYPES[precision])

    return load_weights(skeleton, weights)


def question_graph(config: MKGformerConfig) -> str:
    """The name of the graph that answers a query of this task."""
    if config.task == LINK_PREDICTION:
        return "query_encoder"
    return "relation_encoder" if config.task == RELATION_EXTRACTION else "tag_encoder"


def graph_specs(config: MKGformerConfig) -> dict[str, GraphSpec]:
    """The signatures of the graphs by name.

    Texts of the sentence tasks have one length, `max_length`: their outputs depend on how far they are padded. In link
    prediction the caller chooses, up to `max_length`.
    """
    images, batch = Axis("images", 1, 16, 256), Axis("batch", 1, 16, 256)
    is_link_prediction = config.task == LINK_PREDICTION
    length = Axis("text_tokens", 1, config.max_length, config.max_length) if is_link_prediction else config.max_length
    image_inputs = [
        TensorSpec(f"{name}_values", "float32", (images, count or 0, 3, size, size))
        for name, count, size in (
            ("aux", config.num_aux_images, config.aux_image_size),
            ("rcnn", config.num_rcnn_images, config.rcnn_image_size),
        )
    ]
    if is_link_prediction:
        size = config.image_size
        image_inputs.append(TensorSpec("pixel_values", "float32", (images, 3, size, size)))
    state = (config.visual_tokens, config.hidden_dim)
    texts = [TensorSpec(name, "int64", (batch, length)) for name in ("input_ids", "attention_mask")]
    if is_link_prediction:
        texts.append(TensorSpec("mask_position", "int64", (batch,)))
        outputs = [TensorSpec("queries", "float32", (batch, config.hidden_dim + 1))]
    else:
        assert config.num_labels is not None
        texts.append(TensorSpec("token_type_ids", "int64", (batch, length)))
        if config.task == RELATION_EXTRACTION:
            texts.append(TensorSpec("marker_positions", "int64", (batch, 2)))
            outputs = [TensorSpec("scores", "float32", (batch, config.num_labels))]
        else:
            outputs = [
                TensorSpec("tags", "int64", (batch, length)),
                TensorSpec("emissions", "float32", (batch, length, config.num_labels)),
            ]
    specs = (
        GraphSpec("image_encoder", tuple(image_inputs), (TensorSpec("image_state", "float32", (images, *state)),)),
        GraphSpec(
            question_graph(config), (*texts, TensorSpec("image_state", "float32", (batch, *state))), tuple(outputs)
        ),
    )
    return {spec.name: spec for spec in specs}


class ImageEncoder(nn.Module):
    """Images to what enters the first fused layer, float32 [images, N, D].

    An absent group is an input of 0 images. The main image comes last because link prediction alone has it.
    """

    def __init__(self, encoder: HybridEncoder, config: MKGformerConfig) -> None:
        super().__init__()
        embeddings, self.patch = encoder.vision_embeddings, config.patch_size
        self.multiplied_patches = nn.Buffer(embeddings.patch_embedding.weight.detach().flatten(1).T.contiguous())
        is_link_prediction = config.task == LINK_PREDICTION
        self.class_token = None if is_link_prediction else nn.Buffer(embeddings.class_embedding.detach())
        self.aux_positions, self.rcnn_positions = (
            None if is_link_prediction else nn.Buffer(embeddings.get_parameter(name).detach())
            for name in ("aux_position_embedding.weight", "rcnn_position_embedding.weight")
        )
        self.norm = Norm(encoder.vision_pre_layrnorm)
        below = encoder.encoder.vision_layers[: config.fusion_start_layer]
        self.layers = nn.ModuleList(VisionLayer(layer) for layer in below)  # type: ignore[arg-type]

    def forward(self, aux_values: Tensor, rcnn_values: Tensor, pixel_values: Tensor | None = None) -> Tensor:
        tokens = []
        if pixel_values is not None:
            tokens.append(self.patches(pixel_values[:, None], None))
        if self.class_token is not None:
            tokens.append(self.class_token.expand(aux_values.shape[0], 1, -1))
        for values, positions in ((aux_values, self.aux_positions), (rcnn_values, self.rcnn_positions)):
            if values.shape[1]:
                tokens.append(self.patches(values, positions))
        vision = self.norm(torch.cat(tokens, dim=1))
        for layer in self.layers:
            vision = layer(vision)
        return vision  # type: ignore[no-any-return]

    def patches(self, pixels: Tensor, positions: Tensor | None) -> Tensor:
        """[B, count * patches, D]; pixels [B, count, 3, s, s]. A convolution whose stride is its width is a product."""
        count, patch, side = pixels.shape[1], self.patch, pixels.shape[-1] // self.patch
        squares = pixels.view(-1, count, 3, side, patch, side, patch).permute(0, 1, 3, 5, 2, 4, 6)
        rows = squares.reshape(-1, count * side * side, 3 * patch * patch).to(self.multiplied_patches.dtype)
        found = torch.matmul(rows, self.multiplied_patches).float()
        return found if positions is None else found + positions


class Towers(nn.Module):
    """The text tower, and the vision tower from the first fused layer on."""

    def __init__(self, encoder: HybridEncoder, config: MKGformerConfig) -> None:
        super().__init__()
        self.start, self.mask_prefix = config.fusion_start_layer, config.mask_prefix
        with_types = config.task != LINK_PREDICTION
        self.embeddings = TextEmbeddings(encoder.text_embeddings, config.max_length, with_types=with_types)
        layers = encoder.encoder
        self.vision_layers = nn.ModuleList(VisionLayer(layer) for layer in layers.vision_layers[self.start :])  # type: ignore[arg-type]
        self.text_layers = nn.ModuleList(
            TextLayer(layer, fused=number >= self.start)  # type: ignore[arg-type]
            for number, layer in enumerate(layers.text_layer)
        )

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None,
        image_state: Tensor,
        positions: Tensor | None = None,
    ) -> Tensor:
        """[B, P, D]: the encoder's output at `positions`, int64 [B, P], or everywhere."""
        bias = padding_bias(attention_mask, torch.float32)
        text, vision, prefix = self.embeddings(input_ids, token_type_ids), image_state, None
        last = len(self.text_layers) - 1
        for number, layer in enumerate(self.text_layers):
            if number >= self.start:
                vision = self.vision_layers[number - self.start](vision, prefix, bias if self.mask_prefix else None)
            text, prefix = layer(text, bias, vision, positions if number == last else None)
        return text  # type: ignore[no-any-return]


class QueryEncoder(nn.Module):
    """Link prediction: the mask's state through the head's transform, and a 1 that picks up each entity's bias."""

    def __init__(self, model: LinkPredictor) -> None:
        super().__init__()
        transform = model.head.transform
        self.towers = Towers(model.encoder, model.config)
        self.dense, self.norm = linear(transform["dense"]), Norm(transform["LayerNorm"])  # type: ignore[arg-type]

    def forward(self, input_ids: Tensor, attention_mask: Tensor, mask_position: Tensor, image_state: Tensor) -> Tensor:
        state = self.towers(input_ids, attention_mask, None, image_state, mask_position[:, None])[:, 0]
        features = self.norm(F.gelu(self.dense(state)))
        return torch.cat([features, torch.ones_like(features[:, :1])], dim=1)


class RelationEncoder(nn.Module):
    """Relation extraction: the states at <s> and <o> through the classifier."""

    def __init__(self, model: RelationExtractor) -> None:
        super().__init__()
        self.towers = Towers(model.encoder, model.config)
        self.classifier = linear(model.classifier)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        marker_positions: Tensor,
        image_state: Tensor,
    ) -> Tensor:
        states = self.towers(input_ids, attention_mask, token_type_ids, image_state, marker_positions)
        return self.classifier(states.flatten(1))  # type: ignore[no-any-return]


class TagEncoder(nn.Module):
    """Entity recognition: the best sequence of tags, -1 on padding, and the emissions that the CRF decided on."""

    def __init__(self, model: EntityTagger) -> None:
        super().__init__()
        self.towers, self.fc = Towers(model.encoder, model.config), linear(model.fc)
        self.start, self.transitions, self.end = (
            nn.Buffer(getattr(model.crf, name).detach())
            for name in ("start_transitions", "transitions", "end_transitions")
        )

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, image_state: Tensor
    ) -> tuple[Tensor, Tensor]:
        emissions = self.fc(self.towers(input_ids, attention_mask, token_type_ids, image_state))
        return viterbi(emissions, attention_mask, self.start, self.transitions, self.end), emissions
