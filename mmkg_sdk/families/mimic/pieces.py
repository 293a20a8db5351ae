"""What each side of a pair is made of before the units score it: names and shapes."""

from __future__ import annotations

from .config import MimicConfig

# The pieces that are 0 where a unit is left out. Nothing but that unit is made of them, and it says 0 of every pair.
MUTED = {
    "": (),
    "text": ("entity_cls", "entity_text"),
    "image": ("mention_dual_query", "entity_dual_query"),
    "image_text": ("entity_fused",),
}


def mention_pieces(config: MimicConfig) -> dict[str, tuple[int, ...]]:
    """What the mention side gives per mention, by name: shapes."""
    return {
        "mention_keys": (config.text_length, config.text_unit_dim),
        "mention_values": (config.text_length, config.text_unit_dim),
        "mention_text": (config.text_width,),
        "mention_dual_key": (3, config.image_unit_dim),
        "mention_dual_query": (3, config.image_unit_dim),
        "mention_fused": (config.cross_modal_unit_dim,),
    }


def entity_pieces(config: MimicConfig) -> dict[str, tuple[int, ...]]:
    """What the entity side gives per entity, by name: shapes. 5120 numbers in the published size."""
    return {
        "entity_queries": (config.text_length, config.text_unit_dim),
        "entity_cls": (config.text_unit_dim,),
        "entity_text": (config.text_width,),
        "entity_dual_query": (3, config.image_unit_dim),
        "entity_dual_key": (3, config.image_unit_dim),
        "entity_fused": (config.cross_modal_unit_dim,),
    }
