"""MKGformer: one hybrid text and image encoder for link prediction, relation extraction and entity recognition.

Chen, Zhang, Li, Deng, Tan, Xu, Huang, Si, Chen: "Hybrid Transformer with Multi-level Fusion for Multimodal Knowledge
Graph Completion", SIGIR 2022 (arXiv 2205.02357).
"""
