"""One IIT step on the hierarchical-equality perceptron: ours against one written by hand.

The network is 16-16-16-16-2 and trained on behaviour and interchange, equally weighted; each variable has
one half of layer 1, as units. A run is three steps (zero the gradients, forwards, losses, backward, Adam):
one on the left variable, one on the right, one on both with a source each. Both sides begin with the same
weights and see the same batches; they must agree on the losses before anything is timed, and still after
three steps. The one by hand is plain torch for this network alone.

Times are for the three steps together.
"""

from functools import partial

from _compare import Comparisons
from _equality import iit, network, three_kinds
from _iit import HandWritten
from _steps import Ours, check_same


def main() -> None:
    """Compare at a batch of 1024; a smaller and a larger one gate nothing."""
    run = Comparisons(__doc__)
    for batch_size, target in ((1024, 1.3), (64, None), (6400, None)):
        batches = three_kinds(batch_size)
        ours, by_hand = Ours(iit(network())), HandWritten(network())
        check_same([ours, by_hand], batches)
        ours.each(batches)
        by_hand.each(batches)
        check_same([ours, by_hand], batches)
        works = [partial(step.each, batches) for step in (ours, by_hand)]
        run.overhead(f"iit_step/by_hand/{batch_size}", *works, run.pairs(300, quick=50), target)
    run.exit()


if __name__ == "__main__":
    main()
