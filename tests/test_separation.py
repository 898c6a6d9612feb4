"""The report on separation is right for points whose singers and styles are known to differ."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from singlow.latents import probe
from singlow.latents.planes import draw_planes, project_points
from singlow.latents.pool import Points
from singlow.latents.separation import Figure, figure_of, separate


def points(by_singer=0.0, by_style=0.0, singers=6, styles=3, stretches=1, features=12, seed=0):
    """Return noise, shifted by a vector for each singer and style; singers have all styles."""
    rng = np.random.default_rng(seed)
    moves = {
        kind: scale * rng.standard_normal((count, features))
        for kind, scale, count in (("singer", by_singer, singers), ("style", by_style, styles))
    }
    rows, names = [], []
    for singer in range(singers):
        for style in range(styles):
            for take in range(6):
                move = moves["singer"][singer] + moves["style"][style]
                rows += [rng.standard_normal(features) + move] * stretches
                names += [(f"s{singer}", f"t{style}", f"{singer}-{style}-{take}")] * stretches
    return points_of(np.array(rows), *np.array(names).T)


def points_of(values, singers, styles, origins):
    half = values.shape[1] // 2
    blocks = [(0, "mean")] * half + [(0, "log variance")] * (values.shape[1] - half)
    plain = {"loudness": values[:, :1], "spectrum": values[:, :4]}
    return Points(values, blocks, plain, origins, origins, singers, styles)


@pytest.mark.parametrize(
    ("by_singer", "by_style", "words"),
    [
        (2.0, 0.0, "separates singers, not styles"),
        (0.0, 2.0, "separates styles, not singers"),
        (2.0, 5.0, "separates singers and styles alike"),
        (0.0, 0.0, "separates neither singers nor styles"),
    ],
)
def test_the_answer_names_what_moved_the_points(by_singer, by_style, words):
    result = separate(points(by_singer, by_style, seed=2), shuffles=30)
    assert words in result.answer()
    assert result.singer.accuracy.significant == (by_singer > 0)
    assert result.style.accuracy.significant == (by_style > 0)
    assert result.singer.accuracy.chance == pytest.approx(1 / 6)
    assert result.style.accuracy.chance == pytest.approx(1 / 3)


def test_noise_is_significant_one_time_in_twenty():
    significant = 0
    for seed in range(20):
        noise = points(singers=4, styles=1, features=4, seed=seed)
        significant += separate(noise, seed, shuffles=19).singer.accuracy.significant
    assert significant <= 4


@pytest.mark.parametrize(
    ("shuffles", "rank"), [(5, 5), (19, 19), (20, 20), (39, 38), (50, 49), (99, 95), (199, 190)]
)
def test_the_limit_is_exceeded_by_one_figure_in_twenty(shuffles, rank):
    """The limit is the `ceil(0.95 (n + 1))`-th smallest of n figures of shuffled labels."""
    others = np.random.default_rng(shuffles).permutation(np.arange(1, shuffles + 1) / 1000)
    figure = figure_of(0.5, others, chance=0.0)
    assert figure.limit == rank / 1000
    assert (figure.chance, figure.shuffles) == (0.0, shuffles)
    assert figure_of(0.5, others).chance == pytest.approx(others.mean())


def test_a_figure_is_significant_beyond_both_the_limit_and_chance():
    assert Figure(0.61, chance=0.5, limit=0.6, shuffles=50).significant
    assert not Figure(0.6, chance=0.5, limit=0.6, shuffles=50).significant
    assert not Figure(0.5, chance=0.5, limit=0.4, shuffles=50).significant
    assert Figure(0.51, chance=0.5, limit=0.4, shuffles=50).significant
    assert not figure_of(1.0, []).significant  # nothing is significant without shuffles
    assert Figure(0.75, 0.5, 0.6, 50).share == pytest.approx(0.5)
    assert Figure(0.55, 0.5, 0.6, 50).share == 0.0


def test_singers_hide_styles_until_their_means_are_removed():
    result = separate(points(by_singer=6.0, by_style=0.7), shuffles=20)
    before, after = result.style.accuracy, result.style.accuracy_centred
    assert after.value > before.value + 0.2
    assert "the singers hide the styles" in result.answer()
    assert result.singer.accuracy.value > 0.95
    assert not result.singer.accuracy_centred.value > 0.4
    assert result.style.silhouette_centred.value > result.style.silhouette.value


def test_stretches_of_one_recording_are_never_on_both_sides():
    noise = points(stretches=5)
    for held in probe.recording_folds(noise.singers, noise.origins, 0):
        assert held.any()
        assert not set(noise.origins[held]) & set(noise.origins[~held])
        assert set(noise.singers[held]) == set(noise.singers)
    # Each stretch has four copies. A probe that is fitted to one copy predicts the others.
    result = separate(noise, shuffles=20)
    assert result.singer.accuracy.value < 0.35
    assert result.style.accuracy.value < 0.5


@pytest.mark.parametrize("nested", [False, True])
def test_whole_singers_are_held_out_of_styles(nested):
    dataset = points(singers=5, styles=2)
    styles = (
        np.where(np.isin(dataset.singers, ["s0", "s1"]), "a", "b") if nested else dataset.styles
    )
    folds = list(probe.singer_folds(styles, dataset.singers))
    assert len(folds) == (6 if nested else 5)
    for fold in folds:
        assert not set(dataset.singers[fold]) & set(dataset.singers[~fold])
        assert set(styles[fold]) == set(styles[~fold]) == set(styles)


def test_the_answer_states_that_every_singer_has_one_style():
    noise = points(by_singer=2.0, singers=4, styles=1)
    styles = np.where(np.isin(noise.singers, ["s0", "s1"]), "human", "virtual")
    values = noise.values + 8.0 * (styles == "human")[:, None]
    result = separate(points_of(values, noise.singers, styles, noise.origins), shuffles=20)
    assert result.nested
    assert result.style.accuracy.significant
    assert result.style.accuracy.shuffles == 2
    assert result.style.accuracy_centred.value < 0.7
    assert "a singer's mean contains it" in result.answer()
    assert "only 2 other way(s)" in result.answer()


def test_a_style_of_one_singer_is_not_probed():
    noise = points(by_singer=2.0, singers=3, styles=1)
    styles = np.where(noise.singers == "s0", "virtual", "human")
    result = separate(points_of(noise.values, noise.singers, styles, noise.origins), shuffles=5)
    assert result.style.accuracy is None
    assert "each style needs two singers" in result.answer()
    unknown = np.full(len(noise), "")
    result = separate(points_of(noise.values, noise.singers, unknown, noise.origins), shuffles=5)
    assert result.style is None
    assert "Fewer than two styles are known" in result.answer()


def test_silhouette_is_that_of_scikit_learn():
    dataset = points(by_singer=1.0)
    x = dataset.values
    distances = np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=2))
    for labels in (dataset.singers, dataset.styles):
        assert probe.silhouette(distances, labels) == pytest.approx(silhouette_score(x, labels))
    alone = np.array(["a", *["b"] * (len(x) - 1)])
    assert probe.silhouette(distances, alone) == pytest.approx(silhouette_score(x, alone))


def test_the_same_seed_gives_the_same_figures():
    dataset = points(by_singer=0.5)
    assert separate(dataset, 3, 5).as_dict() == separate(dataset, 3, 5).as_dict()


def test_discriminants_show_points_that_they_were_not_fitted_to():
    noise = points(features=200)
    shown = project_points(noise)
    plane = shown.lda["singer"]
    assert plane.groups == "recordings"
    assert not set(noise.origins[plane.unseen]) & set(noise.origins[~plane.unseen])

    def spread(chosen):
        xy, names = plane.xy[chosen], noise.singers[chosen]
        between = np.var([xy[names == name].mean(axis=0) for name in np.unique(names)])
        return between / xy.var()

    assert spread(~plane.unseen) > 3 * spread(plane.unseen)  # only points of the fit separate
    by_style = shown.lda["style"]
    assert by_style.groups == "singers"
    assert not set(noise.singers[by_style.unseen]) & set(noise.singers[~by_style.unseen])
    for each in (shown.pca, shown.tsne, plane, by_style):
        assert each.xy.shape == (len(noise), 2)
        assert np.isfinite(each.xy).all()


def test_pictures_take_any_names_and_numbers_of_singers():
    dataset = points(singers=24, styles=2)
    names = np.char.replace(dataset.singers, "s1", "_$\\frac{1$ 初音ミク " + "x" * 40)
    named = points_of(dataset.values, names, dataset.styles, dataset.origins)
    few = draw_planes(points(), project_points(points()), title="50 % of $x")
    many = draw_planes(named, project_points(named), project_points(named, centred=True))
    assert few.dtype == np.uint8
    assert many.shape[1] == few.shape[1]
    assert many.shape[0] > few.shape[0]
    assert few.std() > 10
