"""Measuring the product itself."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from .app import bench
from .screen import Json, out, print_json, progress


@bench.command("envs", epilog="Example: tasteshift bench envs --users 40 --workers 2")
def bench_envs(
    users: Annotated[int, typer.Option(help="Users per scenario and policy.", min=1)] = 40,
    catalog: Annotated[str, typer.Option(help="Whose items and users.")] = "movielens-100k",
    workers: Annotated[int, typer.Option(help="Processes for the ladder.", min=1)] = 2,
    as_json: Json = False,
) -> None:
    """Whether every scenario tells good agents from bad ones, and how fast the world turns."""
    from ..benchmarks.env_speed import speeds
    from ..benchmarks.scenario_ladder import ladder
    from ..envs.simulator.scenarios import SCENARIOS

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
    from ..benchmarks.tables import ladder_table, speed_table

    out.print(ladder_table(rungs))
    out.print(speed_table(speed))


@bench.command("safety", epilog="Example: tasteshift bench safety --users 40")
def bench_safety(
    users: Annotated[int, typer.Option(help="Users per scenario and policy.", min=1)] = 40,
    catalog: Annotated[str, typer.Option(help="Whose items and users.")] = "movielens-100k",
    as_json: Json = False,
) -> None:
    """Whether the scenarios about safety tempt, cannot be solved by labels, and cost little."""
    from ..benchmarks.safety_admission import (
        POISONED_SCENARIOS,
        SAFETY_SCENARIOS,
        admission,
        poisoning,
    )

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
    from ..benchmarks.tables import admission_table, poisoning_table

    out.print(admission_table(tempted))
    out.print(poisoning_table(poisoned))


@bench.command("decoders", epilog="Example: tasteshift bench decoders --pair tiny --prompts 40")
def bench_decoders(
    pair: Annotated[str, typer.Option(help="Two models: a name, or hf:TARGET,DRAFT.")] = "tiny",
    device: Annotated[str, typer.Option(help="Where they run: cpu, cuda, …")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    inflate: Annotated[
        str | None,
        typer.Option(help="llama-1b or llama-7b: the same text at the cost of a larger target."),
    ] = None,
    threads: Annotated[
        int, typer.Option(help="Torch's threads, for everyone.", min=1, max=1024)
    ] = 1,
    temperature: Annotated[
        list[float] | None, typer.Option(help="May be given again.  [default: 0, 0.7]")
    ] = None,
    workload: Annotated[
        list[str] | None, typer.Option(help="May be given again.  [default: all]")
    ] = None,
    decoder: Annotated[
        list[str] | None,
        typer.Option(help="Only this one, or 'tuned'; may be given again.  [default: all]"),
    ] = None,
    prompts: Annotated[int, typer.Option(help="Measured prompts of each workload.", min=1)] = 24,
    tokens: Annotated[
        int | None, typer.Option(help="Most new tokens of a prompt.  [default: its own]", min=2)
    ] = None,
    draws: Annotated[
        int, typer.Option(help="Texts for the test of each decoder's law.", min=1)
    ] = 300,
    laws: Annotated[bool, typer.Option(help="Test laws at T > 0; it takes long.")] = True,
    batch: Annotated[
        list[int] | None,
        typer.Option(
            help="Instead: whole batches of so many texts, side by side; may be given again.", min=1
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """How fast every decoder writes, and whether it still writes the target's text."""
    from dataclasses import replace

    from ..benchmarks.contenders import TUNING_PROMPTS
    from ..benchmarks.decoders import bench_decoders as bench_all
    from ..benchmarks.decoders import check_names
    from ..benchmarks.workloads import WORKLOADS
    from ..benchmarks.workloads import workload as prompts_of
    from ..decoders import load_pair
    from ..decoders.pairs.inflation import inflated
    from ..decoders.sampling.distribution import Sampling

    check_names(decoder or ())
    for heat in temperature or ():
        Sampling(heat)
    models = load_pair(pair, device=device, dtype=dtype)
    models = inflated(models, inflate) if inflate else models
    given = {}
    with progress("recording prompts", len(workload or WORKLOADS)) as tick:
        for name in workload or WORKLOADS:
            given[name] = [
                one if tokens is None else replace(one, max_new_tokens=tokens)
                for one in prompts_of(name, models, prompts + TUNING_PROMPTS)
            ]
            tick(name)
    if batch:
        from ..benchmarks.decoder_batches import bench_batches
        from ..benchmarks.decoder_tables import batch_tables

        rows = bench_batches(
            models,
            given,
            batch,
            temperatures=temperature or (0.0, 0.7),
            threads=threads,
            only=decoder or (),
            bars=progress,
        )
        if as_json:
            print_json(rows)
            return
        for table in batch_tables(rows):
            out.print(table)
        return
    rows = bench_all(
        models,
        given,
        temperatures=temperature or (0.0, 0.7),
        threads=threads,
        draws=draws if laws else 0,
        only=decoder or (),
        bars=progress,
    )
    if as_json:
        print_json(rows)
        return
    from ..benchmarks.decoder_tables import decoding_tables

    for one in decoding_tables(rows):
        out.print(one)
