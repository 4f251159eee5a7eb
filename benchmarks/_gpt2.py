"""The problem that the GPT-2 benchmarks share: DAS on the residual stream of a GPT-2, all six positions.

Data, network and interventions are built from the classes that the configs name. The network is untrained:
what its weights are makes no difference to how long a step takes. It is frozen, as in every alignment.
"""

from collections.abc import Sequence
from functools import partial

import torch
from _steps import Step
from torch import Tensor
from torch.nn.functional import cross_entropy

from iit_lab.alignment.alignment import place
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.causal.policy import CounterfactualPolicy
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.gpt2 import GPT2
from iit_lab.models.gpt2_loading import classifier
from iit_lab.models.tokenizers import word_level
from iit_lab.objectives.base import Objective, Term
from iit_lab.objectives.interchange import InterchangeLoss
from iit_lab.randomness import generator_for
from iit_lab.subspaces.rotation import LowRankRotation
from iit_lab.tasks.arithmetic_sum import ArithmeticSum, partial_sum
from iit_lab.training.cache import Activations
from iit_lab.training.data import draw_splits
from iit_lab.training.grid import GridModule
from iit_lab.training.module import InterchangeModule

LEARNING_RATE = 1e-3
LAYERS = 12
WORDS = ["+", "=", *map(str, range(1, 11))]
OBJECTIVE = Objective({"interchange": Term(InterchangeLoss())}, source_grad=False)
ADAM = partial(torch.optim.Adam, lr=LEARNING_RATE)


def task() -> ArithmeticSum:
    """(X+Y)+Z."""
    return ArithmeticSum(word_level(WORDS), partial_sum("XY"))


def network(width: int) -> GPT2:
    """Twelve layers with heads of 64 units, or of a quarter of a narrow network; always the same weights."""
    sizes = {"n_layer": LAYERS, "n_embd": width, "n_head": max(4, width // 64), "n_positions": 8}
    tokens = {"bos_token_id": None, "eos_token_id": None, "vocab_size": len(WORDS) + 2}
    own = task()
    model = classifier(own.input_shape, own.n_classes, generator_for(0, "model"), config={**sizes, **tokens})
    return model.eval().requires_grad_(False)


def batches(size: int, n: int = 4) -> list[InterchangeBatch]:
    """Different pairs of prompts."""
    policy = CounterfactualPolicy(
        n_train=n * size, n_val=1, n_test=1, train_sets=["each"], test_sets=["each"]
    )
    (group,) = draw_splits(task(), policy, ("P",), seed=0).train
    return [group.rows(slice(i * size, (i + 1) * size)) for i in range(n)]


def intervention(model: GPT2, layer: int, rank: int, seed: int = 0) -> Intervention:
    """A low-rank rotation of the residual stream after a block."""
    everywhere = place(("P",), layer=layer)
    return Intervention(
        everywhere, model, Interchange(), LowRankRotation, generator_for(seed, "intervention"), rank=rank
    )


def das(model: GPT2, layer: int, rank: int, seed: int = 0) -> InterchangeModule:
    """One alignment, trained alone."""
    own = intervention(model, layer, rank, seed)
    return InterchangeModule(model, own, OBJECTIVE, ADAM, None, ("P",), train_model=False).train()


class GridStep:
    """One step of several alignments at one layer, as `GridModule.training_step` does it.

    Args:
        model: the network.
        layer: of all of them.
        rank: of all of them.
        cells: how many.
        data: batches.
    """

    def __init__(
        self, model: GPT2, layer: int, rank: int, cells: int, data: Sequence[InterchangeBatch]
    ) -> None:
        activations = Activations(model, data, 1024, torch.device("cpu"))
        activations.reach(layer + 2)
        self.batches = [activations.indexed(batch) for batch in data]
        own = [intervention(model, layer, rank, seed) for seed in range(cells)]
        self.module = GridModule(
            *(activations, own, OBJECTIVE, ADAM, None, ("P",)),
            total_steps=1,
            monitor="val/iia",
            patience=None,
        )
        self.optimizer = self.module.configure_optimizers()
        self._next = 0

    def losses(self, batch: InterchangeBatch) -> list[float]:
        """Of each cell."""
        return [values["loss"].item() for values in self.module.losses(batch)]

    def __call__(self) -> None:
        """A step on the next batch."""
        batch = self.batches[self._next % len(self.batches)]
        self._next += 1
        self.optimizer.zero_grad()
        torch.stack([values["loss"] for values in self.module.losses(batch)]).sum().backward()
        self.optimizer.step()


class HandWritten(Step):
    """Plain torch on the network's own blocks: two forwards to the site, the rest under the interchange.

    B1: the source's forward stops at the site, the backward pass too; one thin QR per step.

    Args:
        model: the network.
        layer: after which block.
        weight: what is trained, 6 x width by rank.
    """

    def __init__(self, model: GPT2, layer: int, weight: Tensor) -> None:
        self.model, self.site = model, layer + 2
        self.weight = weight.detach().clone().requires_grad_()
        self.optimizer = torch.optim.Adam([self.weight], lr=LEARNING_RATE)

    def activations(self, batch: InterchangeBatch) -> tuple[Tensor, Tensor]:
        """The site on bases and sources."""
        together = torch.cat([batch.base, batch.sources[0]])
        base, source = self.run(together, 0, self.site).flatten(1).chunk(2)
        return base, source

    def run(self, value: Tensor, start: int, stop: int) -> Tensor:
        """Blocks one after another."""
        for stage in range(start, stop):
            value = self.model.run_stage(stage, value, lambda _, activation: activation)
        return value

    def loss(self, batch: InterchangeBatch) -> Tensor:
        """Cross-entropy under the interchange."""
        base, source = self.activations(batch)
        basis = torch.linalg.qr(self.weight).Q
        swapped = torch.addmm(base, (source - base) @ basis, basis.mT)
        logits = self.run(swapped.view(len(batch), 6, -1), self.site, self.model.n_stages)
        return cross_entropy(logits, batch.counterfactual_label)


class CachedHandWritten(HandWritten):
    """B2: forward and backward after the site only."""

    def __init__(self, model: GPT2, layer: int, weight: Tensor, data: Sequence[InterchangeBatch]) -> None:
        super().__init__(model, layer, weight)
        self.cache = {id(batch): super(CachedHandWritten, self).activations(batch) for batch in data}

    def activations(self, batch: InterchangeBatch) -> tuple[Tensor, Tensor]:
        """What was kept."""
        return self.cache[id(batch)]
