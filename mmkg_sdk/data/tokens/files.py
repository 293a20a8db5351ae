"""Token files and codebooks of one folder, in MyGO's layout and in our own.

MyGO: `{set}-visual.json` and friends hold an object, entity name -> list of token ids with repeats; the
codebook is a tensor saved by torch (`visual.pth`). Our own, written by `write_dataset`:

* `visual-tokens.json`, `text-tokens.json`, `NAME-tokens.json` of a further modality: entity label -> token ids.
* `codebooks.safetensors`: float32 tensors `visual`, `text`, NAME.
* `tokens.json`: `{"format_version": 1, "visual": {"tokenizer", "vocabulary_size", "pad_id"}, "text": {...}}`, and the
  same of further modalities; with any, format_version is 2.
* `tokenizers.safetensors`, where it is at hand: what made the tokens, see modalities/stored_tokenizers.py.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...files.strict_json import read_json_object
from ...files.tensors import map_file
from ...files.text import SUFFIXES, find_file, need_file
from ...modalities.readers import AnyReader
from ...modalities.stored_tokenizers import TOKENIZERS, parsed_tokenizers
from ...registry import PUBLISHED_MODALITIES, check_further_modality
from ..features.matrices import check_matrix, read_matrix, read_safetensors
from ..graph import RawTokens
from ..layouts.names import NameTable
from ..places import Place

# Earlier versions of the SDK know the published modalities alone, and should not pass over others.
FORMAT_VERSION, FURTHER_FORMAT_VERSION = 1, 2
_NOTES = "tokens.json"
_OWN_FILE = re.compile(r"([a-z0-9]+)-tokens\.json(\.xz|\.gz)?")
_MAX_TOKEN = 2**31 - 1


@dataclass(frozen=True)
class _Official:
    """One tokenizer of the official files: how its files end and the constants of MyGO's selection rule."""

    modality: str
    tokenizer: str
    token_suffixes: tuple[str, ...]
    codebooks: tuple[str, ...]
    vocabulary_size: int
    pad_id: int


# `-textual.json` is the name for every text tokenizer outside DB15K; the codebook beside it decides which one
# it is.
_TEXT = "-textual.json"
_OFFICIAL = (
    _Official("visual", "beit", ("-visual.json",), ("visual.pth",), 8192, 8191),
    _Official("visual", "vqgan", ("-visual-vqgan.json",), ("visual_vqgan.pth", "visual-vqgan.pth"), 1024, 1023),
    _Official("text", "bert", ("-textual-v2.json", _TEXT), ("textual.pth",), 30522, 14999),
    _Official(
        "text",
        "roberta",
        ("-textual-roberta.json", _TEXT),
        ("textual_roberta.pth", "textual-roberta.pth"),
        30522,
        14999,
    ),
    _Official(
        "text",
        "llama",
        ("-textual-llama.json", _TEXT),
        ("textual_llama.pth", "textual-llama.pth"),
        30522,
        14999,
    ),
)


@dataclass(frozen=True)
class _Candidate:
    """One way to read a modality: token file, tokenizer, codebook (None if its file is absent)."""

    tokens: Path
    tokenizer: str
    official: _Official | None
    codebook: Path | None


def looked_for(modality: str) -> str:
    """The files that would hold the tokens of a modality, in words."""
    suffixes = [f"*{suffix}" for one in _OFFICIAL if one.modality == modality for suffix in one.token_suffixes]
    return ", ".join(dict.fromkeys([f"{modality}-tokens.json", *suffixes]))


def further_tokens(places: Sequence[Place]) -> list[str]:
    """The modalities beyond the published ones that `tokens.json` lists; a token file beside it that it does not list
    is named in a warning.

    Raises:
        DataError: a file of one is missing, or it has a name that no modality can have.
    """
    found: set[str] = set()
    for place in (place for place in places if not place.prefix):  # else NAME-tokens.json is that of a data set
        notes = find_file(place.folder, _NOTES)
        listed = set() if notes is None else {*read_json_object(notes)} - {"format_version", *PUBLISHED_MODALITIES}
        for name in listed:
            need_file(place.folder, f"{check_further_modality(name)}-tokens.json")
        found |= listed
        named = {match[1]: path for path in place.files() if (match := _OWN_FILE.fullmatch(path.name))}
        if unlisted := [str(path) for name, path in named.items() if name not in {*listed, *PUBLISHED_MODALITIES}]:
            warnings.warn(f"not read: {', '.join(unlisted)}; {_NOTES} beside it does not list it.", stacklevel=2)
    return sorted(found)


def read_tokens(
    places: Sequence[Place], modality: str, names: NameTable, *, choice: str | None = None
) -> RawTokens | None:
    """The tokens of one modality, or None if there are none.

    Args:
        places: where token files and codebooks lie.
        modality: a published one, or one of `further_tokens`.
        names: spellings of the entities; the lists come back under their labels.
        choice: tokenizer ("beit", "vqgan", "bert", "roberta", "llama") or file name, when there are several.

    Raises:
        DataError: if several token files fit, the codebook is missing, a file is malformed or an entity
            unknown.
    """
    where = " and ".join(str(place.folder) for place in places)
    candidates = [found for place in places for found in _find_candidates(place, modality)]
    if choice is not None:
        candidates = [found for found in candidates if choice in (found.tokenizer, found.tokens.name)]
        if not candidates:
            raise DataError(f"{where} has no {modality} tokens {choice!r}. Name a tokenizer or a file that is there.")
    if not candidates:
        for place in places:
            _refuse_archives(place, modality)
        return None
    if len(candidates) > 1:
        listed = ", ".join(f"{found.tokens.name} ({found.tokenizer})" for found in candidates)
        raise DataError(f"{where} has several {modality} token files: {listed}. Choose one: {modality}=NAME.")
    candidate = candidates[0]
    folder = candidate.tokens.parent
    lists = _read_lists(candidate.tokens, names)
    if candidate.official is None:
        return _own_tokens(folder, modality, lists)
    official = candidate.official
    if candidate.codebook is None:
        raise DataError(f"{candidate.tokens} needs its codebook {official.codebooks[0]} in {folder}; there is none.")
    codebook = read_matrix(candidate.codebook, "codebook")
    return RawTokens(lists, codebook, official.vocabulary_size, official.pad_id, official.tokenizer)


