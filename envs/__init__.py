"""Gymnasium environments and the simulator behind them.

Importing this package registers the environment ids with Gymnasium and loads nothing else.
"""

from gymnasium.envs.registration import register

register(
    "TasteShift/Lifelong-v0",
    entry_point="tasteshift.envs.lifelong:Lifelong",
    vector_entry_point="tasteshift.envs.vector:LifelongVector",
)
