"""Options that name an agent's language models, the same wherever an agent plays."""

from __future__ import annotations

from typing import Annotated

import typer

DecoderName = Annotated[
    str | None, typer.Option(help="How a language-model agent writes its text.")
]
PairName = Annotated[
    str | None, typer.Option(help="Its models: a name, or hf:TARGET,DRAFT (two folders).")
]
DeviceName = Annotated[
    str | None, typer.Option(help="Where its models run: cpu (unless given), cuda, …")
]
TypeName = Annotated[
    str | None,
    typer.Option(help="Of its models: float32 (unless given), bfloat16 or float16."),
]
