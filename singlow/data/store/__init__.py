"""Storage: datasets of TFRecord shards, read and written without TensorFlow."""
