"""The model families. A family is a folder with the same nine files; nothing is imported until asked for.

config      what one model is: sizes and settings, and the published presets
model       the torch module, as in the paper
objective   the training loss, as in the paper
checkpoint  the official checkpoint, read into our run
inputs      from a data set to what a run holds: labels, arrays, files
graphs      the modules that are exported: same numbers, less work
scoring     how a run's torch model answers, for evaluation and parity
runtime     what answering from a bundle needs to know of the family, without torch
measuring   what the benchmark needs to know of it, without torch

contract.py, runtimes.py and measuring.py say what each file owes. What families share lies beside them: official.py,
exported.py, link_prediction.py, entity_batch.py and others.
"""
