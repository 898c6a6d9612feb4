"""Networks inside couplings and outside of them, which need not be invertible."""

from singlow.networks.base import Network
from singlow.networks.convnet import ConvNet
from singlow.networks.encoders import (
    DurationPredictor,
    Encoder,
    GatedConvolutions,
    Prenet,
    ResidualConvolutions,
    SeparableConvolutions,
)
from singlow.networks.gated import GatedConvNet
from singlow.networks.hypernet import HyperNet
from singlow.networks.recurrent import AttentiveLSTM, RecurrentEncoder
from singlow.networks.transformer import RelativeAttention, RelativeTransformer
from singlow.networks.upsample import FrameEncoder, TransposedConvolution, Upsample
from singlow.networks.wavenet import WaveNet
from singlow.networks.weightnorm import Convolution

__all__ = [
    "AttentiveLSTM",
    "ConvNet",
    "Convolution",
    "DurationPredictor",
    "Encoder",
    "FrameEncoder",
    "GatedConvNet",
    "GatedConvolutions",
    "HyperNet",
    "Network",
    "Prenet",
    "RecurrentEncoder",
    "RelativeAttention",
    "RelativeTransformer",
    "ResidualConvolutions",
    "SeparableConvolutions",
    "TransposedConvolution",
    "Upsample",
    "WaveNet",
]
