"""The headline's comparison image by image: what of it is owed to images that nearly repeat."""
