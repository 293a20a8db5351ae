"""Files of queries in, files of answers out: Parquet, CSV and JSON lines, in bounded memory and resumable.

    from mmkg_sdk.batches import predict_file
    predict_file(model, "queries.parquet", "answers.parquet", k=10)

One file, from query to answer: rows of it (queries.py, and parquet.py or lines.py) -> the answers of some rows at a
time (a file for each task) -> a part of the work, which is kept (parts.py) -> all parts as one file (tables.py). run.py
does these steps in order.
"""

from .entity_linking import link_file
from .entity_recognition import tag_file
from .link_prediction import predict_file
from .relation_extraction import extract_file
from .run import Answered

__all__ = ["Answered", "extract_file", "link_file", "predict_file", "tag_file"]
