"""Export: from a run to a verified bundle, and from an official checkpoint to a run."""

from .bundle_writer import export_bundle
from .importing import import_checkpoint
from .parity import ParityCheck, ParityReport

__all__ = ["ParityCheck", "ParityReport", "export_bundle", "import_checkpoint"]
