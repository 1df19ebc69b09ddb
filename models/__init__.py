"""Architectures, training and evaluation of the segmenter and the classifier."""
