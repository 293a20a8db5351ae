"""MIMIC: multi-grained multimodal interaction network for entity linking.

Luo, Xu, Wu, Zhu, Xu, Chen: "Multi-Grained Multimodal Interaction Network for Entity Linking", KDD 2023
(arXiv 2307.09721).
"""
