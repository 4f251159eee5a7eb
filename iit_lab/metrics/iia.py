"""Interchange intervention accuracy, beside its baselines and split by whether the label changes."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric

COUNTS = ("right", "changed", "right_changed", "noop", "swap", "accuracy", "flipped", "stayed")


class InterchangeAccuracy(Metric):
    """IIA of one set of variables with everything that must be read beside it.

    `compute` returns fractions, leaving out what has no pairs to count:

    - `iia`: intervened output equals the counterfactual label;
    - `iia_changed`, `iia_unchanged`: the same over pairs whose label changes, and over the others;
    - `iia_noop`: the output without intervention equals the counterfactual label;
    - `iia_full_swap`: the output with the whole site swapped equals it, averaged over sources;
    - `accuracy`: the output without intervention equals the base label;
    - `effect`: the intervention changes the output;
    - `ablated_accuracy`: the intervened output equals the base label.

    States are counts that add up over processes.
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("swaps", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(len(COUNTS), dtype=torch.long), dist_reduce_fx="sum")

    def update(
        self,
        base: Float[Tensor, "batch classes"],
        counterfactual: Float[Tensor, "batch classes"],
        base_label: Int[Tensor, " batch"],
        counterfactual_label: Int[Tensor, " batch"],
        swapped: list[Float[Tensor, "batch classes"]],
    ) -> None:
        """Count one batch.

        Args:
            base: logits without intervention.
            counterfactual: logits under it.
            base_label: the causal model's output on the base.
            counterfactual_label: its output under the interchange.
            swapped: logits with the whole site swapped, for each source.
        """
        plain, intervened = base.argmax(-1), counterfactual.argmax(-1)
        right = intervened == counterfactual_label
        changed = base_label != counterfactual_label
        swaps = [(logits.argmax(-1) == counterfactual_label).sum() for logits in swapped]
        counts = {
            "right": right.sum(),
            "changed": changed.sum(),
            "right_changed": (right & changed).sum(),
            "noop": (plain == counterfactual_label).sum(),
            "swap": torch.stack(swaps).sum() if swaps else torch.zeros_like(right.sum()),
            "accuracy": (plain == base_label).sum(),
            "flipped": (plain != intervened).sum(),
            "stayed": (intervened == base_label).sum(),
        }
        self.counts = self.counts + torch.stack([counts[name] for name in COUNTS])
        self.total = self.total + len(base_label)
        self.swaps = self.swaps + len(swapped) * len(base_label)

    def compute(self) -> dict[str, float]:
        """Fractions by name; exact quotients of counts."""
        count = dict(zip(COUNTS, self.counts.tolist(), strict=True))
        total = int(self.total)
        quotients = {
            "iia": (count["right"], total),
            "iia_changed": (count["right_changed"], count["changed"]),
            "iia_unchanged": (count["right"] - count["right_changed"], total - count["changed"]),
            "iia_noop": (count["noop"], total),
            "iia_full_swap": (count["swap"], int(self.swaps)),
            "accuracy": (count["accuracy"], total),
            "effect": (count["flipped"], total),
            "ablated_accuracy": (count["stayed"], total),
        }
        return {name: part / whole for name, (part, whole) in quotients.items() if whole}
