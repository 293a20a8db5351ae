"""AdaMF-MAT: adaptive multi-modal fusion and modality adversarial training for knowledge graph completion.

Zhang, Chen, Liang, Chen, Zhang: "Unleashing the Power of Imbalanced Modality Information for Multi-modal Knowledge
Graph Completion", LREC-COLING 2024 (arXiv 2402.15444).
"""
