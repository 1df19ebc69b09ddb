"""A trained pair -> a bundle with its passport, or a refusal with its evidence: the steps in their order."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from bonedge.edge.bundle import Bundle, check_destination, write_bundle
from bonedge.edge.bundle_report import PASSPORT
from bonedge.edge.engines.networks import LoadedNetwork, Networks, pair
from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.files import write_whole
from bonedge.edge.manifest import EngineName
from bonedge.edge.options import make_writable
from bonedge.edge.records import EngineDescription
from bonedge.models.fit_operation import fit_abstention

from .assemble import assemble, in_memory
from .calibrate import Inputs, check_likeness, check_pictures, network_inputs
from .candidates import NETWORKS, Candidate, NetworkName
from .cases import PHANTOMS, CaseSet, Purpose, check_disjoint, check_findable, free_seed, open_set, without_copies
from .evidence import Evidence, Request, tools
from .export import Exported, export
from .finished import Finished
from .golden import with_golden_pictures
from .ladder import RECIPES, Workshop
from .passport import as_file, passport_of
from .progress import Steps
from .refusal import check_provable, check_telling, evidence_folder, refuse
from .report import REPORT, report_page
from .search import Bench, Climb, Judged, PairJudged, choose_pair
from .trained import TrainedPair
from .trial import answer, keras_network, pipeline, remembering
from .tuning import tuned_once

CALIBRATION_SEED, VALIDATION_SEED = 910_001, 910_002
"""Of the phantoms that are simulated when no set is given; moved on when a training used them."""
_REPAIR_PICTURES = 1000
"""At most so many are used for fine-tuning."""
_ASKED_AT_ONCE = 2
"""Pictures that fp32 Keras is shown at a time."""


@dataclass(frozen=True)
class Conversion:
    """What came of it."""

    bundle: Bundle
    report: Path
    """The page for people, with pictures: the bundle's own, or beside the bundle where they are of patients."""
    passport: dict[str, Any]


def convert(request: Request, steps: Steps) -> Conversion:
    """Carry out `request`.

    Raises:
        InvalidConfiguration: models, sets or limits cannot be used.
        BundleRefused: the output folder holds something else than a bundle.
        GateFailed: nothing passed the gates. No bundle is written; the evidence is, beside the output. Or nothing
            could pass, whatever it was: then nothing is built and nothing written.
    """
    begun = perf_counter()
    request = replace(request, output=request.output.resolve())
    _check_places(request)
    for given in filter(None, (request.calibration, request.validation, request.repair)):
        check_findable(given)
    ready = set_up(request, steps)
    bench, workshops = ready.bench, ready.workshops
    judged: list[Judged] = []
    tried: list[PairJudged] = []
    chosen: list[PairJudged] = []
    for engine in request.engines:
        climbs = {network: climb(ready, network, engine, request, steps) for network in NETWORKS}
        found, pairs = choose_pair(climbs["segmenter"], climbs["classifier"], bench, steps.pair)
        judged += [one for side in climbs.values() for one in side.judged]
        tried += pairs
        chosen += [found] if found else []
    with steps.step("Measuring the drift along the layers"):
        drift = {network: workshops[network].drift() for network in NETWORKS}
    evidence = Evidence(
        request=request,
        trained=ready.trained,
        calibration=ready.calibration,
        validation=ready.validation,
        repair=ready.repair,
        warnings=ready.warnings,
        bench=bench,
        judged=tuple(judged),
        tried=tuple(tried),
        chosen=tuple(chosen),
        drift=drift,
        sensitivities={network: dict(workshops[network].tables) for network in NETWORKS},
        tools=tools(),
        seconds=perf_counter() - begun,
    )
    passport = passport_of(evidence)
    with steps.step("Drawing the report"):
        page = report_page(evidence, passport)
    if len(chosen) < len(request.engines):
        raise refuse(evidence, passport, page)
    shipped = report_page(evidence, passport, pictures=False) if ready.validation.real else page
    extra = {PASSPORT: as_file(passport), REPORT: shipped.encode()}
    manifest, contents = assemble(
        ready.trained.operation,
        [(one.segmenter, one.classifier) for one in chosen],
        extra,
        name=request.name,
        version=request.version,
        created=request.created,
    )
    with steps.step("Choosing golden pictures"):
        manifest, contents = with_golden_pictures(manifest, contents, request.threads)
    bundle = write_bundle(request.output, manifest, contents)
    report = bundle.folder / REPORT
    if ready.validation.real:
        report = request.output.with_name(f"{request.output.name}-{REPORT}")
        write_whole(report, page.encode())
    return Conversion(bundle, report, passport)


