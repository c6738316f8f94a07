"""User dynamics: one file each, pure functions over arrays with one row per user (B).

They are called from `envs/simulator/`:

population.py        `initial_population` draws the first state; `with_state_effects` sums the
                     utilities of satiation, interests and boredom into `topic_utility`, and sets
                     the reward's `scale` from long-term satisfaction. `choice.py` reads both.
turn.py              after each slate: patience, satiation, interests, boredom, exposure, and the
                     influence of items on tastes
between_sessions.py  between sessions: drift, shift, recovery from satiation, trust, days away
observation.py       what an observation tells of shifts, recurring regimes and private facts
world.py             cold users and items, kaleness of items, age groups
training_log.py      the shortened history of cold users

Transient sessions, recurring regimes and constraints are looked up in `population.py` too.
`envs/reference/` calls some of the same functions again to look ahead.
"""
