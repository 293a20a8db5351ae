"""Public data sets by name: where their files lie, what they must contain, and fetching them.

The triples are those of the MyGO repository, the names of entities and relations those of MoMoK and K-ON.
SHA-256 and size are of the uncompressed content and were computed from copies of the published files. Paths
and full commit ids come from an archived listing of the three repositories; **no address was ever tried
against the live site**, because no network was at hand, and one path (marked below) is a guess. A wrong
address cannot give wrong data: the hash is checked before a file gets its name. Should an address fail, put
the files into a folder and pass `source` (`--from`).

Token files are not here: their content was not available, so no hash could be pinned. Take them from the
`tokens` folder of the MyGO repository, unpack them, and pass that folder to `read_dataset(..., tokens=...)`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from ..files.atomic import write_atomically
from ..files.cache_folder import cache_folder
from ..files.text import find_file, read_bytes
from .download import Download, check_content, download

_RAW = "https://raw.githubusercontent.com"
_MYGO = f"{_RAW}/zjukg/MyGO/50276d8d2bdb43496ca8685c748c59b64934efd4/data"
_MYGO_Y = f"{_RAW}/zjukg/MyGO/6b5fc4d5d36f3d19544ffdd24fd045bd4f384096/data"
_MOMOK = f"{_RAW}/zjukg/MoMoK/376c5c295b3ace5bd95c8ed2a92e560545339096/datasets"
_KON = f"{_RAW}/zjukg/K-ON/ec80811d6d7fc56802d9291700501db9081d014a/data"


@dataclass(frozen=True)
class PublicFile:
    """One file of a public data set.

    Attributes:
        name: its name in the fetched folder.
        url: None for a file that only a copy on disk can supply.
        required: a missing optional file is a warning, not an error.
    """

    name: str
    url: str | None
    sha256: str
    size: int
    required: bool = True


# The readable names and descriptions of entity2text.tsv were joined from several sources; they have no
# address.
PUBLIC: dict[str, tuple[PublicFile, ...]] = {
    "db15k": (
        PublicFile(
            "train.txt",
            f"{_MYGO}/DB15K/train.txt",
            "1631e7e8f7ab1a47fdc58634449b4be703c38f82dfaa68987f84cb9bc0cc9489",
            1030302,
        ),
        PublicFile(
            "valid.txt",
            f"{_MYGO}/DB15K/valid.txt",
            "3dea821944f2ef1d74ac8c12d2324889f0436238469695e7ef731fa02d3bffa5",
            127697,
        ),
        PublicFile(
            "test.txt",
            f"{_MYGO}/DB15K/test.txt",
            "606867e29976bb24698a902de774241d53a025d79531c20dcdd7d7d98da523ca",
            128687,
        ),
        PublicFile(
            "entity2id.txt",
            f"{_MOMOK}/DB15K/entity2id.txt",
            "e1e257f5850d0a3440a7020dc5c8af77664a60b69fa1869c45c2f20b8024020e",
            674485,
        ),
        PublicFile(
            "relation2id.txt",
            f"{_MOMOK}/DB15K/relation2id.txt",
            "bb002b2069d740a545dfa526c31bcd487aff0a5203db786f278e363c714f24ea",
            12587,
        ),
        PublicFile(
            "entity2text.tsv",
            None,
            "9f7c5898ee768d2603fbdb83f5e0452ebca8468d3652c54ffe13e682063dfc42",
            2057642,
            required=False,
        ),
    ),
    "mkg-w": (
        PublicFile(
            "train.txt",
            f"{_MYGO}/MKG-W/train.txt",
            "3f1eb0fd545094ec40e2028228f3d0da0ef75779e0e17ccfae2ada3ee5f8b869",
            416826,
        ),
        PublicFile(
            "valid.txt",
            f"{_MYGO}/MKG-W/valid.txt",
            "c1fc188a6c48867593f3fc4844b775459b7d5dfb61e048e6cf12e4f4c2b1cb37",
            52954,
        ),
        PublicFile(
            "test.txt",
            f"{_MYGO}/MKG-W/test.txt",
            "d93f66cf5411e18e9e9e7e2f82d601c3d79d4e9b0f184c832e4988ebaeb50472",
            52749,
        ),
        PublicFile(
            "entity2id.txt",
            f"{_MYGO}/MKG-W/entity2id.txt",
            "805e2e9a9a8fff032e2caa17233d8ceaaf2356221c66d6ad3c17d31292d360f5",
            672258,
        ),
        PublicFile(
            "relation2id.txt",
            f"{_MOMOK}/MKG-W/relation2id.txt",
            "7035491ec0b2865e1220ec9491aafbcf3ff3d6c797816a0129735e0be9f2ea29",
            6652,
        ),
        PublicFile(
            "rel_links.txt",
            f"{_KON}/MKG-W/rel_links.txt",
            "4f4276bec413905e109b1daf938a91c57baf2d4be7d0e3f3bcb4904adfd02ffe",
            2601,
        ),
        # The path of this one is a guess: the listing does not show it, its neighbours lie there.
        PublicFile(
            "ent_links.txt",
            f"{_KON}/MKG-W/ent_links.txt",
            "4aa7e9f5ff3bbeea7dee3124669edba7903e65b22844529999325c6bec624511",
            1299610,
            required=False,
        ),
        PublicFile(
            "entity2text.tsv",
            None,
            "2243b7bbf50cf479f952c443c24ee70e8c3971b0b9d44ee4cfc5d8fb61689871",
            884206,
            required=False,
        ),
    ),
    "mkg-y": (
        PublicFile(
            "train.txt",
            f"{_MYGO_Y}/MKG-Y/train.txt",
            "491857a4540068ef4d9d46f3d46d3e0295fa3564d4c1400baa13ef369bd41bd1",
            259287,
        ),
        PublicFile(
            "valid.txt",
            f"{_MYGO_Y}/MKG-Y/valid.txt",
            "5bb9a00202a8402bad97c3a2abe9cc57bd5092d08122cd9c6e163e3bb6fac693",
            33247,
        ),
        PublicFile(
            "test.txt",
            f"{_MYGO_Y}/MKG-Y/test.txt",
            "dfb140b10f92370efb2ef2ca556bc38c966dd39ea0adc415c74d10690e01fd8b",
            33295,
        ),
        PublicFile(
            "entity2id.txt",
            f"{_RAW}/zjukg/MyGO/e2de998cd25c3bbe435a9c51ae0379c73fe139b5/data/MKG-Y/entity2id.txt",
            "ca7c45833c5454545e4ffbeb1e7dde6c5ff2548d6688c91ad44effc9d1095d06",
            348201,
        ),
        PublicFile(
            "relation2id.txt",
            f"{_MOMOK}/MKG-Y/relation2id.txt",
            "584d45c33a0d1003a28d08ee17507e8da21f3809491f1d511549a0287bdf8dcb",
            388,
        ),
        PublicFile(
            "entity2text.tsv",
            None,
            "12f8255540c99b93d13e981d5a5f31481ef6b2bff4c06a07ba0f4c89e4506a4d",
            580620,
            required=False,
        ),
    ),
}


def fetch(name: str, *, cache: Path | None = None, source: Path | None = None) -> Path:
    """The folder of a public data set in the cache, fetched if it is not there yet.

    A download that breaks off is resumed by the next call; the folder appears when all of it is there and
    checked.

    Args:
        name: "db15k", "mkg-w" or "mkg-y".
        cache: None: $MMKG_CACHE, else ~/.cache/mmkg_sdk.
        source: take the files (plain, .xz or .gz) from this folder instead of the network.

    Raises:
        DataError: if the name is unknown, a required file cannot be had, or its content is not the published
            one.
    """
    files = PUBLIC.get(name)
    if files is None:
        raise DataError(f"unknown data set {name!r}; expected one of {', '.join(PUBLIC)}.")
    if source is not None and not Path(source).is_dir():
        raise DataError(f"{source} is not a folder; the files of {name} were to be there.")
    return fetch_files(files, cache_folder(cache) / name, source=None if source is None else Path(source))


def fetch_files(files: tuple[PublicFile, ...], folder: Path, *, source: Path | None = None) -> Path:
    """Bring the files into `folder`, which appears once all are there; one that exists is checked."""
    if folder.is_dir():
        for file in files:
            path = folder / file.name
            if path.is_file():
                check_content(read_bytes(path), file.sha256, str(path))
            elif file.required:
                raise DataError(f"{folder} lacks {file.name}. Remove the folder and fetch again.")
        return folder
    # Kept between calls, so that a broken download goes on where it stopped.
    unfinished = folder.with_name(f".{folder.name}.partial")
    try:
        unfinished.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise DataError(f"{unfinished} cannot be made: {err}. Name another cache folder.") from err
    missing = [file.name for file in files if not _bring(file, unfinished, source)]
    if missing:
        warnings.warn(
            f"{folder.name}: without {', '.join(missing)} (optional: readable names and descriptions of entities).",
            stacklevel=3,
        )
    unfinished.rename(folder)
    return folder


def _bring(file: PublicFile, folder: Path, source: Path | None) -> bool:
    """Put one file into the folder; False if an optional one cannot be had."""
    if source is not None:
        found = find_file(source, file.name)
        if found is None:
            if not file.required:
                return False
            raise DataError(f"{source} has no {file.name} (nor .xz, .gz). It belongs to the data set.")
        content = read_bytes(found)
        check_content(content, file.sha256, str(found))
        write_atomically(folder / file.name, content)
        return True
    if file.url is None:
        return False
    try:
        download(Download(file.url, file.sha256, file.size), folder / file.name)
    except DataError:
        if file.required:
            raise
        return False
    return True
