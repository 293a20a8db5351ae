"""Tokens of images: learned patches, published model classes, and images that cannot be read."""

from __future__ import annotations

import numpy as np
import pytest

from mmkg_sdk.data.tokens.images import tokenize_images
from mmkg_sdk.errors import DataError
from mmkg_sdk.modalities.pictures import rgb_picture

images = pytest.importorskip("PIL.Image", reason="images need pillow")
pytest.importorskip("sklearn", reason="learned patches need scikit-learn")


def picture(path, colour, size=(16, 12), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    images.new(mode, size, colour).save(path)
    return path


@pytest.fixture
def noise(tmp_path):
    values = np.random.default_rng(5).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    path = tmp_path / "noise.png"
    images.fromarray(values).save(path)
    return path


def test_patches_of_one_colour_share_a_token_and_colours_differ(tmp_path):
    files = {name: [picture(tmp_path / f"{name}.png", name)] for name in ("red", "green", "blue")}
    raw, unreadable = tokenize_images(files)
    assert unreadable == []
    assert all(len(tokens) == 48 and len(set(tokens)) == 1 for tokens in raw.lists.values())
    assert len({tokens[0] for tokens in raw.lists.values()}) == 3
    assert raw.codebook.shape == (3, 192)
    assert (raw.vocabulary_size, raw.pad_id) == (3, 2)
    # Standardised centres: red minus green is (+, -, 0) in every pixel.
    difference = (raw.codebook[raw.lists["red"][0]] - raw.codebook[raw.lists["green"][0]]).reshape(64, 3)
    assert (difference[:, 0] > 0).all()
    assert (difference[:, 1] < 0).all()
    np.testing.assert_allclose(difference[:, 2], 0, atol=1e-6)


def test_two_images_of_an_entity_are_one_list(tmp_path):
    paths = [picture(tmp_path / "a" / "1.png", "red"), picture(tmp_path / "a" / "2.png", "blue")]
    raw, _ = tokenize_images({"a": paths})
    assert len(raw.lists["a"]) == 96
    assert len(set(raw.lists["a"])) == 2


def test_the_same_images_give_the_same_tokens(tmp_path, noise):
    files = {"a": [noise], "b": [picture(tmp_path / "b.png", "red")]}
    first, second = tokenize_images(files)[0], tokenize_images(files)[0]
    assert first.lists == second.lists
    assert first.codebook.tobytes() == second.codebook.tobytes()


def test_every_patch_gets_its_nearest_centre(noise):
    raw, _ = tokenize_images({"a": [noise]})
    # 48 random patches are 48 distinct ones, so each is its own centre.
    assert sorted(raw.lists["a"]) == list(range(48))


def test_a_single_pixel_is_an_image(tmp_path):
    raw, unreadable = tokenize_images({"a": [picture(tmp_path / "a.png", "red", (1, 1))]})
    assert unreadable == []
    assert len(raw.lists["a"]) == 48
    assert np.isfinite(raw.codebook).all()


def test_transparency_is_laid_on_white_and_every_mode_becomes_rgb(tmp_path):
    for mode, colour in [
        ("RGBA", (255, 0, 0, 0)),
        ("LA", (0, 0)),
        ("P", 0),
        ("L", 255),
        ("1", 1),
        ("I;16", 65535),
    ]:
        path = picture(tmp_path / f"{mode.replace(';', '')}.png", colour, mode=mode)
        opened = rgb_picture(path)
        assert opened.mode == "RGB"
        if mode != "P":
            assert opened.getpixel((0, 0)) == (255, 255, 255), mode


def test_unreadable_images_are_reported_and_their_entity_has_no_tokens(tmp_path, noise, capsys):
    truncated, text, bomb = (tmp_path / name for name in ("truncated.png", "text.png", "bomb.png"))
    truncated.write_bytes(noise.read_bytes()[:2000])
    text.write_text("this is no image")
    images.new("1", (30_000, 30_000)).save(bomb)
    files = {
        "cut": [truncated],
        "text": [text],
        "bomb": [bomb],
        "empty": [tmp_path / "absent.png"],
        "good": [noise],
    }

    raw, unreadable = tokenize_images(files)

    assert list(raw.lists) == ["good"]
    assert {image.entity for image in unreadable} == {"cut", "text", "bomb", "empty"}
    assert all(image.reason for image in unreadable)
    assert next(image for image in unreadable if image.entity == "bomb").path == bomb
    assert capsys.readouterr().out == ""


def test_no_readable_image_at_all_is_an_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of the 1 images can be read"):
        tokenize_images({"a": [tmp_path / "a.png"]})
    with pytest.raises(DataError, match="no image to tokenize"):
        tokenize_images({"a": []})


def save_model(kind, folder):
    torch = pytest.importorskip("torch", reason="VQ models need torch")
    transformers = pytest.importorskip("transformers", reason="VQ models need transformers")
    torch.manual_seed(0)
    shared = {
        "embed_dim": 8,
        "latent_channels": 8,
        "base_channels": 32,
        "channel_multiplier": [1, 2],
        "num_res_blocks": 1,
    }
    if kind == "chameleon":
        module = transformers.models.chameleon.modeling_chameleon
        config = module.ChameleonVQVAEConfig(num_embeddings=16, resolution=32, **shared)
        module.ChameleonVQVAE(config).save_pretrained(folder)
    elif kind == "janus":
        module = transformers.models.janus.modeling_janus
        module.JanusVQVAE(module.JanusVQVAEConfig(num_embeddings=16, num_patches=16, **shared)).save_pretrained(folder)
    else:
        module = transformers.models.emu3.modeling_emu3
        config = module.Emu3VQVAEConfig(codebook_size=16, hidden_size=64, attn_resolutions=[], **shared)
        module.Emu3VQVAE(config).save_pretrained(folder)


@pytest.mark.parametrize(("kind", "count"), [("chameleon", 256), ("janus", 256), ("emu3", 1024)])
def test_a_published_model_class_gives_its_codes_and_its_codebook(tmp_path, noise, kind, count):
    save_model(kind, tmp_path / kind)
    raw, unreadable = tokenize_images({"a": [noise, noise]}, str(tmp_path / kind))
    assert unreadable == []
    assert len(raw.lists["a"]) == 2 * count
    assert raw.lists["a"][:count] == raw.lists["a"][count:]
    assert set(raw.lists["a"]) <= set(range(16))
    from safetensors.numpy import load_file

    saved = load_file(tmp_path / kind / "model.safetensors")
    np.testing.assert_array_equal(raw.codebook, saved["quantize.embedding.weight"])
    assert (raw.vocabulary_size, raw.pad_id, raw.tokenizer) == (16, 15, kind)


def test_a_chameleon_code_is_the_nearest_codebook_row(tmp_path, noise):
    torch = pytest.importorskip("torch", reason="VQ models need torch")
    transformers = pytest.importorskip("transformers", reason="VQ models need transformers")
    save_model("chameleon", tmp_path / "model")
    raw, _ = tokenize_images({"a": [noise]}, str(tmp_path / "model"))
    network = transformers.models.chameleon.modeling_chameleon.ChameleonVQVAE.from_pretrained(tmp_path / "model")
    small = images.open(noise).convert("RGB").resize((32, 32), images.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.asarray(small, dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    with torch.inference_mode():
        latent = network.quant_conv(network.encoder(pixels))[0].flatten(1).T.numpy()
    distances = ((latent[:, None] - raw.codebook[None]) ** 2).sum(-1)
    assert raw.lists["a"] == distances.argmin(1).tolist()


def test_a_model_of_another_kind_or_none_is_an_error(tmp_path, noise):
    transformers = pytest.importorskip("transformers", reason="VQ models need transformers")
    transformers.BertConfig().save_pretrained(tmp_path / "bert")
    with pytest.raises(DataError, match="is of type 'bert'; expected one of chameleon_vqgan"):
        tokenize_images({"a": [noise]}, str(tmp_path / "bert"))
    with pytest.raises(DataError, match="cannot be loaded"):
        tokenize_images({"a": [noise]}, str(tmp_path / "absent"))
