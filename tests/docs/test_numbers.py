"""The numbers of docs/results.md are those of bench/results, rounded as they are printed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import table, text_of
from tests.places import ROOT

PAGE = "docs/results.md"
RESULTS = ROOT / "bench" / "results"


def result(name: str) -> Any:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def check(text: str, value: float) -> None:
    """A printed number is the measured one, rounded."""
    number = re.sub(r"[,x]| ms", "", text)
    digits = len(number.partition(".")[2])
    assert abs(float(number) - value) <= 0.5 * 10**-digits + 1e-9, f"{text} is {value}"


def test_every_results_file_is_linked() -> None:
    page = text_of(PAGE)
    names = [path.relative_to(ROOT).as_posix() for path in sorted(RESULTS.rglob("*.json"))]
    missing = [name for name in names if f"(../{name})" not in page]
    assert missing == ["bench/results/race-1m-100.json"]  # k=100 at a million rows: in no table


def test_entities_per_second() -> None:
    heading, rows = table(PAGE, "tokens")
    measured = {
        (row["contender"], row["token_count"]): row["numbers"]["per_second"]
        for row in result("encoder-db15k-size/results.json")["rows"]
        if row["mode"] == "throughput"
    }
    for tokens, *cells, ratio in rows:
        for name, cell in zip(heading[1:-1], cells, strict=True):
            check(cell, measured[name.replace("compiled kernel", "compiled kernels"), int(tokens)])
        kernel, plain = (measured[name, int(tokens)] for name in ("compiled kernels", "ONNX Runtime, plain"))
        check(ratio, kernel / plain)


def test_queries() -> None:
    contenders = {"kernels": "compiled kernels", "ONNX Runtime": "ONNX Runtime"}
    files = {weights: f"questions-db15k-size-{weights}" for weights in ("fp16", "bf16")}
    files["fp32"] = "encoder-db15k-size/results"
    for weights, runs_on, median, p99, _ in table(PAGE, "weights")[1]:
        (numbers,) = (
            row["numbers"]
            for row in result(f"{files[weights]}.json")["rows"]
            if row["mode"] == "single-stream" and row["contender"] == contenders[runs_on]
        )
        check(median, numbers["latency_ms_p50"])
        check(p99, numbers["latency_ms_p99"])


def test_files_of_queries() -> None:
    atlas, db15k = (result(f"batches-{size}-size.json")["ways"] for size in ("atlas", "db15k"))
    rows = table(PAGE, "asked with")[1]
    assert [row[0] for row in rows] == list(atlas) == list(db15k)
    for way, rate, tenth, whole, rate_of_db15k in rows:
        check(rate, atlas[way]["queries_per_second"])
        check(tenth, atlas[way]["peak_mib_of_a_tenth"])
        check(whole, atlas[way]["peak_mib"])
        check(rate_of_db15k, db15k[way]["queries_per_second"])
    ratios = re.search(r"speed of Parquet, ([\d.]+) and ([\d.]+) times theirs", text_of(PAGE).replace("\n", " "))
    assert ratios is not None
    for ratio, found in zip(ratios.groups(), (atlas, db15k), strict=True):
        check(ratio, found["Parquet"]["queries_per_second"] / found["lists"]["queries_per_second"])


def test_ranking() -> None:
    heading, rows = table(PAGE, "table")
    contenders = {
        "kernel": "compiled kernel",
        "bfloat16 first pass": "compiled kernel, bfloat16 first pass",
        "int8 first pass": "compiled kernel, int8 first pass",
        "faiss 8 bits*": "faiss scalar quantiser, 8 bits",
        "usearch": "usearch exact",
    }
    files = {"15,000": "15k", "200,000": "200k", "1,000,000": "1m", "10,000,000": "10m"}
    for what, batch, *cells in rows:
        name = "distance" if what.endswith("distance") else files[what.split()[0]]
        measured = {
            row["contender"]: row["ms_p50"]
            for row in result(f"race-{name}.json")["rows"]
            if row["point"]["batch"] == int(batch.replace(",", "")) and row["point"]["k"] == 10
        }
        for contender, cell in zip(heading[2:], cells, strict=True):
            value = measured.get(contenders.get(contender, contender))
            if cell != "-":
                assert value is not None, (what, batch, contender)
                check(cell, value)
            else:
                assert value is None, (what, batch, contender)


def test_ranking_on_avx2() -> None:
    names = {"15,000 x 256": "15k", "200,000 x 256": "200k", "1,000,000 x 256": "1m"}
    wide = {(row["point"]["rows"], row["point"]["batch"], row["contender"]): row for row in _avx2("against-avx512")}
    kernel, peer = "compiled kernel, int8 first pass", "ONNX Runtime, prepacked"
    for size, batch, own, held, ratio, free in table(PAGE, "AVX2, table")[1]:
        rows = [row for row in _avx2(names[size]) if row["point"]["batch"] == int(batch)]
        measured = {row["contender"]: row["ms_p50"] for row in rows}
        check(own, measured[kernel])
        check(held, measured[peer])
        check(ratio, measured[peer] / measured[kernel])
        as_it_is = wide.get((int(size.split()[0].replace(",", "")), int(batch), peer))
        if as_it_is is None:
            assert free == "-"
        else:
            check(free, as_it_is["ms_p50"])


def _avx2(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = result(f"avx2/race-{name}.json")["rows"]
    return rows


def test_layers_on_avx2() -> None:
    held, wide, best = (_layers(name) for name in ("avx2/layers", "avx2/layers-against-avx512", "layers"))
    rows = table(PAGE, "layer")[1]
    assert [(row[0], int(row[1])) for row in rows] == list(held)
    for layer, batch, own, share, peer, ratio, free, own_best, best_share, beside in rows:
        key = (layer, int(batch))
        kernel, onnxruntime = (held[key]["ms_p50"][name] for name in ("compiled kernel", "ONNX Runtime"))
        check(own, kernel)
        check(share.removesuffix(" %"), held[key]["percent_of_ceiling"])
        check(peer, onnxruntime)
        check(ratio, onnxruntime / kernel)
        check(free, wide[key]["ms_p50"]["ONNX Runtime"])
        check(own_best, best[key]["ms_p50"]["compiled kernel"])
        check(best_share.removesuffix(" %"), best[key]["percent_of_ceiling"])
        check(beside, best[key]["ms_p50"]["ONNX Runtime"])


def _layers(name: str) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["layer"], row["batch"]): row for row in result(f"{name}.json")["layers"]}


def test_tucker_products() -> None:
    columns = ["compiled kernel", "compiled kernel, float16 core", "ONNX Runtime, as exported", "torch", "numpy"]
    measured = {(row["contender"], row["point"]["batch"]): row["ms_p50"] for row in result("race-tucker.json")["rows"]}
    for batch, *cells in table(PAGE, "queries")[1]:
        for name, cell in zip(columns, cells, strict=True):
            check(cell, measured[name, int(batch.replace(",", ""))])


def test_rewrites() -> None:
    rows = table(PAGE, "way")[1]
    for (_, cell), measured in zip(rows, result("mkgformer-rewrites.json")["rewrites"], strict=True):
        check(cell, measured["ms_per_batch_p50"])


def check_metrics(text: str, metrics: dict[str, float], scale: int) -> None:
    names = {"MRR": "mrr", "micro-F1": "micro_f1", "accuracy": "accuracy", "entity F1": "f1"}
    names |= {f"Hits@{k}": f"hits_at_{k}" for k in (1, 3, 5, 10)}
    found = re.findall(r"(MRR|Hits@\d+|micro-F1|accuracy|entity F1) ([\d.]+)", text)
    assert found, text
    for name, number in found:
        check(number, scale * metrics[names[name]])


def test_quality_of_every_family() -> None:
    lessons = [one for name in ("mimic", "mkgformer") for one in result(f"avx2/quickstart-{name}.json")["lessons"]]
    rows = table(PAGE, "family")[1]
    check_metrics(rows[0][2], result("db15k-cpu.json")["test"], 100)
    check_metrics(rows[1][2], result("adamf-mat-db15k-cpu.json")["test"], 100)
    for row, measured in zip(rows[2:], lessons, strict=True):
        assert measured["source"] in row[1]
        check_metrics(row[2], measured["metrics"], 1)


def test_quickstarts() -> None:
    for name, whole, *stages, _ in table(PAGE, "quickstart")[1]:
        found = result(f"avx2/quickstart-{name.strip('`').replace('_', '-')}.json")
        assert found["held_by"]["ATEN_CPU_CAPABILITY"] == "avx2"
        check(whole, found["seconds"])
        for stage, cell in zip(("train", "export", "bench"), stages, strict=True):
            check(cell, found["lessons"][0]["seconds"][stage])


def test_a_large_graph() -> None:
    ways = {"before": result("training-large-graph-before.json")["ways"]["all entities, as published"]}
    ways |= result("training-large-graph.json")["ways"]
    for name, rate, memory in table(PAGE, "training")[1]:
        check(rate, ways[name]["triples_per_second"])
        check(memory, ways[name]["peak_mib"])
    exported, page = result("exporting-large-graph.json"), text_of(PAGE)
    assert f"takes {exported['seconds']:.1f} s and {exported['peak_mib']:,.0f} MiB at most" in page


def test_distances_on_avx2() -> None:
    rows = {(row["point"]["batch"], row["contender"]): row for row in _avx2("distance-200k")}
    for batch, own, share, peer, ratio in table(PAGE, "distances")[1]:
        kernel, torch = rows[int(batch), "compiled kernel"], rows[int(batch), "torch"]
        check(own, kernel["ms_p50"])
        check(share.removesuffix(" %"), kernel["percent_of_ceiling"])
        check(peer, torch["ms_p50"])
        check(ratio, torch["ms_p50"] / kernel["ms_p50"])


def test_quality_on_db15k() -> None:
    found = result("db15k-cpu.json")
    rows = table(PAGE, "filtered, both directions, 19,804 test queries")[1]
    for (_, *cells), metrics in zip(rows, (found["test"], found["published"]), strict=True):
        for cell, name in zip(cells, ("mrr", "hits_at_1", "hits_at_3", "hits_at_10"), strict=True):
            check(cell, 100 * metrics[name])
    for row, measured in zip(table(PAGE, "query")[1], found["ten_queries"], strict=True):
        labels = [answer["label"].replace("_", " ") for answer in measured["top_5"]]
        assert row[1].replace("**", "") == ", ".join(labels)
        assert row[2] in (measured["right_answer"].replace("_", " "), "in bold")


def test_missing_modalities() -> None:
    runs = [run["test"] for run in result("adamf-mat-missing-modalities.json")["runs"]]
    cells = [cell for row in table(PAGE, "trained on")[1] for cell in row[1:]]
    for cell, metrics in zip(cells, runs[:6], strict=True):
        mrr, hits = re.findall(r"\d+\.\d+", cell)
        check(mrr, 100 * metrics["mrr"])
        check(hits, 100 * metrics["hits_at_10"])


@pytest.mark.parametrize("row", table("README.md", "claim")[1], ids=lambda row: row[0])
def test_the_readme_claims_what_the_page_says(row: list[str]) -> None:
    page = text_of(PAGE)
    for number in re.findall(r"\d[\d,.]*\d|\d", " ".join(row[:2])):
        assert re.search(rf"(?<![\d,.]){re.escape(number)}(?![\d,]|\.\d)", page), number
    (file,) = re.findall(r"\]\((.*?)\)", row[2])
    assert Path(ROOT / file).is_file()
    assert f"(../{file})" in page


def test_a_million_entities() -> None:
    before = result("million-before.json")["steps"]["opened first"]
    after = [result("million.json")["steps"][opening] for opening in ("opened first", "opened again")]
    older = {"query of 201 more": "query of 4 more"}

    def check_time(text: str, step: str, field: str, found: dict[str, Any]) -> None:
        number, unit = text.split()
        check(number, found[step][field] * (1000 if unit == "ms" else 1))

    for step, *cells in table("docs/scale.md", "step")[1]:
        name, _, cpu = step.partition(", CPU")
        field = "cpu_seconds" if cpu else "seconds"
        if cells[0] != "-":
            check_time(cells[0], older.get(name, name), field, before)
        for cell, found in zip(cells[1:], after, strict=True):
            check_time(cell, name, field, found)
    sizes = result("million.json")["file_mib"]
    for name, cell in table("docs/scale.md", "file")[1]:
        check(cell, sizes[name.strip("`")])


def test_ten_million_entities() -> None:
    found = result("million-10m.json")["steps"].values()
    for step, *cells in table("docs/scale.md", "of ten million")[1]:
        for cell, steps in zip(cells, found, strict=True):
            number, unit = cell.split()
            check(number, steps[step]["seconds"] * (1000 if unit == "ms" else 1))


def test_memory_of_a_million_entities() -> None:
    before = result("million-before.json")["steps"]["opened first"]
    after = result("million.json")["steps"]["opened again"]
    for step, *cells in table("docs/scale.md", "memory at")[1]:
        for cell, (found, field) in zip(
            cells, [(one, field) for one in (before, after) for field in ("anonymous_mib", "peak_mib")], strict=True
        ):
            check(cell, found[step][field])


def test_a_million_entities_added_at_once() -> None:
    found = result("growing-million.json")
    for step, seconds, memory in table("docs/scale.md", "a million at once")[1]:
        check(seconds, found["steps"][step]["seconds"])
        check(memory, found["steps"][step]["anonymous_mib"])
    page = " ".join(text_of("docs/scale.md").split())
    assert f"adding takes {found['times the encoder']['arrays']:.2f} times the encoder's own time" in page
    assert f"The rows have {found['added_table_mib']:.0f} MiB" in page
    added, before, after = (found["steps"][step] for step in ("added as arrays", "query before", "query after"))
    assert f"is {added['peak_mib'] - added['anonymous_mib']:.0f} MiB above what stays" in page
    assert f"took {1000 * before['seconds']:.1f} ms before and {1000 * after['seconds']:.1f} ms after" in page


def test_a_service_on_ray() -> None:
    measured = {row["rate"]: row for row in result("serving.json")["rows"]}
    rows = table(PAGE, "rate, queries per second")[1]
    assert [int(row[0]) for row in rows] == list(measured)
    for rate, *cells in rows:
        for name, cell in zip(("answered", "rejected", "failed", "ms_p50", "ms_p99"), cells, strict=True):
            check(cell, measured[int(rate)][name])
    assert not any(row["wrong"] for row in measured.values())


def test_actors_of_ray_data() -> None:
    rows = table(PAGE, "way of batches")[1]
    for (_, processes, rate, efficiency), row in zip(rows, result("actors.json")["rows"], strict=True):
        assert int(processes) == row["processes"]
        check(rate, row["queries_per_second"])
        check(efficiency, row["efficiency"])


@pytest.mark.parametrize(
    ("heading", "file"),
    [
        ("MyGO trained with", "modalities-mygo.json"),
        ("MyGO trained with tokens", "modalities-mygo-ratios.json"),
        ("AdaMF-MAT trained with", "modalities-adamf-mat.json"),
        ("MIMIC trained with", "modalities-mimic.json"),
        ("MKGformer trained with", "modalities-mkgformer.json"),
    ],
)
def test_what_a_picture_is_worth(heading: str, file: str) -> None:
    found = result(file)
    column = 2 if found["family"] == "mimic" else 1
    for row in table(PAGE, "nearest neighbours by")[1]:
        check(row[column], 100 * found["baselines"][f"neighbours by {row[0]}"]["mrr"])
    measured = {}
    for row in found["variants"]:
        metrics = row["metrics"]
        measured[row["name"]] = {
            "mrr": metrics["mrr"]["mean"],
            "deviation": metrics["mrr"]["deviation"],
            "change": row.get("change"),
            "low": row.get("interval", [None])[0],
            "high": row.get("interval", [None])[-1],
            "hits": metrics["hits_at_1"]["mean"],
        }
    rows = table(PAGE, heading)[1]
    assert [row[0] for row in rows] == list(measured)
    for name, mrr, deviation, change, interval, hits in rows:
        numbers = {"mrr": mrr, "deviation": deviation, "change": change, "hits": hits}
        low, _, high = interval.partition(" to ")
        for key, cell in (numbers | {"low": low, "high": high or low}).items():
            if (value := measured[name].get(key)) is None:
                assert cell == "-", (name, key)
            else:
                check(cell.removeprefix("+"), 100 * value)


def test_what_more_epochs_bring() -> None:
    text = " ".join(text_of(PAGE).split())
    said = r"trained on\*\*: ([\d.]+) after 150 epochs .*?, ([\d.]+) after the 60 .*?, RotatE ([\d.]+)"
    printed = re.search(said, text)
    assert printed is not None
    files = ("mygo-150-epochs", "mygo-ratios", "adamf-mat")
    longer, mygo, adamf = (result(f"modalities-{name}.json") for name in files)
    assert (longer["seeds"], longer["settings"]["epochs"]) == (2, 150)
    for number, found, name in zip(
        printed.groups(), (longer, mygo, adamf), ("image and text", "image and text", "structure alone"), strict=True
    ):
        (row,) = (row for row in found["variants"] if row["name"] == name)
        check(number, 100 * row["metrics"]["mrr"]["mean"])


def test_what_a_model_loses() -> None:
    subjects = ("mygo", "mygo-modality-dropout", "adamf-mat", "adamf-mat-features-as-made")
    found = [result(f"quality-{name}.json") for name in subjects]
    (nothing, *rows) = table(PAGE, "changed in the bundle")[1]
    for cell, report in zip(nothing[2:], found, strict=True):
        check(cell, 100 * report["baseline"]["value"])
    measured = [{(r["change"], r["level"]): r["difference"] for r in report["rows"]} for report in found]
    assert len(rows) == len({key for one in measured for key in one if key[0] not in ("tokens", "modalities")})
    for change, level, *cells in rows:
        for cell, one in zip(cells, measured, strict=True):
            if (change, level) in one:
                check(cell.removeprefix("+"), 100 * one[change, level])
            else:
                assert cell == "-"


def test_features_that_were_kept() -> None:
    text = " ".join(text_of(PAGE).split())
    printed = re.search(
        r"seen anew, cost ([\d.]+): .*? has ([\d.]+) where trained features have ([\d.]+)\. "
        r"With pictures by a designer never seen it has ([\d.]+) instead of ([\d.]+), "
        r"with one picture of four ([\d.]+) instead of ([\d.]+)",
        text,
    )
    assert printed is not None
    kept, moved = (
        {(row["change"], row["level"]): row for row in result(f"quality-{name}.json")["rows"]}
        for name in ("adamf-mat-features-as-made", "adamf-mat")
    )
    trainings = {row["name"]: row["metrics"]["mrr"]["mean"] for row in result("modalities-adamf-mat.json")["variants"]}
    expected = [
        -moved["the same pictures, seen anew", "all"]["difference"],
        *(trainings[name] for name in ("image and text", "features trained")),
        *(rows["pictures by somebody else", "of 1,920 of 1,923 entities"]["value"] for rows in (kept, moved)),
        *(rows["pictures of an entity", "1 of 4"]["value"] for rows in (kept, moved)),
    ]
    for cell, value in zip(printed.groups(), expected, strict=True):
        check(cell, 100 * value)


@pytest.mark.parametrize("family", ["MKGformer", "MIMIC"])
def test_what_the_others_lose(family: str) -> None:
    found = result(f"quality-{family.lower()}.json")
    (nothing, *rows) = table(PAGE, f"changed in {family}'s bundle")[1]
    measured = [row for row in found["rows"] if row["change"] != "modalities"]
    assert [tuple(row[:2]) for row in rows] == [(row["change"], row["level"]) for row in measured]
    ends = [(found["baseline"]["value"], found["baseline"]["low"], found["baseline"]["high"])]
    ends += [(row["difference"], row["low"], row["high"]) for row in measured]
    for (_, _, value, interval), numbers in zip([nothing, *rows], ends, strict=True):
        for cell, number in zip((value, *interval.split(" to ")), numbers, strict=True):
            check(cell.removeprefix("+"), 100 * number)


def test_newcomers() -> None:
    text = text_of(PAGE).replace("\n", " ")
    printed = re.search(
        r"([\d.]+) ms at the median and ([\d.]+) ms at p99 with MyGO .*? ([\d.]+) and ([\d.]+) ms with AdaMF-MAT "
        r".*? first takes ([\d.]+) ms",
        text,
    )
    assert printed is not None
    mygo, adamf = (result(f"newcomers-{family}.json")["milliseconds"] for family in ("mygo", "adamf-mat"))
    expected = [mygo["median"], mygo["p99"], adamf["median"], adamf["p99"], mygo["first"]]
    for cell, value in zip(printed.groups(), expected, strict=True):
        check(cell, value)