def _check_places(request: Request) -> None:
    """Refuse what could not be written at the end, before the hours that lie between."""
    check_destination(request.output)
    refused = evidence_folder(request.output)
    for folder in (request.output.parent, request.cache):
        make_writable(folder, "give another folder")
    if refused.exists() and not refused.is_dir():
        raise InvalidConfiguration(f"{refused}: is where evidence of a refusal would go, and is a file; move it away")


@dataclass(frozen=True)
class Ready:
    """Everything that is there before the first candidate is built."""

    trained: TrainedPair
    calibration: CaseSet
    validation: CaseSet
    repair: CaseSet | None
    warnings: tuple[str, ...]
    exported: Mapping[NetworkName, Exported]
    inputs: Inputs
    """Of the calibration set."""
    bench: Bench
    workshops: Mapping[NetworkName, Workshop]


def set_up(request: Request, steps: Steps) -> Ready:
    """Load, check, export to fp32, and ask fp32 Keras about the validation cases."""
    with steps.step("Loading the trained pair"):
        trained = TrainedPair.open(request.models)
    if request.repair is not None and not trained.tunable:
        raise InvalidConfiguration(
            f"{request.models}: a SavedModel's layers cannot be fine-tuned; save the pair as .keras, or leave --repair "
            "out"
        )
    calibration, validation, repair, warnings = _sets(request, trained)
    exported: dict[NetworkName, Exported] = {}
    models: dict[NetworkName, Any] = {"segmenter": trained.segmenter, "classifier": trained.classifier}
    for network in NETWORKS:
        with steps.step(f"Exporting the {network} and checking it against Keras"):
            exported[network] = export(network, models[network])
    fp32 = _fp32(request, trained, exported)
    trained, inputs, more = _calibrated(trained, fp32, calibration, steps)
    bench = _bench(request, trained, fp32, inputs, validation, steps)
    more += check_telling(validation, [one.outcome for one in bench.reference])
    workshops = _workshops(request, trained, models, exported, calibration, repair, inputs, fp32.networks)
    return Ready(trained, calibration, validation, repair, (*warnings, *more), exported, inputs, bench, workshops)


def climb(ready: Ready, network: NetworkName, engine: EngineName, request: Request, steps: Steps) -> Climb:
    """One network on one engine, ready to climb."""
    workshop = ready.workshops[network]
    rungs = workshop.climb(engine, request.start, request.end)
    return Climb(rungs, workshop.reference(engine), ready.bench, workshop.stray, steps.judged)


def decisive(request: Request, trained: TrainedPair, calibration: CaseSet, repair: CaseSet | None) -> dict[str, Any]:
    """All that decides how a candidate comes out, but for its name; JSON values."""
    return {
        "models": trained.digests,
        # In their order: of some recipes, only the first pictures are looked at.
        "calibration": [case.fingerprint for case in calibration.cases],
        "repair": None if repair is None else [case.fingerprint for case in repair.cases],
        # Its segmenter finds the regions that the classifier is calibrated and repaired on.
        "engine": request.engines[0],
        "tools": tools(),
        "seed": request.seed,
        "recipes": RECIPES,
    }


def _sets(request: Request, trained: TrainedPair) -> tuple[CaseSet, CaseSet, CaseSet | None, list[str]]:
    """Calibration, validation and repair set, and what there is to warn of."""
    p, seeds = trained.operation.preprocessing, trained.operation.training.phantom_seeds
    first = free_seed(CALIBRATION_SEED, seeds)
    second = free_seed(max(VALIDATION_SEED, first + 1), seeds)
    opened = partial(open_set, p=p, cache=request.cache, seed=request.seed)
    calibration = opened(request.calibration or f"{PHANTOMS}{first}", request.calibration_count, Purpose.CALIBRATION)
    warnings = check_pictures(calibration)
    validation = opened(request.validation or f"{PHANTOMS}{second}", request.validation_count, Purpose.VALIDATION)
    fitted = {Purpose.CALIBRATION: calibration}
    if request.repair is not None:
        fitted[Purpose.REPAIR] = opened(request.repair, _REPAIR_PICTURES, Purpose.REPAIR)
    check_disjoint(validation, fitted, seeds, trained.pictures)
    validation, dropped = without_copies(validation)
    if dropped:
        warnings.append(f"{dropped} validation pictures are copies of others, which prove nothing; they were left out.")
    check_provable(validation, request.limits)
    return calibration, validation, fitted.get(Purpose.REPAIR), warnings


