"""What several commands share: options, JSON output, tables of metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
backend_option = click.option(
    "--backend", type=click.Choice(["auto", "onnxruntime", "torch"]), default="auto", help="What runs the graphs."
)
device_option = click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace what stands there.")


def say(message: str) -> None:
    """Talk, on stderr."""
    click.echo(message, err=True)


def print_json(value: Any) -> None:
    """An answer for machines, on stdout."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False))


def metrics_table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """One line per row: MRR and Hits in percent, mean rank as it is."""
    width = max(len(name) for name in rows)
    lines = [f"{'':<{width}}     MRR  Hits@1  Hits@3  Hits@10  mean rank"]
    for name, values in rows.items():
        percent = [100 * values[key] for key in ("mrr", "hits_at_1", "hits_at_3", "hits_at_10")]
        lines.append(
            f"{name:<{width}}  {percent[0]:6.2f}  {percent[1]:6.2f}  {percent[2]:6.2f}  {percent[3]:7.2f}  "
            f"{values['mean_rank']:9.1f}"
        )
    return "\n".join(lines)
