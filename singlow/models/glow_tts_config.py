"""Read a `GlowTTSConfig` of Coqui TTS as arguments of `GlowTTS` and settings of its training."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from singlow.errors import DataError, UsageError
from singlow.text import FRONT_ENDS
from singlow.text.originals import coqui_table

_LARGEST = 1 << 20  # bytes

_SAME = (
    *("encoder_type", "use_encoder_prenet", "hidden_channels_enc", "hidden_channels_dec"),
    *("hidden_channels_dp", "dropout_p_dp", "dropout_p_dec", "mean_only", "out_channels"),
    *("num_flow_blocks_dec", "kernel_size_dec", "dilation_rate", "num_block_layers", "num_splits"),
    *("num_squeeze", "sigmoid_scale", "use_speaker_embedding", "use_d_vector_file"),
    *("data_dep_init_steps", "inference_noise_scale", "length_scale", "add_blank"),
    "enable_eos_bos_chars",
)
"""Fields that are arguments under the same names."""
_READ = (
    *("model", "num_chars", "encoder_params", "num_speakers", "c_in_channels", "d_vector_dim"),
    *("d_vector_file", "speakers_file", "characters", "audio", "use_phonemes", "phonemizer"),
    *("phoneme_language", "text_cleaner", "optimizer", "optimizer_params", "lr_scheduler"),
    "lr_scheduler_params",
)
"""Further fields that are read; those of texts choose the front end, and `audio` the mel."""
_TRAINING = {
    "lr": "learning_rate",
    "grad_clip": "clip_norm",
    "batch_size": "batch_size",
    "epochs": "epochs",
    "training_seed": "seed",
}
_ELSEWHERE = (
    *("eval_batch_size", "min_text_len", "max_text_len", "min_audio_len", "max_audio_len"),
    *("start_by_longest", "batch_group_size", "use_noise_augment", "datasets", "eval_split_size"),
    *("eval_split_max_size", "test_sentences", "test_sentences_file", "test_delay_epochs"),
    *("use_speaker_weighted_sampler", "speaker_weighted_sampler_alpha"),
    *("use_length_weighted_sampler", "length_weighted_sampler_alpha"),
    *("use_language_weighted_sampler", "language_weighted_sampler_alpha"),
)
"""Fields that singlow sets in other places: the dataset, and the flags of its commands."""
_FRONT_ENDS = {"ja_jp_phonemizer": "japanese", "zh_cn_phonemizer": "pinyin"}


@dataclass(frozen=True)
class CoquiSettings:
    """What a `GlowTTSConfig` says.

    Attributes:
        arguments: of `GlowTTS`.
        training: settings of training, by the names of `singlow.train`.
        elsewhere: fields that singlow sets in other places, as by flags.
        unused: fields that singlow does not need.
    """

    arguments: Mapping[str, Any]
    training: Mapping[str, Any]
    elsewhere: tuple[str, ...]
    unused: tuple[str, ...]


def coqui_settings(path: str | os.PathLike) -> CoquiSettings:
    """Read a `GlowTTSConfig`, a JSON file of Coqui TTS.

    The arithmetic of the model is that of Coqui TTS. Its mels are those of Tacotron 2, in natural
    logarithms, not Coqui's in decibels.

    Args:
        path: the file.

    Raises:
        DataError: the file cannot be read, or is not such a configuration.
    """
    config = _read(Path(path).expanduser())
    arguments = {key: config[key] for key in _SAME if config.get(key) is not None}
    params = dict((config.get("encoder_params") or {}).items())
    kind = arguments.get("encoder_type", "rel_pos_transformer").lower()
    if kind == "rel_pos_transformer":
        params.setdefault("rel_attn_window_size", None)
    elif kind in ("residual_conv_bn", "time_depth_separable"):
        params["original_padding"] = True
    arguments |= {"encoder_type": kind, "encoder_params": params, "mixing": "plain"}
    arguments |= {"scale": "exp", "durations": "log1p"}
    try:
        arguments |= _text(config) | _speakers(config) | _audio(config.get("audio") or {})
    except (UsageError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: {error}") from None
    known = {*_SAME, *_READ, *_TRAINING, *_ELSEWHERE}
    return CoquiSettings(
        arguments,
        _training(config),
        tuple(sorted(set(config) & set(_ELSEWHERE))),
        tuple(sorted(set(config) - known)),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"{path}: Expected at most {_LARGEST} bytes. Received: a larger file.")
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON: {error}.") from None
    if not isinstance(config, dict) or config.get("model", "glow_tts") != "glow_tts":
        model = config.get("model") if isinstance(config, dict) else "another file"
        raise DataError(f"{path}: Expected a configuration of glow_tts. Received: {model!s:.40}.")
    return config


def _text(config: Mapping[str, Any]) -> dict[str, Any]:
    front_end, language = "characters", None
    if config.get("use_phonemes"):
        phonemizer = config.get("phonemizer") or "espeak"
        front_end = _FRONT_ENDS.get(phonemizer, phonemizer)
        if front_end not in FRONT_ENDS:
            raise UsageError(
                f"Expected a phonemizer in {', '.join([*_FRONT_ENDS, 'espeak', 'gruut'])}. "
                f"Received: {phonemizer!s:.40}."
            )
        if front_end in ("espeak", "gruut"):
            language = config.get("phoneme_language")
    given = config.get("characters") or {}
    fields = ("characters", "punctuations", "pad", "eos", "bos", "blank", "is_unique", "is_sorted")
    own = {key: given[key] for key in fields if given.get(key) is not None}
    table = coqui_table(**own)
    return {"front_end": front_end, "language": language, "characters": table.get_config()}


def _speakers(config: Mapping[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if config.get("use_speaker_embedding"):
        arguments["num_speakers"] = int(config.get("num_speakers") or 1)
    if config.get("use_d_vector_file"):
        arguments["d_vector_dim"] = int(config.get("d_vector_dim") or 256)
        given = config.get("d_vector_file")
        arguments["d_vector_file"] = (given[0] if isinstance(given, list) else given) or None
    return arguments


def _audio(audio: Mapping[str, Any]) -> dict[str, Any]:
    names = {"sample_rate": "sample_rate", "hop_length": "hop_length", "fft_size": "n_fft"}
    return {ours: int(audio[key]) for key, ours in names.items() if audio.get(key)}


def _training(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of training; Coqui's schedule is applied per step, as it is meant."""
    training = {ours: config[key] for key, ours in _TRAINING.items() if config.get(key) is not None}
    if config.get("lr_scheduler") == "NoamLR":
        steps = (config.get("lr_scheduler_params") or {}).get("warmup_steps", 4000)
        training |= {"noam": True, "warmup_steps": int(steps)}
    if config.get("optimizer") == "RAdam":
        training["rectified"] = True
    betas = (config.get("optimizer_params") or {}).get("betas")
    return {**training, **({"beta_2": float(betas[1])} if betas else {})}
