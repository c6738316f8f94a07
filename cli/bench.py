"""Measuring the product itself."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from .app import bench
from .screen import Json, out, progress


@bench.command("envs", epilog="Example: tasteshift bench envs --users 40 --workers 2")
def bench_envs(
    users: Annotated[int, typer.Option(help="Users per scenario and policy.", min=1)] = 40,
    catalog: Annotated[str, typer.Option(help="Whose items and users.")] = "movielens-100k",
    workers: Annotated[int, typer.Option(help="Processes for the ladder.", min=1)] = 2,
    as_json: Json = False,
) -> None:
    """Whether every scenario tells good agents from bad ones, and how fast the world turns."""
    from ..envs.scenarios import SCENARIOS
    from ..suites.bench.ladder import ladder
    from ..suites.bench.speed import speeds

    with progress("measuring speed", 1) as tick:
        speed = list(speeds())
        tick("speed")
    with progress("climbing", len(SCENARIOS.names())) as tick:
        rungs = []
        for one in ladder(catalog, users, workers=workers):
            rungs.append(one)
            tick(one.scenario)
    if as_json:
        document = {"ladder": [one.row() for one in rungs], "speed": speed}
        typer.echo(json.dumps(document, ensure_ascii=False, indent=1))
        return
    from ..suites.bench.tables import ladder_table, speed_table

    out.print(ladder_table(rungs))
    out.print(speed_table(speed))


@bench.command("safety", epilog="Example: tasteshift bench safety --users 40")
def bench_safety(
    users: Annotated[int, typer.Option(help="Users per scenario and policy.", min=1)] = 40,
    catalog: Annotated[str, typer.Option(help="Whose items and users.")] = "movielens-100k",
    as_json: Json = False,
) -> None:
    """Whether the scenarios about safety tempt, cannot be solved by labels, and cost little."""
    from ..suites.bench.admission import POISONED_SCENARIOS, SAFETY_SCENARIOS, admission, poisoning

    with progress("tempting", len(SAFETY_SCENARIOS) + len(POISONED_SCENARIOS)) as tick:
        tempted, poisoned = [], []
        for scenario in SAFETY_SCENARIOS:
            tempted.append(admission(catalog, scenario, users))
            tick(scenario)
        for scenario in POISONED_SCENARIOS:
            poisoned.append(poisoning(catalog, scenario, users))
            tick(scenario)
    if as_json:
        document = {
            "admission": [one.row() for one in tempted],
            "poisoning": [one.row() for one in poisoned],
        }
        typer.echo(json.dumps(document, ensure_ascii=False, indent=1))
        return
    from ..suites.bench.tables import admission_table, poisoning_table

    out.print(admission_table(tempted))
    out.print(poisoning_table(poisoned))
