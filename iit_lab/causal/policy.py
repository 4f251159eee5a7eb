"""How a data set of base/source pairs is drawn: which variables, which sources, how many, how balanced."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

SetOfVariables = str | Sequence[str]
"""`each` (every variable alone), `joint` (all of them together), or a list of variables."""


@dataclass(frozen=True)
class CounterfactualPolicy:
    """The config group `counterfactual`.

    Args:
        n_train: training pairs in all, shared equally among the training sets.
        n_val: validation pairs of each test set.
        n_test: test pairs of each test set.
        train_sets: which variables a training row fixes; none at all trains behaviour alone.
        test_sets: the same for validation and test; reported one by one.
        sources: `multi`: each variable of a row has a source of its own; `single`: they share one.
        mixed: draw batches across training sets, each row with its own set; otherwise all rows of a batch
            fix the same variables, which costs fewer source runs.
        balance: columns whose combinations are made equally frequent, see `counterfactuals.BALANCES`.
        filter: `correct` keeps the pairs that the network gets right on base and sources.

    Raises:
        ValueError: for an empty data set, or rows that are to be balanced but fix nothing.
    """

    n_train: int
    n_val: int
    n_test: int
    train_sets: Sequence[SetOfVariables] = ("each", "joint")
    test_sets: Sequence[SetOfVariables] = ("each", "joint")
    sources: Literal["multi", "single"] = "multi"
    mixed: bool = False
    balance: Sequence[str] = ()
    filter: Literal["none", "correct"] = "none"

    def __post_init__(self) -> None:
        for name in ("n_train", "n_val", "n_test"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: an empty data set; at least 1 is needed")


def expand_sets(sets: Sequence[SetOfVariables], variables: Sequence[str], name: str) -> list[tuple[str, ...]]:
    """Sets of variables, each once, from `each`, `joint` and lists of names.

    Args:
        sets: as in `CounterfactualPolicy`.
        variables: what is aligned.
        name: what to call the argument in an error.

    Raises:
        ValueError: for an unknown variable.
    """
    expanded: list[tuple[str, ...]] = []
    for entry in sets:
        if entry == "each":
            expanded += [(variable,) for variable in variables]
        elif entry == "joint":
            expanded.append(tuple(variables))
        else:
            names = (entry,) if isinstance(entry, str) else tuple(entry)
            unknown = [variable for variable in names if variable not in variables]
            if unknown or not names:
                raise ValueError(f"{name}={unknown}: valid are each, joint, or lists of {list(variables)}")
            expanded.append(tuple(variable for variable in variables if variable in names))
    return list(dict.fromkeys(expanded))
