"""MyGO: discrete modality tokens as fine-grained contexts for multi-modal knowledge graph completion.

Zhang, Chen, Guo, Xu, Hu, Liu, Zhang, Chen: "Tokenization, Fusion, and Augmentation: Towards Fine-grained
Multi-modal Entity Representation", AAAI 2025 (arXiv 2404.09468).
"""
