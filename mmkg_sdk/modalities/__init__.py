"""What raw input becomes at run time: texts to word pieces, images to pixels."""
