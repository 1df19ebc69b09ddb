"""What was done before networks: segmentations by rule, features made by hand, a support vector machine and a tree."""
