"""The verb `prepare`: write records for training from folders of recordings."""

from typing import Annotated, Literal

import tyro

from singlow.errors import UsageError


def prepare(
    sources: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[SRC ...]")
    ] = (),
    out: Annotated[str | None, tyro.conf.arg(metavar="DIR", aliases=["-o"])] = None,
    layout: Literal["auto", "folders", "blow", "fsdd", "ljspeech", "manifest"] = "auto",
    sampling_rate: Annotated[int, tyro.conf.arg(metavar="HZ")] = 16000,
    channel_size: Annotated[int, tyro.conf.arg(metavar="C")] = 1,
    img_size: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    workers: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    seed: Annotated[int, tyro.conf.arg(metavar="S")] = 0,
    level: Annotated[float | None, tyro.conf.arg(metavar="DBFS")] = None,
    verify: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None,
    recover: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None,
    texts: bool = False,
    front_end: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    language: Annotated[str | None, tyro.conf.arg(metavar="CODE")] = None,
) -> None:
    """Turn folders of wav, flac, ogg and mp3, or of pictures, into TFRecord shards.

    Args:
        sources: Folders or files. LABEL=SRC names the singer of a flat folder and the style of
            everything in SRC.
        out: Folder for the shards and dataset_info.json.
        layout: Where the singers' names come from: folders, file names, or a table.
        sampling_rate: Sample rate of the records.
        channel_size: Channels of the records.
        img_size: Height and width of the records in pixels. With it, SRC holds pictures, with a
            folder for each class, or is digits, mnist, cifar10 or cifar100.
        workers: Processes that decode. Default: one per core.
        seed: Random seed for choosing the held-out clips.
        level: Loudness (root mean square) to which every clip is scaled. Default: unchanged.
        verify: Check the shards of a finished folder instead. The report of any damage names its
            shard, record and byte.
        recover: Write the intact records of damaged shards to whole shards instead.
        texts: Show what the text of each recording becomes instead: as it is spoken, its symbols,
            and the number of tokens. SRC may be a folder of records or a built-in spoken corpus.
        front_end: With --texts: characters (the default), romaji, gruut, espeak, pinyin or
            japanese.
        language: With --texts: the language of the texts, such as en or de.
    """
    if (front_end or language) and not texts:
        raise UsageError("Expected --texts with --front_end or --language. Received: none.")
    if verify or recover:
        if sources or out or texts or (verify and recover):
            raise UsageError(
                "Expected --verify DIR or --recover DIR alone. Received: other arguments with it."
            )
        from singlow.data.prepare.repair import recover_dataset, verify_dataset

        if verify:
            verify_dataset(verify)
        else:
            recover_dataset(recover)
        return
    if texts:
        if not sources or out:
            raise UsageError(
                "Expected SRC... with --texts, which writes nothing. Received: "
                f"{'--out' if out else 'no SRC'}."
            )
        from singlow.data.prepare.texts import show_texts

        show_texts(sources, front_end or "characters", language, layout=layout)
        return
    if not sources or not out:
        missing = "no SRC" if not sources else "no --out"
        raise UsageError(
            f"Expected SRC... and --out DIR. Received: {missing}. "
            "Run: python3 -m singlow prepare --help"
        )
    if img_size is not None:
        from singlow.data.prepare.pictures import prepare_pictures

        if layout != "auto" or level is not None:
            raise UsageError("Expected no --layout and --level with --img_size. Received: one.")
        prepare_pictures(sources, out, img_size=img_size, channels=channel_size, seed=seed)
        return
    from singlow.data.prepare.build import build_dataset

    build_dataset(
        sources,
        out,
        layout=layout,
        sample_rate=sampling_rate,
        channels=channel_size,
        workers=workers,
        seed=seed,
        loudness=level,
    )
