"""The desktop program of docs/embedding.md, used on a virtual screen."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmkg_sdk import Model
from tests.docs.pages import blocks
from tests.places import ROOT

PRESS = """
import sys
import desktop, mmkg_sdk
window = desktop.Window(mmkg_sdk.Model.load(sys.argv[1]))
for head in sys.argv[3:]:
    window.head.delete(0, "end")
    window.head.insert(0, head)
    window.relation.set(sys.argv[2])
    window.update()
    window.button.invoke()
    window.update()
    assert window.winfo_viewable()
    print(" | ".join(window.answers.get(0, "end")))
window.destroy()
"""


@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="no virtual screen: xvfb-run is not installed")
def test_a_button_shows_the_answers_or_what_is_wrong(tmp_path: Path) -> None:
    pytest.importorskip("tkinter")
    (program,) = [text for _, text in blocks("docs/embedding.md", "sh") if "desktop.py" in text]
    (written,) = re.findall(r"^cat > desktop\.py <<'END'\n(.*?)^END$", program, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "desktop.py").write_text(written)
    bundle = ROOT / "tests" / "released" / "0.2.0" / "mygo"
    with Model.load(bundle) as model:
        head, relation = model.entities[0], model.relations[0]
        (expected,) = model.predict_tails(head, relation, k=5)
    done = subprocess.run(
        ["xvfb-run", "-a", sys.executable, "-c", PRESS, str(bundle), relation, head, "nobody"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown, error = done.stdout.splitlines()
    assert shown == " | ".join(expected.labels)
    assert "nobody" in error
