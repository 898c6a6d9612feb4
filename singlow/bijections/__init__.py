"""Layers that invert, with exact log-determinants."""

from singlow.bijections.actnorm import ActNorm, PositionalAffine
from singlow.bijections.autoregressive import AutoregressiveAffine
from singlow.bijections.base import InvertibleLayer
from singlow.bijections.compose import Chain
from singlow.bijections.coupling import AffineCoupling
from singlow.bijections.linear import Flip, FoldedLinear, InvertibleConv, Permutation, Swap
from singlow.bijections.multiscale import MultiScale
from singlow.bijections.repeat import Repeat
from singlow.bijections.shift import ConditionalShift
from singlow.bijections.squeezed import Squeezed
from singlow.bijections.wrappers import Inverse, WithCondition, WithoutCondition

__all__ = [
    "ActNorm",
    "AffineCoupling",
    "AutoregressiveAffine",
    "Chain",
    "ConditionalShift",
    "Flip",
    "FoldedLinear",
    "Inverse",
    "InvertibleConv",
    "InvertibleLayer",
    "MultiScale",
    "Permutation",
    "PositionalAffine",
    "Repeat",
    "Squeezed",
    "Swap",
    "WithCondition",
    "WithoutCondition",
]
