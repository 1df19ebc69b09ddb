"""Keras models in, quantized TFLite and OpenVINO bundle out."""
