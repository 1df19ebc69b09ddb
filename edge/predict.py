"""`bonedge predict`: radiographs in, verdicts with evidence out."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

import click

from .bundle import open_bundle
from .choice import choice_folder, load_chosen
from .config import PredictSettings, read_settings
from .decode import Decoder
from .engines import DEVICES, ENGINES
from .errors import ExitCode, InvalidConfiguration, UnreadableImage
from .options import PLACE
from .pipeline import Pipeline
from .progress import report_for
from .trust import Trust
from .write import write_examination


@click.command("predict")
# What may not be read costs its own line and nothing else, so it is not for click to refuse.
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path, readable=False), metavar="IMAGE...")
@click.option("--output", type=PLACE, help="Folder for the results.  [default: bonedge-results]")
@click.option("--bundle", type=PLACE, help="Folder of the model bundle.  [default: bonedge's own]")
@click.option("--key", type=PLACE, help="Public key that must have signed the bundle.")
@click.option("--minimum-version", metavar="V", help="Refuse an older bundle.")
@click.option("--engine", type=click.Choice(["auto", *ENGINES]), help="Inference engine.  [default: auto]")
@click.option("--device", type=click.Choice(DEVICES), help="tflite runs on the CPU only.  [default: CPU]")
@click.option("--threads", type=click.IntRange(1, 256), help="Of the engine.  [default: one per processor, at most 4]")
@click.option("--json", "as_json", is_flag=True, help="One JSON document per input on standard output, in order.")
@click.option(
    "--config",
    type=PLACE,
    help="TOML file with a [predict] and a [bundle] table; options win over it.",
)
@click.pass_context
def command(
    context: click.Context,
    /,
    images: tuple[Path, ...],
    as_json: bool,
    config: Path | None,
    key: Path | None,
    minimum_version: str | None,
    **options: Any,
) -> None:
    """Give a verdict on each IMAGE: a single-frame DICOM radiograph, PNG, JPEG or TIFF.

    Writes a result (.json), an overlay picture and a mask per image into the output folder, named after the image's
    content. An image that cannot be read costs one line, exit code 3, and nothing else.
    """
    given = {name: value for name, value in options.items() if value is not None}
    settings = read_settings(config)
    trust = settings.bundle.trust(key, minimum_version)
    context.exit(predict(images, settings.predict.model_copy(update=given), trust, as_json=as_json))


def predict(images: tuple[Path, ...], settings: PredictSettings, trust: Trust, *, as_json: bool) -> ExitCode:
    """Examine `images` in order, write and report each, and say whether all could be read.

    Raises:
        BundleRefused: no usable bundle or engine, or not one that `trust` allows.
        InvalidConfiguration: the output folder does not take files, or what `trust` names is not a key or a version.
    """
    output = settings.output
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidConfiguration(
            f"{output}: cannot be made a folder ({error.strerror}); give another --output"
        ) from error
    outcome = ExitCode.FINE
    with Decoder() as decoder:
        # The decoding process starts while this one loads the models.
        decoder.start()
        bundle = open_bundle(settings.bundle, trust)
        networks = load_chosen(
            bundle, settings.engine, settings.device, settings.threads, folder=choice_folder(), make=False
        )
        pipeline = Pipeline(bundle, networks)
        report = report_for(images, as_json)
        try:
            for image in images:
                begun = perf_counter()
                try:
                    radiograph = decoder.decode(image, pipeline.working_px)
                except UnreadableImage as error:
                    outcome = ExitCode.UNREADABLE
                    report.failure(image, error)
                    continue
                examination = pipeline.examine(radiograph, decode_ms=1000 * (perf_counter() - begun))
                report.result(image, write_examination(output, examination, bundle, networks.description))
        finally:
            report.end(output)
    return outcome
