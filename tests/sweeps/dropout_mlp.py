"""A network that draws from torch's own generator while it trains, so that resuming must restore it."""

from torch import nn

from iit_lab.models.mlp import MLP


class DropoutMLP(MLP):
    """An MLP with dropout before every stage."""

    def run_stage(self, stage, value, tap):
        return super().run_stage(stage, nn.functional.dropout(value, 0.1, self.training), tap)
