"""What a sum's numbers look like: the features by which the DAS thesis (Pislar 2024) tells inputs apart."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from torch import Tensor

DIVISORS = (3, 5, 7)


def of_numbers(setting: Mapping[str, Tensor]) -> pd.DataFrame:
    """Values, parities, sums of two and of all, divisibility: nineteen columns for three numbers.

    Args:
        setting: whole numbers by name, one per input.
    """
    numbers = {name: np.asarray(value) for name, value in setting.items()}
    columns: dict[str, np.ndarray] = dict(numbers)
    columns |= {f"{name} odd": value % 2 for name, value in numbers.items()}
    for size in range(2, len(numbers) + 1):
        for names in combinations(numbers, size):
            columns["+".join(names)] = np.sum([numbers[name] for name in names], axis=0)
    for divisor in DIVISORS:
        columns |= {
            f"{name} | {divisor}": (value % divisor == 0).astype(int) for name, value in numbers.items()
        }
    return pd.DataFrame(columns)
