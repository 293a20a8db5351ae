"""One vector per entity and modality: the files and the matrices in them."""
