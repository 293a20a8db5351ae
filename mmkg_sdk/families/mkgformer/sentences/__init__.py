"""MKGformer's relation extraction and entity recognition: sentences with their images."""
