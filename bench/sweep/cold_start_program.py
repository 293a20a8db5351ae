"""What cold_start.py starts as a script, so that nothing is imported before the clock runs. Prints one JSON object."""

import json
import os
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any


def main() -> None:
    """Import, load and answer once; say how long each took."""
    # Libraries that print must not write into the reply.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    job = json.loads(sys.argv[1])
    times = [time.perf_counter()]
    import mmkg_sdk

    times.append(time.perf_counter())
    try:
        opened = mmkg_sdk.load(job["bundle"], job["backend"], job["device"], threads=job["threads"])
        times.append(time.perf_counter())
        _answer(opened)
    except Exception as err:  # whatever it is, it is one failed point, and the sweep goes on
        kind = "" if isinstance(err, mmkg_sdk.MmkgError) else f"{type(err).__name__}: "
        reply: dict[str, Any] = {"error": f"{kind}{err}"}
    else:
        times.append(time.perf_counter())
        stages = [1e3 * (after - before) for before, after in pairwise(times)]
        reply = dict(zip(("import_ms", "load_ms", "answer_ms"), stages, strict=True)) | _memory_mib()
    channel.write(json.dumps(reply) + "\n")
    channel.flush()
    # The reply is there; how long freeing everything takes is nobody's question.
    os._exit(0)


def _answer(opened: Any) -> object:
    """A question of the bundle's task, without an image."""
    import mmkg_sdk

    task, words = opened.bundle.config.task, ["one", "of", "two"]
    if task == "link-prediction":
        return opened.predict_tails(0, 0)[0].labels
    if task == "entity-linking":
        return opened.link_mentions(mmkg_sdk.Mention(opened.entities[0], " ".join(words)))[0].labels
    if task == "relation-extraction":
        return opened.extract_relations(mmkg_sdk.RelationMention(words, (0, 1), (2, 3)))[0].label
    return opened.tag([words])[0].entities


def _memory_mib() -> dict[str, float | None]:
    """Memory held now and at most, pages of mapped files included; None where the system does not say."""
    found: dict[str, float | None] = {"resident_mib": None, "peak_mib": None}
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return found
    # Not getrusage: its peak survives exec and would be that of the parent process.
    for name, key in (("VmRSS:", "resident_mib"), ("VmHWM:", "peak_mib")):
        for line in lines:
            if line.startswith(name):
                found[key] = int(line.split()[1]) / 1024
    return found


if __name__ == "__main__":
    main()
