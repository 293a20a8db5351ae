"""The benchmark of a bundle on a GPU, stage by stage: `mmkg-sdk bench gpu`.

NEVER RUN ON A GPU: the tests walk this code on a processor, with a clock of the host.
"""
