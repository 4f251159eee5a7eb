"""Who looks, while a network is trained, for the variables in another place than the aligned one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from iit_lab.alignment.alignment import Alignment
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.engine import finish, interchange, prefix
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.base import StagedModel


class Adversary(nn.Module):
    """An intervention elsewhere, refitted to the network as it is before each of the network's own steps.

    After AmirZur/ellipse's adversarial IIT, which takes five steps of Adam with a fresh rank-4 rotation. Its
    parameters require gradients while it is refitted only, so no optimiser of the network sees them. Where
    several processes do one run, each has an adversary of its own.

    Args:
        alignment: builds the place from the variables that are `available`.
        intervention: builds the intervention from `alignment`, `model` and `generator`.
        optimizer: builds its optimiser from parameters.
        steps: optimiser steps per step of the network.
        restart: steps of the network after which it begins anew; None for never.
        variables: what is aligned.
        model: the network; not kept.
        generator: source of initial bases.

    Raises:
        ValueError: if a number is below 1, or there is nothing to fit.
    """

    def __init__(
        self,
        alignment: Callable[..., Alignment],
        intervention: Callable[..., Intervention],
        optimizer: Callable[..., Optimizer],
        steps: int,
        restart: int | None,
        variables: Sequence[str],
        model: StagedModel,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if steps < 1 or (restart is not None and restart < 1):
            raise ValueError(f"steps={steps}, restart={restart}: must be at least 1")
        with _about("alignment"):
            place = alignment(available=variables).checked(model)
        with _about("intervention"):
            self.intervention = intervention(alignment=place, model=model, generator=generator)
        if not self.intervention.trainable:
            raise ValueError("intervention: an adversary needs a subspace that is learned")
        self.steps, self.restart = steps, restart
        self.done = 0
        self._initial = {k: v.clone() for k, v in self.intervention.state_dict().items()}
        self._learned = [p for p in self.intervention.parameters() if p.requires_grad]
        self._build_optimizer = optimizer
        self.optimizer = optimizer(self._learned)
        self._freeze(True)

    def refit(self, model: StagedModel, batch: InterchangeBatch) -> None:
        """Go towards the counterfactual labels of a batch; the network keeps its weights and gradients."""
        if self.restart is not None and self.done and self.done % self.restart == 0:
            self.intervention.load_state_dict(self._initial)
            self.optimizer = self._build_optimizer(self._learned)
        self._freeze(False)
        with torch.no_grad():
            before = prefix(model, self.intervention, batch)
        for _ in range(self.steps):
            logits = finish(model, self.intervention, batch, before).counterfactual
            assert logits is not None
            loss = cross_entropy(logits, batch.counterfactual_label)
            for own, gradient in zip(self._learned, torch.autograd.grad(loss, self._learned), strict=True):
                own.grad = gradient
            self.optimizer.step()
        self.optimizer.zero_grad()
        self._freeze(True)
        self.done += 1

    def logits(
        self, model: StagedModel, batch: InterchangeBatch, *, source_grad: bool
    ) -> Float[Tensor, "batch classes"]:
        """Under its interchange, with gradients to the network alone."""
        found = interchange(model, self.intervention, batch, source_grad=source_grad).counterfactual
        assert found is not None
        return found

    def released(self) -> Intervention:
        """Its intervention, for others to train."""
        self._freeze(False)
        return self.intervention

    def _freeze(self, frozen: bool) -> None:
        for own in self._learned:
            own.requires_grad_(not frozen)

    def get_extra_state(self) -> dict[str, Any]:
        """What a run that goes on needs besides the subspaces."""
        return {"done": self.done, "optimizer": self.optimizer.state_dict()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.done = state["done"]
        self.optimizer.load_state_dict(state["optimizer"])


@contextmanager
def _about(argument: str) -> Iterator[None]:
    """Errors raised inside are about what an argument holds."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{argument}.{error}") from error
