"""A fuzzer that changes bundles in ways that a format allows, and looks at what comes of each.

subjects.py  tiny bundles of every family and task, and what they answer
mutants.py   changes of them, drawn by hypothesis: fields, tensors, graphs, labels, bytes; and what is signed again
judge.py     a child process in which a changed bundle is opened, asked and verified by every way
campaign.py  draws, judges and counts, for so many mutants or minutes
__main__.py  `python -m tests.attacks.fuzz --minutes 3`

What may come of a mutant: an MmkgError; the same answer; or another one that verification refuses. Everything else is
a failure: another exception, the end of the child, more time than is given, another answer without a word.
"""
