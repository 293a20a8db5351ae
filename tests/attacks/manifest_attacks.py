"""Hostile bundle.json files and folders: functions that spoil a copy of a good bundle, and what must be found."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .reseal import change_manifest

ATTACKS: list[tuple[Callable[[Path], None], str]] = []


def attack(message: str) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    """Register an attack with the message (a regular expression) of the BundleError that must stop it."""

    def register(spoil: Callable[[Path], None]) -> Callable[[Path], None]:
        ATTACKS.append((spoil, message))
        return spoil

    return register


def _sets(name: str, message: str, **fields: Any) -> None:
    """An attack that sets fields of bundle.json."""

    def spoil(folder: Path) -> None:
        change_manifest(folder, lambda manifest: manifest.update(fields))

    spoil.__name__ = name
    attack(message)(spoil)


def _writes(name: str, message: str, data: bytes) -> None:
    """An attack that puts other bytes in the place of bundle.json."""

    def spoil(folder: Path) -> None:
        (folder / "bundle.json").write_bytes(data)

    spoil.__name__ = name
    attack(message)(spoil)


_writes("manifest_is_empty", "not the JSON", b"")
_writes("manifest_is_not_utf8", "not the JSON", b'{"format_version": 1, "family": "\xff"}')
_writes("manifest_is_not_json", "not the JSON", b"\x00\x01\x02")
_writes("manifest_is_a_list", "holds a list, expected an object", b"[]")
_writes("manifest_is_nested_deep", "not the JSON", b"[" * 10_000 + b"]" * 10_000)
_writes("manifest_holds_nan", "NaN is not JSON", b'{"format_version": NaN}')
_writes("manifest_holds_infinity", "Infinity is not JSON", b'{"format_version": -Infinity}')
_writes(
    "manifest_has_a_key_twice", "key 'format_version' stands there twice", b'{"format_version": 1, "format_version": 1}'
)
_writes("manifest_holds_a_huge_number", "not the JSON|format version", b'{"format_version": ' + b"9" * 100_000 + b"}")
_sets("version_is_higher", "reads 2 and 3. If it is higher, run: pip install --upgrade", format_version=4)
_sets("version_is_lower", "format version 1; .* export the bundle again", format_version=1)
_sets("version_is_a_string", "format version '2'", format_version="2")
_sets("version_is_true", "format version True", format_version=True)
_sets("family_is_unknown", "unknown family 'transe'; known: mygo", family="transe")
_sets("family_is_a_path", "unknown family", family="../../os")
_sets("precision_is_unknown", "unknown precision 'int3'; known: fp32, fp16, bf16", precision="int3")
_sets("family_is_a_list", r"family is \[\]; expected str", family=[])
_sets("files_are_none", "does not list", files={})
_sets("graphs_are_none", "do not match the .onnx files", graphs={})
_sets("no_entity_was_trained", "trained_entities is 0; expected 1 to", trained_entities=0)
_sets("more_were_trained_than_there_are", "trained_entities is 1000000; expected 1 to", trained_entities=10**6)
_sets("config_is_empty", "incomplete MyGO configuration", config={})


def _configures(name: str, message: str, **settings: Any) -> None:
    """An attack that changes the configuration."""

    def spoil(folder: Path) -> None:
        change_manifest(folder, lambda manifest: manifest["config"].update(settings))

    spoil.__name__ = name
    attack(message)(spoil)


_configures("entities_are_negative", "num_entities is -1", num_entities=-1)
_configures("entities_are_true", "num_entities is True; expected a whole number", num_entities=True)
_configures("entities_are_more_than_labels", "entities.txt has 40 labels, .* says 41", num_entities=41)
_configures("width_is_another", r"vectors is float32 \[40, 32\], expected float32 \[40, 64\]", embedding_dim=64)


@attack("unknown MyGO setting '__class__'")
def config_has_an_unknown_setting(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["config"].update(__class__="os.system"))


@attack("a number is infinite")
def config_holds_an_overflow(folder: Path) -> None:
    text = (folder / "bundle.json").read_text()
    (folder / "bundle.json").write_text(text.replace('"dropout": 0.01', '"dropout": 1e999'))


@attack("num_heads 3|multiple of num_heads")
def config_has_heads_that_do_not_divide(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["config"].update(num_heads=3))


@attack("sampled_entities is 0")
def config_samples_no_entity(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["config"].update(sampled_entities=0))


@attack("visual_codebook_rows is '66'")
def config_has_a_size_of_another_type(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["config"].update(visual_codebook_rows="66"))


@attack("graph query_encoder: inputs are")
def signature_has_an_unknown_dtype(folder: Path) -> None:
    change_manifest(folder, lambda m: m["graphs"]["query_encoder"]["inputs"][0].update(dtype="object"))


@attack("graph query_encoder: outputs are 'queries'")
def signature_is_no_list(folder: Path) -> None:
    change_manifest(folder, lambda m: m["graphs"]["query_encoder"].update(outputs="queries"))


@attack(r"axis 'batch' is \[1, 256, -1\]; expected \[min, typical, max\]")
def axis_is_negative(folder: Path) -> None:
    change_manifest(folder, lambda m: m["graphs"]["query_encoder"]["axes"].update(batch=[1, 256, -1]))


@attack("entity_encoder has no axis visual_tokens|inputs are")
def axis_is_absent(folder: Path) -> None:
    change_manifest(folder, lambda m: m["graphs"]["entity_encoder"]["axes"].pop("visual_tokens"))


@attack("larger than 1 MiB")
def manifest_is_a_gigabyte(folder: Path) -> None:
    with (folder / "bundle.json").open("wb") as file:
        file.truncate(1 << 30)


@attack("not the JSON")
def manifest_is_truncated(folder: Path) -> None:
    data = (folder / "bundle.json").read_bytes()
    (folder / "bundle.json").write_bytes(data[: len(data) // 2])


@attack("has no bundle.json: this is no bundle, or its export did not finish")
def manifest_is_absent(folder: Path) -> None:
    (folder / "bundle.json").unlink()


@attack("is a link out of its folder")
def manifest_is_a_link(folder: Path) -> None:
    (folder / "bundle.json").rename(folder.parent / "outside.json")
    (folder / "bundle.json").symlink_to(folder.parent / "outside.json")


@attack("is not a plain file")
def manifest_is_a_folder(folder: Path) -> None:
    (folder / "bundle.json").unlink()
    (folder / "bundle.json").mkdir()


@attack("does not list weights.safetensors; the export did not finish")
def a_file_is_not_listed(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["files"].pop("weights.safetensors"))


@attack("entry of table.safetensors is 'x'; expected sha256 and bytes")
def an_entry_is_a_string(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["files"].update({"table.safetensors": "x"}))


@attack("table.safetensors has 5,200 bytes, bundle.json says -1")
def a_size_is_negative(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["files"]["table.safetensors"].update(bytes=-1))


@attack("entities.txt is missing. The copy is incomplete")
def a_listed_file_is_missing(folder: Path) -> None:
    (folder / "entities.txt").unlink()


@attack("triples.safetensors has .* bytes, bundle.json says .* incomplete")
def a_file_is_truncated(folder: Path) -> None:
    os.truncate(folder / "triples.safetensors", 100)


@attack("is a link out of its folder")
def a_file_is_a_link(folder: Path) -> None:
    (folder / "table.safetensors").rename(folder.parent / "outside.safetensors")
    (folder / "table.safetensors").symlink_to(folder.parent / "outside.safetensors")


@attack("is not a plain file")
def a_file_is_a_pipe(folder: Path) -> None:
    (folder / "table.safetensors").unlink()
    os.mkfifo(folder / "table.safetensors")


@attack("is a link out of its folder")
def a_file_is_a_link_to_a_device(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()
    (folder / "weights.safetensors").symlink_to("/dev/zero")


def _lists(name: str, file_name: str) -> None:
    def spoil(folder: Path) -> None:
        text = json.dumps({file_name: {"sha256": "0" * 64, "bytes": 1}})
        change_manifest(folder, lambda manifest: manifest["files"].update(json.loads(text)))

    spoil.__name__ = name
    attack("lists a file .* which is not part of the format")(spoil)


_lists("file_name_leads_up", "../entities.txt")
_lists("file_name_is_absolute", "/etc/passwd")
_lists("file_name_has_a_folder", "sub/entities.txt")
_lists("file_name_has_a_backslash", "..\\entities.txt")
_lists("file_name_has_a_drive", "C:entities.txt")
_lists("file_name_has_a_nul", "entities.txt\0.png")
_lists("file_name_is_long", "e" * 300)
_lists("file_name_looks_alike", "entitiеs.txt")  # a Cyrillic letter
_lists("file_name_is_empty", "")


_AXES = [
    ("axis_is_of_10_to_the_12", [1, 1, 10**12], "at most 2,147,483,647"),
    ("axis_begins_at_10_to_the_12", [10**12] * 3, "at most 2,147,483,647"),
    ("axis_begins_at_a_billion", [10**9] * 3, "numbers for a batch of two; expected at most"),
]


def _stretches(name: str, sizes: list[int], message: str) -> None:
    def spoil(folder: Path) -> None:
        change_manifest(folder, lambda manifest: manifest["graphs"]["query_encoder"]["axes"].update(batch=sizes))

    spoil.__name__ = name
    attack(message)(spoil)


for _name, _sizes, _message in _AXES:
    _stretches(_name, _sizes, _message)


@attack("a number is longer than 64 bits")
def shape_has_70_bits(folder: Path) -> None:
    change_manifest(folder, lambda m: m["graphs"]["query_encoder"]["inputs"][0].update(shape=[1 << 70]))


@attack("inputs are .* expected a list of name, dtype and shape")
def shape_has_62_bits(folder: Path) -> None:
    change_manifest(folder, lambda m: m["graphs"]["query_encoder"]["inputs"][0].update(shape=[1 << 62]))


@attack("entities.txt has .* bytes; a file of a bundle has at most 1 TiB")
def a_file_has_holes_of_100_terabytes(folder: Path) -> None:
    try:
        os.truncate(folder / "entities.txt", 100 << 40)
    except OSError:  # this file system has no such files
        os.truncate(folder / "entities.txt", 15 << 40)
    size = (folder / "entities.txt").stat().st_size
    change_manifest(folder, lambda manifest: manifest["files"]["entities.txt"].update(bytes=size))


@attack(r"provenance is \[\]; expected dict")
def provenance_is_a_list(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest.update(provenance=[]))


@attack("a number is longer than 64 bits")
def dropout_has_400_digits(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["config"].update(dropout=10**400))


@attack("half of a surrogate pair")
def tensor_name_is_half_a_character(folder: Path) -> None:
    change_manifest(folder, lambda m: m["graphs"]["query_encoder"]["inputs"][0].update(name="\ud800"))


@attack("half of a surrogate pair")
def file_name_is_no_text(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["files"].update({"\ud800": {"sha256": "0" * 64, "bytes": 1}}))


@attack("was changed after it was written")
def heads_are_changed_and_not_sealed(folder: Path) -> None:
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["config"]["dropout"] = 0.5
    (folder / "bundle.json").write_text(json.dumps(manifest))


@attack(r"pooled_logits is \[1, 2\]; by the configuration \[1, 4\]")
def heads_are_changed_and_sealed(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["config"].update(num_heads=4))


@attack(r"weights.safetensors: entity_encoder.multiplied_table is .*; by the configuration")
def codebook_is_changed(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["config"].update(visual_codebook_rows=67))


@attack("in a bundle in fp16")
def precision_is_another(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest.update(precision="fp16"))
