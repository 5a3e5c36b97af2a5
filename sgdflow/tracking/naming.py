"""What of a configuration, a record and a result is shown in MLflow, and under which name.

The UI groups charts by the part of the name before the slash, in the order of the alphabet: the
scores are to be the first thing that is seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from math import nan
from typing import Any

from sgdflow.llm.ledger import percentile
from sgdflow.records.words import as_text

Scores = Mapping[str, Mapping[str, Any] | None]


def flattened(data: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted keys with values as texts; lists and empty mappings are JSON."""
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", as_text(value)


def standing_scores(scores: Scores) -> dict[str, float]:
    """Return the scores, on the data of every step, of the parameters as they now stand."""
    return _means("score", {split: scores.get(split) for split in ("train", "validation")})


def split_scores(when: str, scores: Scores) -> dict[str, float]:
    """Return scores by split with their intervals: `score_initial/test`, `.../test_low`, ..."""
    found: dict[str, float] = {}
    for split, score in scores.items():
        for field, suffix in (("mean", ""), ("low", "_low"), ("high", "_high")):
            if score is not None and (value := _number(score.get(field))) is not None:
                found[f"score_{when}/{split}{suffix}"] = value
        if kinds := (score or {}).get("unanswered"):
            found[f"score_{when}/{split}_unanswered"] = float(sum(kinds.values()))
    return found


def step_metrics(record: Mapping[str, Any]) -> dict[str, float]:
    """Return what a step itself adds to the charts.

    `score/train` belongs to the parameters that stand after the step, so that the curve goes on
    from the initial score: the candidate's score where it was accepted.
    """
    scores: Scores = record["scores"]
    train = scores.get("candidate") if record["accepted"] else scores.get("train")
    proposal: Mapping[str, Any] = record["proposal"]
    return {
        **_means("score", {**scores, "train": train or scores.get("train")}),
        "step/accepted": float(record["accepted"]),
        "step/proposed_parameters": float(len(proposal)),
        "step/proposed_characters": float(sum(len(str(text)) for text in proposal.values())),
        "step/failed_examples": float(sum(score["failed"] for score in scores.values() if score)),
        "step/unanswered_examples": float(
            sum(sum(s.get("unanswered", {}).values()) for s in scores.values() if s)
        ),
        "step/malformed_replies": float(record["malformed"]),
        **{
            f"step/examples_{way}": float(n)
            for way in ("up", "down")
            if (n := record.get("gate", {}).get(way)) is not None
        },
    }


def spending(record: Mapping[str, Any]) -> dict[str, float]:
    """Return calls and tokens by role, of a step or of a whole run."""
    calls = {f"spent_calls/{role}": float(count) for role, count in record["calls"].items()}
    tokens = {
        f"spent_tokens/{role}_{kind}": float(count)
        for role, counts in record["tokens"].items()
        for kind, count in counts.items()
    }
    return calls | tokens


