"""Networks inside couplings, which need not be invertible."""

from singlow.networks.base import Network
from singlow.networks.convnet import ConvNet
from singlow.networks.gated import GatedConvNet
from singlow.networks.hypernet import HyperNet
from singlow.networks.upsample import FrameEncoder, TransposedConvolution, Upsample
from singlow.networks.wavenet import WaveNet
from singlow.networks.weightnorm import Convolution

__all__ = [
    "ConvNet",
    "Convolution",
    "FrameEncoder",
    "GatedConvNet",
    "HyperNet",
    "Network",
    "TransposedConvolution",
    "Upsample",
    "WaveNet",
]
