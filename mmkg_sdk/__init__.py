"""mmkg_sdk: deploy multi-modal knowledge graph models.

    import mmkg_sdk
    model = mmkg_sdk.load("my-bundle")
    model.predict_tails("Norway", "capital", k=3)

Importing this package loads nothing heavy: numpy arrives with the first of its names, torch and onnxruntime when a
backend asks for them. So the command line can answer Ctrl-C from its first moment.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .version import __version__ as __version__

# In a checkout, export/ and bench/ lie beside this package; installed, they are inside it.
if (Path(__file__).parent.parent / "pyproject.toml").is_file():
    __path__.append(str(Path(__file__).parent.parent))

if TYPE_CHECKING:
    from .api import *  # noqa: F403
else:

    def __getattr__(name: str) -> Any:
        api = importlib.import_module(f"{__name__}.api")  # `from . import` would ask here for the name
        public = {each: getattr(api, each) for each in api.__all__}
        globals().update(public, __all__=["__version__", *public])
        try:
            return globals()[name]  # one of them, or a module that they brought
        except KeyError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})