def step_costs(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the cost of a step by role; nan where a price is unknown, as are sums with it."""
    costs = record.get("cost", {})
    return {f"spent_cost/{role}": nan if c is None else float(c) for role, c in costs.items()}


def latencies(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return how long half and how long 95 % of the calls took at most, by role."""
    return {
        f"spent_time/{role}_p{share}": percentile(took, share)
        for role, took in seconds.items()
        for share in (50, 95)
        if took
    }


def result_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores before and after, and totals over everything a run has done."""
    metrics: dict[str, float] = {}
    for when in ("initial", "final"):
        metrics |= split_scores(when, {s: both[when] for s, both in result["scores"].items()})
    totals = {
        key.removeprefix("spent_").replace("/", "_"): value
        for key, value in spending(result).items()
    }
    gate: Mapping[str, Any] = result.get("gate", {})
    totals |= {f"gate_{key}": float(gate[key]) for key in ("calls", "share", "spared") if gate}
    totals |= {key: float(result[key]) for key in ("steps", "accepted", "seconds")}
    for split, both in result["scores"].items():
        if final := both["final"]:
            totals |= {f"examples_{split}": float(final["n"])}
            totals |= {f"failed_{split}": float(final["failed"])}
    again = result.get("again", {})
    totals |= {f"again_{role}": float(one["calls"]) for role, one in again.items()}
    totals |= {f"faults_{kind}": float(n) for kind, n in result.get("faults", {}).items()}
    totals |= _account(result.get("account", {}))
    totals |= {f"decided_{split}": 1.0 for split in result.get("selected_on", ())}
    # An unknown price is absent, and so is a sum it belongs to.
    costs = {role: _number(cost) for role, cost in result.get("cost", {}).items()}
    totals |= {f"cost_{role}": cost for role, cost in costs.items() if cost is not None}
    known = [cost for cost in costs.values() if cost is not None]
    if known and len(known) == len(costs):
        totals["cost"] = sum(known)
    metrics |= {f"total/{key}": value for key, value in totals.items()}
    return metrics | _by_node(result.get("nodes", {}))


def _account(account: Mapping[str, Any]) -> dict[str, float]:
    """Return what a run could show, and what it tried for it."""
    if not account:
        return {}
    found = {f"proposals_{key}": float(n) for key, n in account["proposals"].items()}
    found |= {f"gradients_{key}": float(n) for key, n in account["gradients"].items()}
    if (detectable := account["detectable"]) and detectable["gain"] is not None:
        found["detectable"] = float(detectable["gain"])
    return found


def evaluation_metrics(record: Mapping[str, Any]) -> dict[str, float]:
    """Return what result_metrics would of a run that ended with this score."""
    scores = {record["split"]: {"initial": None, "final": record["score"]}}
    found = result_metrics({**record, "scores": scores, "steps": 0, "accepted": 0})
    return {key: value for key, value in found.items() if key not in _OF_STEPS}


def probe_metrics(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the findings of a probe, and totals as a run has them."""
    start, noise = record["start"], record["noise"]
    found = {f"probe/start_{key}": start[key] for key in ("mean", "low", "high", "lacking", "form")}
    found |= {"probe/calls": record["probed"]["calls"], "probe/gate_luck": record["luck"]}
    if noise is not None:
        found |= {f"probe/noise_{key}": noise[key] for key in ("share", "variance")}
    for sight in record["evaluation"]:
        keys = ("power", "visible", "needed")
        found |= {f"probe/{sight['by']}_{key}": sight[key] for key in keys}
    for pair in record["pairs"]:
        if pair["verdict"] != "not tried":
            found[f"probe/interaction_p/{'.'.join(pair['nodes'])}"] = pair["p"]
    expected = record["plan"]["expected"]
    found |= {f"probe/run_{key}": expected[key] for key in ("calls", "cost", "seconds")}
    found["probe/worth_a_run"] = float(record["advice"]["verdict"] == "worth a run")
    return {name: value for name, one in found.items() if (value := _number(one)) is not None}


_OF_STEPS = ("total/steps", "total/accepted")


def _by_node(nodes: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, float]:
    """Return what each node used, as `total_by_node/forward.hint_1.calls`."""
    return {
        f"total_by_node/{role}.{node}.{what}": number
        for role, used_by in nodes.items()
        for node, used in used_by.items()
        for what, value in used.items()
        if (number := _number(value)) is not None
    }


def lengths(parameters: Mapping[str, Any]) -> dict[str, float]:
    """Return how long the parameters are, all texts together."""
    texts = [text for text in parameters.values() if isinstance(text, str)]
    return {"step/parameters_characters": float(sum(map(len, texts)))}


def commit_message(record: Mapping[str, Any]) -> str:
    """Say where an accepted text comes from: its step and the scores."""
    validation = record["scores"].get("validation")
    more = f"; validation {validation['mean']:.4g}" if validation else ""
    return f"step {record['step']}: {record['reason']}{more}"


def gradients_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a step learned from its examples and what became of it."""
    keys = ("format", "step", "accepted", "reason", "sampled", "proposal", "skipped")
    return {key: record[key] for key in keys if key in record}


def _means(group: str, scores: Scores) -> dict[str, float]:
    means = {name: _number(score["mean"]) for name, score in scores.items() if score is not None}
    return {f"{group}/{name}": mean for name, mean in means.items() if mean is not None}


def _number(value: Any) -> float | None:
    """Return the value where a chart can show it."""
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return None
