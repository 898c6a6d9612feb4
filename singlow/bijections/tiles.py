"""Process long inputs in tiles of time, exactly and in memory that does not grow with length."""

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from singlow.bijections.conditions import Condition, coarse_entries, map_coarse, map_frames
from singlow.ops.control import scan
from singlow.ops.masks import count_frames
from singlow.ops.tensors import Tensor


def in_tiles(
    function: Callable[..., tuple[Tensor, Tensor]],
    seen: Tensor,
    moved: Tensor,
    condition: Condition,
    frame_mask: Tensor | None,
    tile: int,
    field: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Run `function` over tiles of time; join its outputs and sum its log-determinants.

    Each tile is extended by the frames that a network of this receptive field reads. Frames beyond
    the ends of the input are masked, and networks treat masked frames as zeros. So the result
    equals that of the whole input at once. With a coarse condition, tiles and margins are rounded
    up to whole entries of it.

    Args:
        function: maps a tile of `seen` with margins, of `moved` without, of the condition and the
            frame mask with margins, and the slice without margins, to an output of the shape of
            the tile of `moved` and a log-determinant `(batch,)`.
        seen: `(batch, time, channels)`, the input of the network.
        moved: `(batch, time, channels)`, the channels that are transformed.
        condition: see `singlow.bijections.conditions`; frames entries and coarse ones are cut
            with `seen`.
        frame_mask: `(batch, time)` or `None`.
        tile: frames in a tile.
        field: frames before and after its own position that an output of the network depends on.

    Returns:
        The output `(batch, time, channels)` and the log-determinant `(batch,)`.
    """
    (before, after), length = field, _size(seen, 1)
    coarse = coarse_entries(condition)
    # Positions of x for one entry of the coarse conditions, which all have the same resolution.
    entry = length // _size(coarse[0], 1) if coarse else 1
    before, after, tile = (-(-size // entry) * entry for size in (before, after, tile))
    static = seen.shape[1] is not None and (not coarse or coarse[0].shape[1] is not None)
    tile = min(tile, length) if static else ops.minimum(tile, length)
    count = -(-length // tile)
    if frame_mask is None:
        frame_mask = ops.ones_like(seen[..., 0])
    margins = (before, count * tile - length + after)
    wide_seen = _padded(seen, margins)
    wide_mask = _padded(ops.cast(frame_mask, seen.dtype), margins)
    wide_condition = map_frames(lambda frames: _padded(frames, margins), condition)
    coarse_margins = tuple(margin // entry for margin in margins)
    wide_condition = map_coarse(lambda frames: _padded(frames, coarse_margins), wide_condition)
    narrow = _padded(moved, (0, count * tile - length))

    def turn(carry: list[Tensor], index: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        start = index[0] * tile

        def cut(x: Tensor) -> Tensor:
            return _cut(x, start, before + tile + after)

        def cut_coarse(x: Tensor) -> Tensor:
            return _cut(x, start // entry, (before + tile + after) // entry)

        output, log_det = function(
            cut(wide_seen),
            _cut(narrow, start, tile),
            map_coarse(cut_coarse, map_frames(cut, wide_condition)),
            cut(wide_mask),
            slice(before, before + tile),
        )
        return [carry[0] + log_det], [output]

    total = 0.0 * count_frames(seen)
    like = narrow[:, :tile]
    (log_det,), (tiles,) = scan(turn, [total], [ops.arange(count, dtype="int32")], count, [like])
    joined = ops.reshape(
        ops.transpose(tiles, (1, 0, 2, 3)),
        (_size(seen, 0), count * tile, moved.shape[-1]),
    )
    return joined[:, :length], log_det


def _size(x: Tensor, axis: int) -> Any:
    return ops.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]


def _padded(x: Tensor, margins: tuple[Any, Any]) -> Tensor:
    return ops.pad(x, ((0, 0), margins, *[(0, 0)] * (len(x.shape) - 2)))


def _cut(x: Tensor, start: Any, size: Any) -> Tensor:
    starts = (0, start, *[0] * (len(x.shape) - 2))
    return ops.slice(x, starts, (_size(x, 0), size, *x.shape[2:]))
