"""A libFuzzer target for the bundle reader of mmkg::model.

bundle_fuzzer.cpp  opens and asks a bundle of which one file is what the fuzzer made
corpus.py          what it begins with
__main__.py        `python -m tests.cpp.fuzz --minutes 1`: compiles it, makes the corpus, runs it
"""
