"""What is collected here: files that need a process of their own are run by a test of theirs."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("TEST_BUNDLE") else ["onnxruntime_on_stand_in/*"]