@dataclass(frozen=True)
class _Fp32:
    """The pair in fp32 on the first engine: crops calibration pictures, and stands beside each candidate."""

    candidates: dict[NetworkName, Candidate]
    loaded: dict[NetworkName, LoadedNetwork]
    networks: Networks


def _fp32(request: Request, trained: TrainedPair, exported: Mapping[NetworkName, Exported]) -> _Fp32:
    candidates = {network: Workshop.fp32(network, exported[network], request.engines[0]) for network in NETWORKS}
    loaded = {network: candidates[network].load(request.threads) for network in NETWORKS}
    networks = pair(
        loaded["segmenter"],
        loaded["classifier"],
        EngineDescription("calibration", "CPU", "fp32"),
        trained.operation.preprocessing,
        int(trained.segmenter.output["features"].shape[-1]),
    )
    return _Fp32(candidates, loaded, networks)


def _calibrated(
    trained: TrainedPair, fp32: _Fp32, calibration: CaseSet, steps: Steps
) -> tuple[TrainedPair, Inputs, list[str]]:
    """The pair with its abstention, the calibration inputs, and what there is to warn of."""
    operation = trained.operation
    cases = steps.count(calibration.cases, "Segmenting calibration pictures", len(calibration.cases))
    inputs = network_inputs(cases, fp32.networks, operation.preprocessing, operation.decision)
    if operation.abstention is not None:
        check_likeness(calibration, inputs.features, operation.abstention)
        return trained, inputs, []
    fitted = fit_abstention(inputs.features, inputs.features, inputs.bone_fractions)
    warning = "No abstention is described; it was fitted on the calibration set, which is small for that."
    return replace(trained, operation=operation.model_copy(update={"abstention": fitted})), inputs, [warning]


def _bench(request: Request, trained: TrainedPair, fp32: _Fp32, inputs: Inputs, cases: CaseSet, steps: Steps) -> Bench:
    p = trained.operation.preprocessing
    frame = in_memory(
        *assemble(
            trained.operation,
            [(fp32.candidates["segmenter"], fp32.candidates["classifier"])],
            {},
            name=request.name,
            version=request.version,
            created=request.created,
        )
    )
    keras = pipeline(frame, keras_network(trained.segmenter), keras_network(trained.classifier))
    # Keras leaves a processor idle between its layers; two pictures at a time take three quarters of the time.
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        asked = pool.map(partial(answer, keras, p), cases.cases)
        reference = tuple(steps.count(asked, "Asking fp32 Keras about the validation pictures", len(cases.cases)))
    return Bench(
        frame=frame,
        cases=cases.cases,
        reference=reference,
        companions=fp32.loaded | {"segmenter": remembering(fp32.loaded["segmenter"])},
        sample={network: inputs.of(network)[0] for network in NETWORKS},
        limits=request.limits,
        seed=request.seed,
        threads=request.threads,
    )


def _workshops(
    request: Request,
    trained: TrainedPair,
    models: Mapping[NetworkName, Any],
    exported: Mapping[NetworkName, Exported],
    calibration: CaseSet,
    repair: CaseSet | None,
    inputs: Inputs,
    networks: Networks,
) -> dict[NetworkName, Workshop]:
    finished = Finished.under(request.cache, decisive(request, trained, calibration, repair))
    operation = trained.operation
    # Segmented when a network is tuned, and then for both.
    repairs = None
    if repair is not None:
        segment = partial(network_inputs, repair.cases, networks, operation.preprocessing, operation.decision)
        repairs = functools.cache(segment)
    made = {}
    for network in NETWORKS:
        made[network] = Workshop(
            network,
            models[network],
            exported[network],
            inputs.of(network),
            request.threads,
            finished,
            None if repairs is None else partial(_tuned, network, repairs, finished, request.seed),
        )
    return made


def _tuned(network: NetworkName, inputs: Callable[[], Inputs], finished: Finished, seed: int, model: Any) -> Any:
    return tuned_once(model, lambda: inputs().of(network), finished, f"{network}.tuned", seed=seed)
