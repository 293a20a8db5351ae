"""One file per public layout of data sets: what its files mean, and what is odd about them."""
