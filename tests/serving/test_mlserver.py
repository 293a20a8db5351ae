"""complete.onnx in a real MLServer, by the runtime of docs/embedding.md, asked by a client of KServe's protocol v2.

MLServer pins fastapi, so it lives in a virtual environment of its own; its Python is named by $MMKG_MLSERVER_PYTHON.
.ci/run makes one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmkg_sdk import Model
from mmkg_sdk.ranking.known_triples import Queries
from tests.docs.pages import blocks
from tests.places import ROOT
from tests.serving.triton.server import free_port

VARIABLE = "MMKG_MLSERVER_PYTHON"
BUNDLE = ROOT / "tests" / "released" / "0.2.0" / "mygo"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Any]:
    """A client of a server of what the document writes, with the path of another bundle."""
    if VARIABLE not in os.environ:
        pytest.skip(f"no MLServer: ${VARIABLE} names no Python that has it and ONNX Runtime")
    import tritonclient.grpc as client

    (program,) = [text for _, text in blocks("docs/embedding.md", "sh") if "mlserver" in text]
    written = dict(re.findall(r"^cat > kserve/(\S+) <<'END'\n(.*?)^END$", program, flags=re.MULTILINE | re.DOTALL))
    settings = json.loads(written["model-settings.json"])
    assert settings["parameters"]["uri"] == "../quickstart/bundle/complete.onnx"
    settings["parameters"]["uri"] = str(BUNDLE / "complete.onnx")
    (tmp_path / "runtime.py").write_text(written["runtime.py"])
    (tmp_path / "model-settings.json").write_text(json.dumps(settings))
    (plain,) = re.findall(r"^echo '(.*)' > kserve/settings\.json$", program, flags=re.MULTILINE)
    (tmp_path / "settings.json").write_text(plain)
    ports = {f"MLSERVER_{name}_PORT": str(free_port()) for name in ("HTTP", "GRPC", "METRICS")}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"MLSERVER_HOST": "127.0.0.1", **ports}
    command = [str(Path(os.environ[VARIABLE]).parent / "mlserver"), "start", str(tmp_path)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env=environment | {"MLSERVER_HOST": "127.0.0.1"},
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
        )
    try:
        with client.InferenceServerClient(f"127.0.0.1:{ports['MLSERVER_GRPC_PORT']}") as asked:
            _wait(asked, process, tmp_path / "log")
            yield asked
    finally:
        process.terminate()
        process.wait(60)


def _wait(client: Any, process: subprocess.Popen[bytes], log: Path) -> None:
    from tritonclient.utils import InferenceServerException

    for _ in range(600):
        try:
            if client.is_model_ready("complete"):
                return
        except InferenceServerException:  # nobody listens yet, or it is being loaded
            pass
        assert process.poll() is None, log.read_text(errors="replace")[-6000:]
        time.sleep(0.2)
    raise AssertionError(log.read_text(errors="replace")[-6000:])


def ask(server: Any, **columns: np.ndarray[Any, Any]) -> dict[str, Any]:
    import tritonclient.grpc as client

    inputs = []
    for name, values in columns.items():
        inputs.append(client.InferInput(name, list(values.shape), "INT64"))
        inputs[-1].set_data_from_numpy(values)
    found = server.infer("complete", inputs, client_timeout=60)
    return {name: found.as_numpy(name) for name in ("ids", "scores")}


def test_ids_are_answered_as_by_the_bundle(server: Any) -> None:
    from tritonclient.utils import InferenceServerException

    with Model.load(BUNDLE) as model:
        for count in (1, 40):
            rows = np.arange(count)
            asked = {"entity": rows % len(model.entities), "relation": rows % 2, "direction": rows // 2 % 2}
            found = ask(server, **asked)
            expected = model.predict_queries(Queries(*asked.values()), found["ids"].shape[1], filter_known=False)
            for row, ranking in enumerate(expected):
                assert found["ids"][row].tolist() == ranking.ids.tolist()
                np.testing.assert_allclose(found["scores"][row], ranking.scores, rtol=1e-5, atol=1e-5)
        far = np.array([1 << 40])
        with pytest.raises(InferenceServerException):
            ask(server, entity=far, relation=np.zeros(1, np.int64), direction=np.zeros(1, np.int64))
        assert ask(server, **asked)["ids"].tolist() == found["ids"].tolist()
