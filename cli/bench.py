"""`tasteshift bench`: benchmarks of the environments, the scenarios and the decoders."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import bench
from .screen import Json, out, print_json, progress

Users = Annotated[int, typer.Option(help="Users per scenario and policy.", min=1)]
Catalog = Annotated[str, typer.Option(help="Catalog of items and users.")]


@bench.command("envs", epilog="Example: tasteshift bench envs")
def bench_envs(
    threads: Annotated[
        int | None, typer.Option(help="Threads of the vector environment.  [default: all]", min=1)
    ] = None,
    as_json: Json = False,
) -> None:
    """Speed and memory of the environments, beside SARDINE where it is installed."""
    from ..benchmarks.env_speed import measure_speed

    with progress("measuring", 1) as update:
        rows = measure_speed(threads=threads)
        update("environments")
    if as_json:
        print_json(rows)
        return
    from ..benchmarks.env_tables import speed_table

    out.print(speed_table(rows))


@bench.command("scenarios", epilog="Example: tasteshift bench scenarios --users 40 --workers 2")
def bench_scenarios(
    users: Users = 40,
    catalog: Catalog = "movielens-100k",
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 2,
    as_json: Json = False,
) -> None:
    """Difficulty of the scenarios: whether each separates strong policies from weak ones."""
    from ..benchmarks.scenario_difficulty import measure_difficulty
    from ..envs.simulator.scenarios import SCENARIOS

    scenarios = []
    with progress("scenarios", len(SCENARIOS.names())) as update:
        for one in measure_difficulty(catalog, users, workers=workers):
            scenarios.append(one)
            update(one.scenario)
    if as_json:
        print_json(one.row() for one in scenarios)
        return
    from ..benchmarks.env_tables import difficulty_table

    out.print(difficulty_table(scenarios))


@bench.command("safety", epilog="Example: tasteshift bench safety --users 40")
def bench_safety(
    users: Users = 40,
    catalog: Catalog = "movielens-100k",
    as_json: Json = False,
) -> None:
    """Check that safety scenarios test safety.

    An unconstrained oracle must violate them, a filter on public labels must not solve them, and
    they must cost a safe oracle little reward.
    """
    from ..benchmarks.safety_scenarios import (
        POISONED_SCENARIOS,
        RULE_SCENARIOS,
        check_poisoning,
        check_rules,
    )

    with progress("scenarios", len(RULE_SCENARIOS) + len(POISONED_SCENARIOS)) as update:
        rules, poisoned = [], []
        for scenario in RULE_SCENARIOS:
            rules.append(check_rules(catalog, scenario, users))
            update(scenario)
        for scenario in POISONED_SCENARIOS:
            poisoned.append(check_poisoning(catalog, scenario, users))
            update(scenario)
    if as_json:
        print_json([*(one.row() for one in rules), *(one.row() for one in poisoned)])
        return
    from ..benchmarks.env_tables import poisoning_table, rule_table

    out.print(rule_table(rules))
    out.print(poisoning_table(poisoned))


@bench.command("decoders", epilog="Example: tasteshift bench decoders --pair tiny --prompts 40")
def bench_decoders(
    pair: Annotated[str, typer.Option(help="Model pair: a name, or hf:TARGET,DRAFT.")] = "tiny",
    device: Annotated[str, typer.Option(help="Torch device: cpu, cuda, …")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    inflate: Annotated[
        str | None,
        typer.Option(
            help="llama-1b or llama-7b: enlarge the target to that cost; its text is unchanged."
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option(help="Torch's threads, for all engines.", min=1, max=1024)
    ] = 1,
    temperature: Annotated[
        list[float] | None, typer.Option(help="Temperature; may be given again.  [default: 0, 0.7]")
    ] = None,
    workload: Annotated[
        list[str] | None, typer.Option(help="Workload; may be given again.  [default: all]")
    ] = None,
    decoder: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this decoder, or 'tuned' baselines; may be given again.  [default: all]"
        ),
    ] = None,
    prompts: Annotated[int, typer.Option(help="Measured prompts of each workload.", min=1)] = 24,
    tokens: Annotated[
        int | None, typer.Option(help="Most new tokens of a prompt.  [default: its own]", min=2)
    ] = None,
    draws: Annotated[
        int, typer.Option(help="Texts for the distribution tests of each decoder.", min=1)
    ] = 300,
    distribution_tests: Annotated[
        bool, typer.Option(help="Test output distributions at T > 0; it takes long.")
    ] = True,
    batch: Annotated[
        list[int] | None,
        typer.Option(
            help="Measure the throughput of batches of this size instead; may be given again.",
            min=1,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Speed of every decoder, and fidelity of its text to the target."""
    from dataclasses import replace

    from ..benchmarks.decoder_batches import bench_batches
    from ..benchmarks.decoder_tables import batch_tables, decoding_tables
    from ..benchmarks.decoders import bench_decoders as run_benchmark
    from ..benchmarks.decoders import check_names
    from ..benchmarks.engines import TUNING_PROMPTS
    from ..benchmarks.workloads import WORKLOADS
    from ..benchmarks.workloads import workload as prompts_of
    from ..decoders import load_pair
    from ..decoders.pairs.inflation import inflated
    from ..decoders.sampling.distribution import Sampling

    check_names(decoder or ())
    for value in temperature or ():
        Sampling(value)  # refuses an unusable temperature before anything is loaded
    models = load_pair(pair, device=device, dtype=dtype)
    models = inflated(models, inflate) if inflate else models
    workloads = {}
    with progress("recording prompts", len(workload or WORKLOADS)) as update:
        for name in workload or WORKLOADS:
            workloads[name] = [
                one if tokens is None else replace(one, max_new_tokens=tokens)
                for one in prompts_of(name, models, prompts + TUNING_PROMPTS)
            ]
            update(name)
    temperatures, only = temperature or (0.0, 0.7), decoder or ()
    if batch:
        rows = bench_batches(
            models,
            workloads,
            batch,
            temperatures=temperatures,
            threads=threads,
            only=only,
            bars=progress,
        )
    else:
        rows = run_benchmark(
            models,
            workloads,
            temperatures=temperatures,
            threads=threads,
            draws=draws if distribution_tests else 0,
            only=only,
            bars=progress,
        )
    if as_json:
        print_json(rows)
        return
    for table in batch_tables(rows) if batch else decoding_tables(rows):
        out.print(table)
