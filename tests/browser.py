"""Pages as a real browser has them, without a window."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--virtual-time-budget=10000")


def in_browser(html: str, folder: Path) -> str:
    """The page after its scripts ran."""
    (folder / "page.html").write_text(html, encoding="utf-8")
    done = _run(folder, "--dump-dom", (folder / "page.html").as_uri())
    assert "<body" in done.stdout, done.stderr[-2000:]
    return done.stdout[done.stdout.index("<body") :]


def pictured(page: Path, folder: Path, width: int, height: int) -> Path:
    """What the browser shows of a page, as a PNG."""
    picture = folder / "page.png"
    shown = (f"--screenshot={picture}", f"--window-size={width},{height}", "--hide-scrollbars")
    done = _run(folder, *shown, "--force-device-scale-factor=1", page.as_uri())
    assert picture.is_file(), done.stderr[-2000:]
    return picture


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"no browser on the PATH ({', '.join(BROWSERS)}); Debian's is the package chromium")
    command = [browser, *OPTIONS, f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
