"""Weights of the published code of each paper, as weights of the models of singlow.

Each module maps the state of an original, arrays by the names of its checkpoints, to the arguments
of a model's constructor and to the model's weights by path.
"""
