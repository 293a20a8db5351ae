"""What a bundle can be given less, worse and otherwise, by its task: the conditions that bench quality measures."""
