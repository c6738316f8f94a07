"""Interest evolution and long-term satisfaction against RecSim, fed with the same draws."""

import warnings

import numpy as np
import pytest

from tasteshift.envs.dynamics import interest_evolution, long_term_satisfaction
from tasteshift.envs.dynamics.interest_evolution import InterestEvolution
from tasteshift.envs.dynamics.long_term_satisfaction import LongTermSatisfaction
from tasteshift.envs.numerics.grid import GRID, on_grid

pytest.importorskip("recsim", reason="pip install recsim-no-tf six absl-py gin-config")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from recsim import choice_model
    from recsim.environments import interest_evolution as recsim_interests
    from recsim.environments import long_term_satisfaction as recsim_satisfaction

ROUNDING = GRID / 2 + 1e-12
"""What rounding a state to the grid once may change."""

TOPICS = recsim_interests.IEvVideo.NUM_FEATURES


@pytest.fixture(autouse=True)
def global_generator():
    """RecSim draws from NumPy's global generator: leave it as it was."""
    before = np.random.get_state()
    yield
    np.random.set_state(before)


def interest_model(seed, choices=choice_model.MultinomialProportionalChoiceModel):
    return recsim_interests.IEvUserModel(slate_size=1, choice_model_ctor=choices, seed=seed)


def video(topic):
    features = np.eye(TOPICS)[topic]
    return recsim_interests.IEvVideo(0, features, cluster_id=topic, video_length=4.0, quality=0.0)


def satisfaction_model(seed):
    return recsim_satisfaction.LTSUserModel(
        slate_size=1,
        user_state_ctor=recsim_satisfaction.LTSUserState,
        response_model_ctor=recsim_satisfaction.LTSResponse,
        seed=seed,
    )


# --- interest evolution


def test_interest_evolution_has_recsims_constants():
    model = interest_model(0)
    assert InterestEvolution().step == model._alpha_y_intercept
    assert model._alpha_x_intercept == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_first_interests_equal_recsims(seed):
    draws = np.random.RandomState(seed).random_sample(TOPICS)
    ours = interest_evolution.begin_interests(draws[None])
    assert ours[0] == pytest.approx(interest_model(seed)._user_state.user_interests, abs=ROUNDING)


def test_every_step_of_interests_equals_recsims():
    """32 users consume 50 items each; both simulators continue from the same interests."""
    users, turns, params = 32, 50, InterestEvolution()
    models = [interest_model(seed) for seed in range(users)]
    interests = on_grid(np.array([model._user_state.user_interests for model in models]))
    rng = np.random.default_rng(0)
    draws = np.random.RandomState(11).random_sample((turns, users))
    np.random.seed(11)
    risen = 0
    for turn in range(turns):
        # three topics only, so that interests become entrenched
        topics = rng.integers(0, 3, size=users)
        recsim_result = np.empty_like(interests)
        for row, model in enumerate(models):
            model._user_state.user_interests = interests[row].copy()
            watched = recsim_interests.IEvResponse(clicked=True, watch_time=4.0)
            model.update_state([video(topics[row])], [watched])
            recsim_result[row] = model._user_state.user_interests
        before, share = interests, np.eye(TOPICS)[topics]
        interests = interest_evolution.update_interests(params, before, share, draws[turn])
        assert np.abs(interests - recsim_result).max() <= ROUNDING
        risen += int((interests > before).any(axis=1).sum())
    assert 0.2 * users * turns < risen < 0.8 * users * turns
    assert np.abs(interests[:, :3]).mean() > 0.7


