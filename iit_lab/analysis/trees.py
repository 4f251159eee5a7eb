"""Which inputs form a clique? A decision tree over their features, kept without pickle.

The DAS thesis (Pislar 2024) classifies the inputs of its cliques in this way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.tree import DecisionTreeClassifier

GRID: Mapping[str, Sequence[Any]] = {
    "criterion": ["gini", "entropy"],
    "max_depth": [1, 2, 3, 4],
    "min_samples_split": [6, 10],
    "min_samples_leaf": [1, 3, 6],
    "ccp_alpha": [0.0, 0.01],
}
"""What is searched; the thesis's grid, thinned."""
FOLDS = 5


@dataclass(frozen=True)
class Tree:
    """A tree and how good it is.

    Args:
        model: fitted on all members and as many others.
        accuracy: cross-validated, of the best parameters; chance is 0.5.
        parameters: these.
        members: how many inputs of each kind.
    """

    model: DecisionTreeClassifier
    accuracy: float
    parameters: Mapping[str, Any]
    members: int


def fit(features: pd.DataFrame, clique: Sequence[int], seed: int) -> Tree:
    """Tell members of a clique from as many other inputs.

    Args:
        features: a row per input.
        clique: rows that are members.
        seed: which others, and the folds.

    Raises:
        ValueError: for a clique that is empty or too small for the folds, or has most of the inputs.
    """
    inside = np.array(sorted(set(clique)), dtype=np.int64)
    others = np.setdiff1d(np.arange(len(features)), inside)
    if len(inside) < FOLDS or len(others) < FOLDS:
        raise ValueError(
            f"clique: {len(inside)} of {len(features)} inputs; {FOLDS} members and others are needed"
        )
    random = np.random.default_rng(seed)
    number = min(len(inside), len(others))
    positive = random.choice(inside, number, replace=False)
    rows = np.concatenate([positive, random.choice(others, number, replace=False)])
    labels = np.repeat([1, 0], number)
    search = GridSearchCV(
        DecisionTreeClassifier(random_state=seed),
        {key: list(values) for key, values in GRID.items()},
        cv=StratifiedKFold(FOLDS, shuffle=True, random_state=seed),
    )
    search.fit(features.iloc[rows].to_numpy(), labels)
    return Tree(search.best_estimator_, float(search.best_score_), search.best_params_, number)


def to_json(tree: Tree, names: Sequence[str]) -> dict[str, Any]:
    """The tree as plain data: a node per entry, `left` and `right` are -1 in a leaf."""
    nodes = tree.model.tree_
    return {
        "kind": "tree",
        "features": list(names),
        "accuracy": tree.accuracy,
        "members": tree.members,
        "parameters": dict(tree.parameters),
        "left": nodes.children_left.tolist(),
        "right": nodes.children_right.tolist(),
        "feature": nodes.feature.tolist(),
        "threshold": nodes.threshold.tolist(),
        "share": nodes.value[:, 0, 1].tolist(),
    }


def predict(saved: Mapping[str, Any], features: pd.DataFrame) -> np.ndarray:
    """The probability of being a member, from what `to_json` made."""
    values = features[list(saved["features"])].to_numpy(dtype=np.float32)
    found = np.empty(len(values))
    for i, row in enumerate(values):
        node = 0
        while saved["left"][node] >= 0:
            side = "left" if row[saved["feature"][node]] <= saved["threshold"][node] else "right"
            node = saved[side][node]
        found[i] = saved["share"][node]
    return found
