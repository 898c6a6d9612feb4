"""Checkpoints of the published code of each paper: their files, and their weights in our models.

Files are read without PyTorch and without running code. The module of a paper maps the state of an
original, arrays by the names of its checkpoints, to the arguments of a model's constructor and to
the model's weights by path.
"""
