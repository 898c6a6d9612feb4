"""What Keras lacks on both backends: loops, derivatives, masks, products."""
