"""Long inputs in time tiles: exact, in memory that does not grow with length."""

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from singlow.ops.control import scan
from singlow.ops.masks import count_frames
from singlow.ops.tensors import Tensor


def in_tiles(
    function: Callable[..., tuple[Tensor, Tensor]],
    seen: Tensor,
    moved: Tensor,
    condition: Tensor | None,
    frame_mask: Tensor | None,
    tile: int,
    field: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """`function` over tiles of time, its outputs joined and its log-determinants summed.

    A tile sees the frames of its neighbours that a network of this receptive field reads; frames
    beyond the ends of the input are masked, and a network takes masked frames for the zeros beyond
    the ends. So the result is that of the whole input at once.

    Args:
        function: from `seen` with its margins, `moved`, the condition and the frame mask with their
            margins to an output like `moved` and a log-determinant `(batch,)`.
        seen: `(batch, time, channels)`, what a network reads.
        moved: `(batch, time, channels)`, what is transformed.
        condition: `(batch, time, features)`, `(batch, 1, features)` or `None`.
        frame_mask: `(batch, time)` or `None`.
        tile: frames a tile.
        field: frames before and after its own that an output of the network depends on.

    Returns:
        The output `(batch, time, channels)` and the log-determinant `(batch,)`.
    """
    (before, after), length = field, _length(seen)
    tile = ops.minimum(tile, length) if seen.shape[1] is None else min(tile, length)
    count = -(-length // tile)
    if frame_mask is None:
        frame_mask = ops.ones_like(seen[..., 0])
    margins = (before, count * tile - length + after)
    varying = condition is not None and condition.shape[1] != 1
    wide = [_padded(seen, margins), _padded(ops.cast(frame_mask, seen.dtype), margins)]
    wide += [_padded(condition, margins)] if varying else []
    narrow = _padded(moved, (0, count * tile - length))

    def turn(carry: list[Tensor], index: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        start = index[0] * tile
        a, mask, *own = (_cut(each, start, before + tile + after) for each in wide)
        given = own[0] if varying else condition
        output, log_det = function(a, _cut(narrow, start, tile), given, mask)
        return [carry[0] + log_det], [output]

    total = 0.0 * count_frames(seen)
    like = narrow[:, :tile]
    (log_det,), (tiles,) = scan(turn, [total], [ops.arange(count)], count, [like])
    joined = ops.reshape(
        ops.transpose(tiles, (1, 0, 2, 3)),
        (_size(seen, 0), count * tile, moved.shape[-1]),
    )
    return joined[:, :length], log_det


def _size(x: Tensor, axis: int) -> Any:
    return ops.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]


def _length(x: Tensor) -> Any:
    return _size(x, 1)


def _padded(x: Tensor, margins: tuple[Any, Any]) -> Tensor:
    return ops.pad(x, ((0, 0), margins, *[(0, 0)] * (len(x.shape) - 2)))


def _cut(x: Tensor, start: Any, size: Any) -> Tensor:
    starts = (0, start, *[0] * (len(x.shape) - 2))
    return ops.slice(x, starts, (_size(x, 0), size, *x.shape[2:]))
