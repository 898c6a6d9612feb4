"""Networks inside couplings: functions of time that need not invert."""

from singlow.networks.convnet import ConvNet
from singlow.networks.hypernet import HyperNet
from singlow.networks.wavenet import WaveNet
from singlow.networks.weightnorm import Convolution

__all__ = ["ConvNet", "Convolution", "HyperNet", "WaveNet"]
