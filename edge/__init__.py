"""The runtime: what a workstation runs. It never imports TensorFlow, Keras or NNCF."""
