"""Signatures of bundles: what is refused, and that signatures are those that model-signing itself takes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmkg_sdk.errors import BundleError, ExportError
from mmkg_sdk.signing import check_signature, sign_bundle
from tests.attacks.reseal import change_manifest, reseal
from tests.cli.walk import call


def make_key(folder: Path, curve: str = "SECP256R1", password: bytes | None = None) -> tuple[Path, Path]:
    """A private and a public key in PEM, by the library that signs nothing here."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(getattr(ec, curve)())
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    folder.mkdir(parents=True)
    private, public = folder / "key.pem", folder / "key.pub.pem"
    pem = serialization.Encoding.PEM
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_key(tmp_path_factory.mktemp("keys") / "mine")


@pytest.fixture
def bundle(golden_bundle: Path, tmp_path: Path) -> Path:
    shutil.copytree(golden_bundle, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def signature(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> Path:
    sign_bundle(bundle, tmp_path / "bundle.sig", private_key=keys[0])
    return tmp_path / "bundle.sig"


def test_a_signed_bundle_passes_also_under_another_name_and_behind_links(
    bundle: Path, signature: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    check_signature(bundle, signature, public_key=keys[1])
    blobs, snapshot = tmp_path / "repository" / "blobs", tmp_path / "repository" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    bundle.rename(blobs)
    for path in blobs.iterdir():
        (snapshot / path.name).symlink_to(path)
    check_signature(snapshot, signature, public_key=keys[1])


def test_model_signing_itself_takes_the_signature(bundle: Path, signature: Path, keys: tuple[Path, Path]) -> None:
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(bundle)]
    command += ["--signature", str(signature), "--public_key", str(keys[1])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


ATTACKS: dict[str, Callable[[Path], object]] = {
    **{f"one byte of {name}": lambda folder, name=name: flip(folder / name) for name in  # type: ignore[misc]
       ("weights.safetensors", "query_encoder.onnx", "entities.txt", "MODEL_CARD.md", "table.safetensors")},
    "a file added": lambda folder: (folder / "more.txt").write_text("x"),
    "a hidden file added": lambda folder: (folder / ".gitignore").write_text("x"),
    "a folder added": lambda folder: (folder / "more").mkdir(),
    "a file removed": lambda folder: (folder / "parity.json").unlink(),
    "labels exchanged and hashes mended": lambda folder: exchange_labels(folder),
    "provenance changed and sealed again": lambda folder: change_manifest(
        folder, lambda manifest: manifest["provenance"].update(data="another")
    ),
}  # fmt: skip


def exchange_labels(folder: Path) -> None:
    labels = (folder / "entities.txt").read_text().splitlines(keepends=True)
    (folder / "entities.txt").write_text("".join([labels[1], labels[0], *labels[2:]]))
    reseal(folder)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_changed_folder_is_refused(attack: str, bundle: Path, signature: Path, keys: tuple[Path, Path]) -> None:
    ATTACKS[attack](bundle)
    with pytest.raises(BundleError):
        check_signature(bundle, signature, public_key=keys[1])


def test_another_key_and_a_changed_signature_are_refused(
    bundle: Path, signature: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    _, other = make_key(tmp_path / "other")
    with pytest.raises(BundleError, match=r"Key mismatch.*Do not use this bundle"):
        check_signature(bundle, signature, public_key=other)
    content = json.loads(signature.read_text())
    envelope = content["dsseEnvelope"]
    envelope["payload"] = envelope["payload"][:-8] + "AAAA" + envelope["payload"][-4:]
    (tmp_path / "changed.sig").write_text(json.dumps(content))
    for forged in (tmp_path / "changed.sig", bundle / "bundle.json", tmp_path / "gone", other):
        with pytest.raises(BundleError, match="Do not use this bundle"):
            check_signature(bundle, forged, public_key=keys[1])


def test_the_signature_of_another_bundle_is_refused(
    golden_bundles: Callable[..., Path], signature: Path, keys: tuple[Path, Path]
) -> None:
    with pytest.raises(BundleError, match="Do not use this bundle"):
        check_signature(golden_bundles("db15k_like", "fp16"), signature, public_key=keys[1])


def test_what_cannot_be_signed_is_said(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    locked, _ = make_key(tmp_path / "locked", password=b"secret")
    odd, _ = make_key(tmp_path / "odd", "SECP256K1")
    for key in (locked, odd, keys[1], tmp_path / "gone"):
        with pytest.raises(ExportError, match="Pass a private key in PEM without a password"):
            sign_bundle(bundle, tmp_path / "x.sig", private_key=key)
    with pytest.raises(ExportError, match="outside of"):
        sign_bundle(bundle, bundle / "x.sig", private_key=keys[0])
    (bundle / "notes.txt").write_text("x")
    with pytest.raises(BundleError, match=r"notes\.txt.*would be signed"):
        sign_bundle(bundle, tmp_path / "x.sig", private_key=keys[0])
    assert not (tmp_path / "x.sig").exists()


def test_the_commands_sign_and_verify(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    signature = tmp_path / "bundle.sig"
    assert call("sign", bundle, "--private-key", keys[0], "--signature", signature).code == 0
    given = ("verify", bundle, "--signature", signature, "--json")
    assert call(*given).code == 2
    good = call(*given, "--public-key", keys[1])
    assert good.code == 0
    assert json.loads(good.out)["passed"]
    flip(bundle / "weights.safetensors")
    bad = call(*given, "--public-key", keys[1])
    assert (bad.code, bad.out) == (1, "")
    assert "weights.safetensors" in json.loads(bad.err.splitlines()[-1])["error"]["message"]
