"""mmkg-sdk export, predict, inspect, verify, env."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import BundleError
from .options import backend_option, device_option, json_option, overwrite_option, print_json, say

bundle_argument = click.argument("bundle", type=click.Path(path_type=Path))


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The bundle folder to write.")
@click.option("--precision", type=click.Choice(["fp32", "fp16", "bf16"]), default="fp32", help="Of the weights.")
@overwrite_option
@json_option
def export(run: Path, out: Path, precision: str, overwrite: bool, as_json: bool) -> None:
    """Turn a run into a bundle. Nothing is written if it does not answer like the model it was made of."""
    from ..export import export_bundle

    report = export_bundle(run, out, precision=precision, overwrite=overwrite, progress=say)
    if as_json:
        print_json({"bundle": str(out), "parity": report.to_json()})
        return
    click.echo(str(report))
    say(f"wrote {out}")


@click.command()
@bundle_argument
@click.option("--head", help="The known head; ask for tails.")
@click.option("--relation", required=True, help="The relation.")
@click.option("--tail", help="The known tail; ask for heads.")
@click.option("-k", "count", type=int, default=10, help="How many answers.")
@click.option("--all-answers", is_flag=True, help="Keep answers that the training data already gives.")
@backend_option
@device_option
@json_option
def predict(
    bundle: Path,
    head: str | None,
    relation: str,
    tail: str | None,
    count: int,
    all_answers: bool,
    backend: str,
    device: str,
    as_json: bool,
) -> None:
    """Answer (HEAD, RELATION, ?) or (?, RELATION, TAIL)."""
    from ..answering.link_prediction import Model

    if (head is None) == (tail is None):
        raise click.UsageError("pass either --head or --tail; the other one is what you ask for.")
    with Model.load(bundle, backend, device) as model:
        if head is not None:
            found = model.predict_tails(head, relation, count, filter_known=not all_answers)
        elif tail is not None:
            found = model.predict_heads(relation, tail, count, filter_known=not all_answers)
        if as_json:
            print_json(found[0].to_json())
        else:
            click.echo(repr(found))


@click.command()
@bundle_argument
@json_option
def inspect(bundle: Path, as_json: bool) -> None:
    """Describe a bundle, from its manifest alone."""
    from ..bundle import read_manifest

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


@click.command()
@bundle_argument
@backend_option
@device_option
@json_option
def verify(bundle: Path, backend: str, device: str, as_json: bool) -> None:
    """Check every file of a bundle, and that its graphs reproduce its own table."""
    from ..answering.verification import verify_bundle

    report = verify_bundle(bundle, backend=backend, device=device)
    if as_json:
        print_json(report)
    else:
        for name, value in report.items():
            click.echo(f"{name}: {value}")
    if not report["passed"]:
        raise BundleError(f"{bundle}: the graphs do not reproduce the table; see the differences above.")


@click.command()
@json_option
def env(as_json: bool) -> None:
    """Describe this machine and what is installed, for bug reports and benchmark records."""
    from ..bench.machine.environment import environment

    found = environment()
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        click.echo(f"{name}: {value}")
