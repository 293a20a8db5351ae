"""The first minutes on a GPU: `python -m mmkg_sdk.bench.gpu_proof --minutes 12 --out DIR`.

NEVER RUN ON A GPU. In order of worth: what machine this is, whether the kernels are right, how fast they are beside
peers, encoders, engines, and training. Every step is a process with a limit of its own (plan.py), and its result is on
disk after every row (record.py), so that a cut at any moment leaves what was done. Without a GPU it ends where one is
asked for, with exit code 3. `--rehearse` walks the code of all steps on a processor, in tiny sizes.
"""