def test_interests_follow_recsims_environment():
    """RecSim's own choices among slates of 3, none included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = recsim_interests.create_environment(
            {"slate_size": 3, "num_candidates": 10, "resample_documents": True, "seed": 4}
        ).environment
    interests, candidates = env.reset()
    chosen = 0
    for turn in range(60):
        slate = np.random.default_rng(turn).permutation(10)[:3]
        features = np.array(list(candidates.values()))[slate]
        before = on_grid(interests[None].copy())
        np.random.seed(turn)
        interests, candidates, responses, done = env.step(slate)
        generator = np.random.RandomState(turn)
        generator.random_sample()  # the choice
        draw = generator.random_sample(1)
        clicked = np.array([response.clicked for response in responses])
        share = clicked[None].astype(float) @ features
        ours = interest_evolution.update_interests(InterestEvolution(), before, share, draw)
        # both may round to different grid points, and a step stretches that at most 1.6-fold
        assert ours[0] == pytest.approx(interests, abs=2e-6)
        chosen += int(clicked.any())
        if done:
            break
    assert 10 < chosen < turn + 1


def test_interests_are_the_utilities_of_recsims_logit_choice():
    model = interest_model(2, choice_model.MultinomialLogitChoiceModel)
    topics = [3, 0, 7, 3]
    model.choice_model.score_documents(model._user_state, np.eye(TOPICS)[topics])
    interests = on_grid(model._user_state.user_interests[None])
    utility = interest_evolution.interest_utility(InterestEvolution(), interests)
    utility = np.append(np.eye(TOPICS)[topics] @ utility[0], 1.0)
    probability = np.exp(utility) / np.exp(utility).sum()
    assert model.choice_model.scores == pytest.approx(probability[:-1], abs=2e-6)
    assert model.choice_model.score_no_click == pytest.approx(probability[-1], abs=2e-6)


def test_recsim_depends_on_the_global_generator_and_tasteshift_does_not():
    def recsim_result(global_seed):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            env = recsim_interests.create_environment(
                {"slate_size": 3, "num_candidates": 10, "resample_documents": True, "seed": 0}
            ).environment
        np.random.seed(global_seed)
        env.reset()
        return [[r.clicked for r in env.step(np.arange(3))[2]] for _ in range(30)]

    def ours(global_seed):
        np.random.seed(global_seed)
        turns = np.arange(30)
        return interest_evolution.direction_draws(0, np.zeros(30, dtype=int), turns).tolist()

    assert recsim_result(1) == recsim_result(1)
    assert recsim_result(1) != recsim_result(2)
    assert ours(1) == ours(2)


# --- long-term satisfaction


def test_long_term_satisfaction_has_recsims_constants():
    params, state = LongTermSatisfaction(), satisfaction_model(0)._user_state
    assert params.memory == state.memory_discount
    assert params.sensitivity == state.sensitivity
    assert params.innovation == state.innovation_stddev


@pytest.mark.parametrize("seed", range(3))
def test_first_exposure_equals_recsims(seed):
    draw = np.random.RandomState(seed).random_sample(1)
    ours = long_term_satisfaction.begin_exposure(LongTermSatisfaction(), draw)
    recsim_result = satisfaction_model(seed)._user_state.net_positive_exposure
    assert ours[0] == pytest.approx(recsim_result, abs=ROUNDING)


def test_exposure_and_satisfaction_equal_recsims_over_whole_episodes():
    """States are not re-aligned: grid errors of 2⁻²¹ a turn, discounted by 0.7, stay below 2e-6."""
    users, turns, params = 16, 60, LongTermSatisfaction()
    models = [satisfaction_model(seed) for seed in range(users)]
    exposure = on_grid(np.array([m._user_state.net_positive_exposure for m in models]))
    kale = on_grid(np.random.default_rng(1).uniform(size=(turns, users)))
    noise = np.random.RandomState(5).standard_normal((turns, users))
    np.random.seed(5)
    consumed = np.ones(users, dtype=bool)
    for turn in range(turns):
        for row, model in enumerate(models):
            item = recsim_satisfaction.LTSDocument(0, clickbait_score=1 - kale[turn, row])
            model.update_state([item], [recsim_satisfaction.LTSResponse(clicked=True)])
        exposure = long_term_satisfaction.update_exposure(
            params, exposure, kale[turn], consumed, noise[turn]
        )
        recsim_result = [m._user_state.net_positive_exposure for m in models]
        assert exposure == pytest.approx(recsim_result, abs=2e-6)
        scale = long_term_satisfaction.satisfaction(params, exposure)
        assert scale == pytest.approx([m._user_state.satisfaction for m in models], abs=ROUNDING)


def test_recsims_satisfaction_depends_on_the_global_generator_and_tasteshifts_does_not():
    def recsim_result(global_seed):
        model = satisfaction_model(0)
        np.random.seed(global_seed)
        item = recsim_satisfaction.LTSDocument(0, clickbait_score=0.5)
        model.update_state([item], [recsim_satisfaction.LTSResponse(clicked=True)])
        return model._user_state.net_positive_exposure

    def ours(global_seed):
        np.random.seed(global_seed)
        return long_term_satisfaction.innovation_noise(0, np.array([0]), np.array([0])).tolist()

    assert recsim_result(1) != recsim_result(2)
    assert ours(1) == ours(2)
