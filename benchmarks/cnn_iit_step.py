"""One IIT step on the shape images' CNN: ours against pyvene and against one written by hand.

Circularity and colour live in four directions of a convolution's flattened output (12 544, 6 272 or 3 136
units); network and rotation are trained, on behaviour and interchange equally weighted. A run is one step
(zero the gradients, forwards, losses, backward, Adam) on a batch of 256. All sides begin with the same
weights and rotation and must agree on the loss before anything is timed; ours and the one by hand still after
three steps.

pyvene's rotation is torch's orthogonal parametrisation with a basis of units x units, evaluated three times a
forward: a step takes seconds, so it is timed a few times only.
"""

from functools import partial

from _cnn import HandWritten, iit, network, pairs
from _compare import Comparisons
from _pyvene_cnn import PyveneStep
from _steps import Ours, check_same

RANK = 4
PYVENE = {0: 10, 1: 10, 2: 5}
"""Layer -> how many times faster than pyvene."""


def main() -> None:
    """Compare at every convolution; quick leaves pyvene's first one out."""
    run = Comparisons(__doc__)
    batch = pairs(256)
    for layer, target in PYVENE.items():
        ours = Ours(iit(network(), layer, RANK))
        weight = ours.module.intervention.subspaces[0].weight
        by_hand = HandWritten(network(), layer, weight)
        steps = [ours, by_hand]
        if layer or not run.quick:
            steps.append(PyveneStep(network(), layer, ours.module.intervention.subspaces[0].basis()))
        check_same(steps, [batch])
        for step in steps[:2]:
            step.each([batch] * 3)
        check_same(steps[:2], [batch])
        works = [partial(step, batch) for step in steps]
        run.overhead(f"cnn_iit_step/by_hand/conv{layer + 1}", *works[:2], run.pairs(30, quick=10), 1.3)
        if len(works) > 2:
            name = f"cnn_iit_step/pyvene/conv{layer + 1}"
            run.speed_up(name, works[0], works[2], run.pairs(2, quick=2), target, warm=1)
    run.exit()


if __name__ == "__main__":
    main()
