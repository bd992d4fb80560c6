"""The command that fits the threshold of meaning to questions of one's own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import orjson
import yaml

from proxy.calibration.choice import EXPLAINED, choice
from proxy.commands.refused import Refused
from proxy.config.environment import CONFIG_FILE
from proxy.config.faults import Given
from proxy.config.load import load
from proxy.config.settings import Settings
from proxy.model.errors import ConfigError

if TYPE_CHECKING:
    from proxy.calibration.fitting import Fitted
    from proxy.semantic.budget.calibration import Point

_ENOUGH: Final = (
    "a file of pairs proves as much of your traffic as it looks like it: with as many that must "
    "not be served, and as like the others, as you have"
)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--embedder", metavar="MODEL", help=EXPLAINED)
@click.option(
    "--error-budget",
    type=click.FloatRange(0, 0.5, min_open=True),
    help="Wrong answers per hit at most.  [default: as configured]",
)
@click.option("--chart", type=click.Path(path_type=Path), help="Draw the curve: an HTML file.")
@click.option("--json", "as_json", is_flag=True, help="Tell it as one JSON object.")
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    envvar=CONFIG_FILE,
    show_envvar=True,
    help="The file of settings: its embedder, vetoes and error budget count.",
)
@click.pass_context
def calibrate(
    context: click.Context,
    *,
    file: Path,
    embedder: str | None,
    error_budget: float | None,
    chart: Path | None,
    as_json: bool,
    config: Path | None,
) -> None:
    """Suggest a threshold from questions of yours.

    FILE has a JSON object in each line: pairs, {"a": ..., "b": ..., "label": 1}, 1 where the answer
    to a is right for b, else 0; or a stream in the order it came, {"q": ..., "group": ...}, where
    questions of one group have one answer. They go through all that the proxy does.
    """
    try:
        settings = _settings(config, embedder, error_budget)
        # Only now what takes long to import.
        from proxy.calibration import chart as drawing  # noqa: PLC0415
        from proxy.calibration.fitting import fit  # noqa: PLC0415
        from proxy.calibration.labelled import read_labelled  # noqa: PLC0415

        labelled = read_labelled(file)
        fitted = asyncio.run(fit(settings, labelled, lambda text: click.echo(text, err=True)))
    except ConfigError as error:
        raise Refused(str(error)) from error
    delta = settings.semantic.error_budget
    if chart is not None:
        _write(chart, drawing.page(fitted.suggestion, fitted.model, delta))
    if as_json:
        click.echo(orjson.dumps(_told(fitted, settings)))
    else:
        click.echo("\n".join(_lines(fitted, settings)))
    context.exit(0 if fitted.suggestion.proven else 1)


def _settings(config: Path | None, embedder: str | None, error_budget: float | None) -> Settings:
    """As ``serve`` has them, but for what is given. Raises ConfigError."""
    given = [Given(("semantic", "enabled"), True, "calibrate")]  # noqa: FBT003 - a value
    if embedder is not None:
        given += [
            Given(("semantic", "embedder", name), value, "--embedder")
            for name, value in choice(embedder).items()
        ]
    if error_budget is not None:
        given.append(Given(("semantic", "error_budget"), error_budget, "--error-budget"))
    return load(config, os.environ, given).settings


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refused(f"{path}: cannot be written: {error.strerror}") from error


def _lines(fitted: Fitted, settings: Settings) -> list[str]:
    """What was found, for people."""
    suggestion, delta = fitted.suggestion, settings.semantic.error_budget
    lines = [f"model      {fitted.model}"]
    lines += [f"           not for {script}: {why}" for script, why in fitted.off.items()]
    lines.append(f"questions  {suggestion.questions:,}")
    if fitted.refused:
        whys = ", ".join(f"{why} {count:,}" for why, count in fitted.refused.items())
        lines.append(f"refused    at any threshold: {whys}")
    for point in _steps(fitted):
        lines.append(
            f"at {point.threshold:.2f}    {point.hits:6,} hits ({point.hit_ratio:6.1%}), "
            f"{point.wrong_per_hit:6.2%} wrong ({point.low:.2%} to {point.high:.2%})"
        )
    threshold, expected = suggestion.threshold, suggestion.expected
    if threshold is None or expected is None:
        return [*lines, "", f"suggested  none: no threshold kept to {delta:.1%} wrong per hit"]
    said = (
        f"{expected.hits:,} hits, {expected.wrong_per_hit:.2%} of them wrong "
        f"(at most {expected.high:.2%} with 95 % confidence)"
    )
    if not suggestion.proven:
        return [
            *lines,
            "",
            f"suggested  none yet. So far {threshold:.4f} kept to {delta:.1%}: {said}.",
            f"           To prove it takes {suggestion.missing:,} more such hits, none wrong.",
        ]
    return [
        *lines,
        "",
        f"suggested  {threshold:.4f}: {said}",
        f"           {_ENOUGH}",
        "",
        _yaml(settings, threshold),
    ]


def _told(fitted: Fitted, settings: Settings) -> dict[str, object]:
    """What was found, for programs."""
    suggestion = fitted.suggestion
    expected = suggestion.expected
    proven = suggestion.proven and suggestion.threshold is not None
    return {
        "model": fitted.model,
        "not_for": dict(fitted.off),
        "questions": suggestion.questions,
        "error_budget": settings.semantic.error_budget,
        "threshold": suggestion.threshold,
        "proven": suggestion.proven,
        "hits_missing": suggestion.missing,
        "expected": None if expected is None else expected._asdict(),
        "refused": dict(fitted.refused),
        "curve": [point._asdict() for point in _steps(fitted)],
        "config": _yaml(settings, suggestion.threshold) if proven else None,
    }


def _steps(fitted: Fitted) -> Sequence[Point]:
    from proxy.calibration.suggestion import steps  # noqa: PLC0415 - as above

    return steps(fitted.suggestion.points)


def _yaml(settings: Settings, threshold: float | None) -> str:
    """What to put into the configuration."""
    semantic = settings.semantic
    embedder = semantic.embedder
    chosen: dict[str, object] = {"kind": embedder.kind}
    match embedder.kind:
        case "onnx":
            chosen["path"] = str(embedder.path)
        case "remote":
            chosen |= {"url": embedder.url, "model": embedder.model}
        case "sentence-transformers":
            chosen["model"] = embedder.model
        case _:
            pass
    lines = {
        "semantic": {
            "enabled": True,
            "threshold": threshold,
            "error_budget": semantic.error_budget,
            "embedder": chosen,
        }
    }
    return yaml.safe_dump(lines, sort_keys=False, allow_unicode=True).rstrip()
