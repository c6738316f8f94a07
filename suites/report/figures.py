"""The report's plots as Plotly figures: plain dictionaries with data and layout.

Colors are tokens such as ``@agent``; the page replaces them by the values of its style sheet, so
that one figure serves light and dark mode. Policies also differ in dash and marker, never in
color alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...metrics.curves import Point
from ...metrics.statistics import Estimate
from ...records import COUNTERFACTUAL

Figure = dict[str, Any]

STYLES = {
    "agent": ("@agent", "solid", "circle"),
    COUNTERFACTUAL: ("@counterfactual", "dashdot", "circle-open"),
    "oracle": ("@oracle", "dash", "triangle-up"),
    "oracle-plan": ("@plan", "dash", "triangle-down"),
    "frozen-oracle": ("@frozen", "dot", "diamond"),
    "random": ("@random", "longdash", "square"),
}
"""Color, dash and marker of the policies that are drawn over time."""

LABELS = {COUNTERFACTUAL: "agent (counterfactual)"}
"""Policy -> label, where it is not the policy's name."""

OTHER_STYLE = ("@other", "dash", "cross")


def style(policy: str) -> tuple[str, str, str]:
    """Color, dash and marker of a policy; policies that are not in STYLES share one style."""
    return STYLES.get(policy, OTHER_STYLE)


_LEGEND_ABOVE = {"orientation": "h", "y": 1.02, "yanchor": "bottom"}

_SERIES = [(f"@series-{i % 6}", ("solid", "dash", "dot")[(i + i // 6) % 3]) for i in range(18)]


def normalized_returns(
    tasks: Sequence[str], rows: Mapping[str, Sequence[Estimate | None]], *, clusters: str
) -> Figure:
    """Normalized return of each policy in `rows` (one estimate per task), from random to oracle.

    clusters  plural of the sampling unit, for tooltips, here and below
    """
    names = list(tasks)[::-1]
    offset = 0.24
    data = []
    for k, (policy, estimates) in enumerate(rows.items()):
        color, _, symbol = style(policy)
        found = [(y, e) for y, e in enumerate(list(estimates)[::-1]) if e is not None]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": policy,
                "x": [e.value for _, e in found],
                "y": [y + offset * (0.5 - k) for y, _ in found],
                "error_x": _whiskers([e for _, e in found], color),
                "marker": {"color": color, "symbol": symbol, "size": 11 if k == 0 else 9},
                "text": [f"{names[y]}<br>{policy} {_text(e, clusters)}" for y, e in found],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    layout = _layout(x="normalized return", height=110 + 52 * len(names))
    layout["margin"] = {"l": 10, "r": 24, "t": 34, "b": 48}
    layout["yaxis"] |= {
        "tickvals": list(range(len(names))),
        "ticktext": names,
        "range": [-0.6, len(names) - 0.4],
        "showgrid": False,
        "zeroline": False,
        "automargin": True,
        "ticksuffix": "  ",
    }
    layout["xaxis"] |= {"zeroline": False}
    layout["showlegend"] = True
    layout["legend"] = {**_LEGEND_ABOVE, "x": 0.5, "xanchor": "center"}
    layout["shapes"] = [_line(x, f"@{who}") for x, who in ((0, "random"), (1, "oracle"))]
    layout["annotations"] = [_note(x, who, f"@{who}") for x, who in ((0, "random"), (1, "oracle"))]
    return {"data": data, "layout": layout}


def reward_curves(
    curves: Mapping[str, Sequence[Point]], *, axis: str, top: float, clusters: str
) -> Figure:
    """Mean reward per session (or turn) of each policy, with its interval as a band.

    axis  "session" or "turn"
    top   upper end of the y axis
    """
    data: list[Figure] = []
    for policy in [name for name in reversed(STYLES) if curves.get(name)]:
        color, dash, symbol = style(policy)
        x_values = [point.index + 1 for point in curves[policy]]
        rewards = [point.reward for point in curves[policy]]
        band = [(x, e) for x, e in zip(x_values, rewards, strict=True) if e.low is not None]
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"{policy} interval",
                "x": [x for x, _ in band] + [x for x, _ in reversed(band)],
                "y": [e.high for _, e in band] + [e.low for _, e in reversed(band)],
                "fill": "toself",
                "fillcolor": f"{color}-band",
                "line": {"width": 0},
                "hoverinfo": "skip",
            }
        )
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": policy,
                "x": x_values,
                "y": [e.value for e in rewards],
                "line": {"color": color, "dash": dash, "width": 3 if policy == "agent" else 2},
                "marker": {"color": color, "symbol": symbol, "size": 7},
                "text": [
                    f"{LABELS.get(policy, policy)}, {axis} {x}: {_text(e, clusters)}"
                    for x, e in zip(x_values, rewards, strict=True)
                ],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    layout = _layout(x=axis, y="reward per turn", height=300)
    longest = max((len(row) for row in curves.values()), default=1)
    layout["yaxis"] |= {"range": [0, top]}
    layout["xaxis"] |= {"dtick": 1 if longest <= 20 else None, "range": [0.7, longest + 0.3]}
    return {"data": data, "layout": layout}


def utility_and_safety(points: Mapping[str, tuple[Estimate, Estimate]], *, clusters: str) -> Figure:
    """Reward per turn (y) over breaches per 1,000 impressions (x) for each policy."""
    data = []
    for policy, (breaches, reward) in points.items():
        color, _, symbol = style(policy)
        data.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "name": policy,
                "x": [breaches.value],
                "y": [reward.value],
                "error_x": _whiskers([breaches], color),
                "error_y": _whiskers([reward], color),
                "marker": {"color": color, "symbol": symbol, "size": 12},
                "text": [f"  {policy}"],
                "textposition": "bottom right" if policy == "frozen-oracle" else "top right",
                "textfont": {"color": "@ink"},
                "hovertemplate": (
                    f"{policy}<br>{_text(breaches, clusters)} breaches per 1000 impressions"
                    f"<br>{_text(reward, clusters)} reward per turn<extra></extra>"
                ),
            }
        )
    layout = _layout(
        x="items above the user's age per 1000 shown to users under 18",
        y="reward per turn",
        height=340,
    )
    right = max((_end(breaches) for breaches, _ in points.values()), default=0) or 1
    layout["xaxis"] |= {"range": [-0.04 * right, 1.22 * right], "zeroline": False}
    layout["yaxis"] |= {"rangemode": "tozero"}
    return {"data": data, "layout": layout}


