"""What was expected before any GPU was seen. docs/gpu-proof.md shows it; every proof.json holds it beside what came.

[C] is calculated for a GPU that copies 3.0 TB/s and multiplies 798 TFLOP/s in bfloat16; [E] is an estimate.
"""

from __future__ import annotations

# What, how sure, prediction.
PREDICTIONS: tuple[tuple[str, str, str], ...] = (
    ("floor of a scan, 1,000,000 x 256", "C", "171 us up to batch 256, 1,314 us at 2,048"),
    ("floor of a scan, 15,000 x 256", "C", "2.6 us up to batch 256, 19.7 us at 2,048"),
    ("floor of a scan, 10,000,000 x 256", "C", "1.71 ms up to batch 256, 13.1 ms at 2,048"),
    ("first pass by bin maxima, 1,000,000 rows, batch 2,048", "E", "1.7 to 1.9 ms, 70 to 78 % of the ceiling"),
    ("first pass by bin maxima, 1,000,000 rows, batch 128", "E", "185 to 200 us, 85 to 92 % of the copy rate"),
    ("exact k=10, 1,000,000 rows, batch 2,048", "E", "the first pass and 0.2 to 0.4 ms"),
    ("exact k=100, 1,000,000 rows, batch 2,048", "E", "the first pass and 2 to 3 ms"),
    ("torch bfloat16 mm and topk, 1,000,000 rows, batch 2,048, k=10", "E", "5 to 8 ms"),
    ("a MyGO training step, published shape", "E", "bf16 4 to 6 ms, fp32 10 to 15 ms, 3 to 5 GiB"),
    ("token-table encoder in torch, 14 tokens", "E", "3 to 8 M entities/s with a CUDA graph"),
    ("token-table encoder by a fused kernel, 14 tokens", "E", "30 to 60 M entities/s"),
    ("TensorRT-RTX on compute capability 9.0", "E", "refused, 80 % likely"),
)
