"""mmkg-sdk inspect."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import bundle_argument, json_option, print_json


@click.command()
@bundle_argument
@json_option
def inspect(bundle: Path, as_json: bool) -> None:
    """Describe a bundle, from its manifest alone."""
    from ...bundle import read_manifest

    manifest = read_manifest(bundle)
    if as_json:
        print_json(manifest)
        return
    total = sum(entry["bytes"] for entry in manifest["files"].values())
    click.echo(f"{bundle}: {manifest['family']} in {manifest['precision']}, {total / 2**20:,.1f} MiB")
    click.echo(", ".join(f"{name} {value}" for name, value in manifest["config"].items()))
    for name, spec in manifest["graphs"].items():
        click.echo(f"\n{name}.onnx")
        for kind in ("inputs", "outputs"):
            for tensor in spec[kind]:
                shape = ", ".join(map(str, tensor["shape"]))
                click.echo(f"  {kind[:-1]:<7} {tensor['name']:<14} {tensor['dtype']} [{shape}]")
    for name, value in manifest.get("provenance", {}).items():
        click.echo(f"{name}: {value}")