def accepted_lengths(count: NDArray[np.int64]) -> Figure:
    """Share of decoding rounds in which 0, 1, … draft tokens were accepted.

    count  number of rounds by number of accepted draft tokens
    """
    share = count / count.sum()
    data = [
        {
            "type": "bar",
            "x": list(range(len(share))),
            "y": share.tolist(),
            "customdata": count.tolist(),
            "marker": {"color": "@agent"},
            "text": [f"{part:.0%}" for part in share],
            "textposition": "outside",
            "cliponaxis": False,
            "hovertemplate": "%{x} accepted: %{customdata} rounds (%{y:.1%})<extra></extra>",
        }
    ]
    layout = _layout(x="draft tokens accepted in a round", y="share of rounds", height=300)
    layout["xaxis"] |= {"dtick": 1, "showgrid": False}
    layout["yaxis"] |= {"tickformat": ".0%", "range": [0, 1.12 * float(share.max())]}
    layout["bargap"] = 0.25
    return {"data": data, "layout": layout}


def latencies(seconds: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Cumulative distribution of each task's decision times (x, logarithmic).

    seconds  task -> evenly spaced quantiles, in ascending order
    """
    data = []
    for (task, values), (color, dash) in zip(seconds.items(), _SERIES * 99, strict=False):
        share = np.linspace(0, 1, len(values))
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": task,
                "x": values.tolist(),
                "y": share.tolist(),
                "line": {"color": color, "dash": dash, "width": 2},
                "hovertemplate": f"{task}<br>%{{y:.0%}} within %{{x:.3s}}s<extra></extra>",
            }
        )
    layout = _layout(x="wall time of a decision", y="share of decisions", height=300)
    layout["xaxis"] |= {"type": "log", "tickformat": "~s", "ticksuffix": "s"}
    shortest = min((values[0] for values in seconds.values()), default=1.0)
    longest = max((values[-1] for values in seconds.values()), default=1.0)
    if longest > 5 * shortest:  # fewer ticks than Plotly's own, which overlap on long axes
        layout["xaxis"]["dtick"] = 1 if longest > 100 * shortest else "D2"
    layout["yaxis"] |= {"tickformat": ".0%", "range": [0, 1.02]}
    layout["showlegend"] = True
    layout["legend"] = {**_LEGEND_ABOVE, "x": 0}
    return {"data": data, "layout": layout}


def _layout(*, height: int, x: str = "", y: str = "") -> Figure:
    axis = {
        "gridcolor": "@line",
        "linecolor": "@line",
        "zerolinecolor": "@line",
        "fixedrange": True,
    }
    return {
        "height": height,
        "margin": {"l": 56, "r": 16, "t": 12, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "@muted"},
        "hoverlabel": {
            "bgcolor": "@paper",
            "bordercolor": "@line",
            "font": {"color": "@ink"},
            "align": "left",
        },
        "showlegend": False,
        "xaxis": {**axis, "title": {"text": x, "standoff": 10, "font": {"size": 13}}},
        "yaxis": {**axis, "title": {"text": y, "standoff": 10, "font": {"size": 13}}},
    }


def _whiskers(estimates: Sequence[Estimate], color: str) -> Figure:
    """Error bars, of length 0 where an estimate has no interval."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [0 if e.high is None else e.high - e.value for e in estimates],
        "arrayminus": [0 if e.low is None else e.value - e.low for e in estimates],
        "color": color,
        "thickness": 2,
        "width": 4,
    }


def _text(e: Estimate, clusters: str) -> str:
    """Value, interval and number of clusters for a tooltip."""
    interval = "no interval" if e.low is None else f"{e.low:.3g} to {e.high:.3g}"
    return f"{e.value:.3g} ({interval}, {e.n} {clusters})"


def _end(e: Estimate) -> float:
    return e.value if e.high is None else e.high


def _line(x: float, color: str) -> Figure:
    line = {"color": color, "width": 1.5, "dash": "dash"}
    return {"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "line": line}


def _note(x: float, text: str, color: str) -> Figure:
    return {
        "x": x,
        "y": 1,
        "yref": "paper",
        "yanchor": "bottom",
        "text": text,
        "showarrow": False,
        "font": {"color": color},
    }
