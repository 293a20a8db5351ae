"""Images that the files of a data set name, or that lie beside them."""
