"""Command-line options for language-model agents, shared by `run` and `board play`."""

from __future__ import annotations

from typing import Annotated

import typer

DecoderName = Annotated[
    str | None,
    typer.Option(help="Text decoder of a language-model agent; see: tasteshift list decoders"),
]
PairName = Annotated[
    str | None,
    typer.Option(help="Model pair: a name, or hf:TARGET,DRAFT (two folders or hub names)."),
]
DeviceName = Annotated[
    str | None, typer.Option(help="Device of the models: cpu (default), cuda, …")
]
TypeName = Annotated[
    str | None,
    typer.Option(help="Type of the models' weights: float32 (default), bfloat16 or float16."),
]