def codebooks_in_use(places: Sequence[Place]) -> set[Path]:
    """The codebooks of every tokenizer that has a token file."""
    pairs = itertools.product(places, PUBLISHED_MODALITIES)
    candidates = [found for place, modality in pairs for found in _find_candidates(place, modality)]
    return {found.codebook for found in candidates if found.codebook is not None}


def _find_candidates(place: Place, modality: str) -> list[_Candidate]:
    found: list[_Candidate] = []
    folder, files = place.folder, place.files()
    own = find_file(folder, f"{modality}-tokens.json")
    if own is not None and own in files:
        found.append(_Candidate(own, "own", None, None))
    for official in _OFFICIAL:
        if official.modality != modality:
            continue
        codebook = next((folder / name for name in official.codebooks if (folder / name).is_file()), None)
        for suffix in official.token_suffixes:
            paths = [path for path in files if _spelled(path).endswith(tuple(suffix + packed for packed in SUFFIXES))]
            # The shared name counts for a tokenizer whose codebook is there, and for BERT when none is.
            if suffix == _TEXT and codebook is None and (official.tokenizer != "bert" or _text_codebooks(folder)):
                continue
            found.extend(_Candidate(path, official.tokenizer, official, codebook) for path in paths)
    return found


def _spelled(path: Path) -> str:
    """The name of a file as MyGO would write it; others write `X_visual.json` and `visual.json`."""
    return "-" + path.name.casefold().replace("_", "-")


def _text_codebooks(folder: Path) -> bool:
    return any((folder / name).is_file() for entry in _OFFICIAL if entry.modality == "text" for name in entry.codebooks)


def _refuse_archives(place: Place, modality: str) -> None:
    """The published visual tokens come zipped; a zip left as it is must not read as `no such modality`."""
    for path in (path for path in place.files() if path.suffix == ".zip"):
        for official in _OFFICIAL:
            stems = tuple(suffix.removesuffix(".json") for suffix in official.token_suffixes)
            if official.modality == modality and re.sub(r"(\.json)?\.zip$", "", path.name).endswith(stems):
                raise DataError(f"{path} is an archive. Unpack it here: unzip {path.name}")


def _read_lists(path: Path, names: NameTable) -> Mapping[str, list[int]]:
    content = read_json_object(path)
    for name, tokens in content.items():
        if not isinstance(tokens, list) or not set(map(type, tokens)) <= {int}:
            raise DataError(f"{path}: {name[:80]!r} must have a list of whole numbers, found {str(tokens)[:80]}.")
        if tokens and not 0 <= min(tokens) <= max(tokens) <= _MAX_TOKEN:
            raise DataError(f"{path}: {name[:80]!r} has a token id outside 0 to {_MAX_TOKEN}.")
    rows = names.rows_of(content, str(path))
    return {names.labels[row]: tokens for row, tokens in zip(rows, content.values(), strict=True)}


def _own_tokens(folder: Path, modality: str, lists: Mapping[str, list[int]]) -> RawTokens:
    path = need_file(folder, _NOTES)
    notes = read_json_object(path)
    version = notes.get("format_version")
    if type(version) is not int or version not in (FORMAT_VERSION, FURTHER_FORMAT_VERSION):
        raise DataError(
            f"{path}: format_version {version!r:.80}, expected {FORMAT_VERSION} or {FURTHER_FORMAT_VERSION}."
        )
    note = notes.get(modality)
    expected = {"tokenizer": str, "vocabulary_size": int, "pad_id": int}
    if not isinstance(note, dict) or any(type(note.get(key)) is not kind for key, kind in expected.items()):
        raise DataError(f"{path}: {modality!r} must give tokenizer, vocabulary_size and pad_id; found {note!r}.")
    codebook = _own_codebook(folder / "codebooks.safetensors", modality)
    return RawTokens(
        lists, codebook, note["vocabulary_size"], note["pad_id"], note["tokenizer"], _own_tokenizer(folder, modality)
    )


def _own_tokenizer(folder: Path, modality: str) -> AnyReader | None:
    path = folder / TOKENIZERS
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return parsed_tokenizers(map_file(file), path).get(modality)


def _own_codebook(path: Path, modality: str) -> NDArray[np.float32]:
    """One float32 tensor [rows, width] of `codebooks.safetensors`."""
    if not path.is_file():
        raise DataError(f"{path} is missing; the {modality} tokens need their codebook.")
    tensors = read_safetensors(path)
    if modality not in tensors:
        raise DataError(f"{path} has no tensor {modality!r}; it has {', '.join(sorted(tensors)) or 'none'}.")
    return check_matrix(tensors[modality], path, "codebook")
