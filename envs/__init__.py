"""The world: Gymnasium environments, their users, items and dynamics.

Importing this registers the environment ids with Gymnasium and loads nothing else.
"""

from gymnasium.envs.registration import register

register(
    "TasteShift/Lifelong-v0",
    entry_point="tasteshift.envs.lifelong:Lifelong",
    vector_entry_point="tasteshift.envs.vector:LifelongVector",
)
