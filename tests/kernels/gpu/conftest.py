"""Keeps the interpreted tests for the processes that test_interpreted.py starts."""

from __future__ import annotations

import os

# Triton decides when it is imported whether its functions are interpreted, and other tests import it to compile.
collect_ignore_glob = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["interpreted/*"]
