"""What a flow tells of itself while it is trained."""

from collections.abc import Sequence

import keras
from keras import ops

from singlow.ops.masks import count_frames, sum_frames
from singlow.ops.tensors import Tensor


class Measured(keras.Model):
    """A model with the running means of its bits per sample and of its latents, by level."""

    def _start_means(self, levels: int) -> None:
        self._means = {
            name: keras.metrics.Mean(name=name)
            for name in ("bits_per_sample", "z_mean", "z_square")
        }
        self._level_means = [
            {name: keras.metrics.Mean(name=f"{name}_{i}") for name in ("z_mean", "z_square")}
            for i in range(levels)
        ]

    def _update_means(
        self, bits: Tensor, samples: Tensor, z: Sequence[Tensor], masks: Sequence[Tensor | None]
    ) -> None:
        self._means["bits_per_sample"].update_state(bits, sample_weight=samples)
        for level, (latent, mask) in enumerate(zip(z, masks, strict=True)):
            weight = ops.sum(count_frames(latent, mask)) * latent.shape[-1]
            for name, values in (("z_mean", latent), ("z_square", ops.square(latent))):
                mean = ops.sum(sum_frames(values, mask)) / weight
                self._means[name].update_state(mean, sample_weight=weight)
                self._level_means[level][name].update_state(mean, sample_weight=weight)

    def get_metrics_result(self) -> dict[str, Tensor]:
        """`bits_per_sample`, and mean and variance of the latents, all and by level."""
        results = {"bits_per_sample": self._means["bits_per_sample"].result()}
        for suffix, means in [("", self._means)] + [
            (f"_{i}", level) for i, level in enumerate(self._level_means)
        ]:
            mean, square = means["z_mean"].result(), means["z_square"].result()
            results[f"z_mean{suffix}"] = mean
            results[f"z_variance{suffix}"] = square - ops.square(mean)
        return results
