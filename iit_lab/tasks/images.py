"""Pictures of what a network is asked: bases, sources and labels."""

from matplotlib.figure import Figure

from iit_lab.causal.batch import InterchangeBatch

SHOWN = 6


def draw_examples(batch: InterchangeBatch, white: float, output: str) -> Figure:
    """One column per pair: the base, one source per variable or a shared one, and the label that follows.

    Args:
        batch: of images, height x width x 1.
        white: value of a white pixel.
        output: what the label is called.
    """
    columns = min(SHOWN, len(batch))
    shared = len(batch.sources) == 1
    owners = [", ".join(batch.variables)] if shared else list(batch.variables)
    named = zip((f"source of\n{name}" for name in owners), batch.sources, strict=False)
    rows = [("base", batch.base), *named]
    figure = Figure(figsize=(1.6 + 1.5 * columns, 0.9 + 1.5 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, images) in zip(axes, rows, strict=True):
        for i, place in enumerate(line):
            place.imshow(images[i, :, :, 0], cmap="gray", vmin=0, vmax=white)
            place.set(xticks=[], yticks=[])
        line[0].set_ylabel(name)
    for i in range(columns):
        before, after = int(batch.base_label[i]), int(batch.counterfactual_label[i])
        axes[0, i].set_title(f"{output}: {before}")
        axes[-1, i].set_xlabel(f"{output}: {after}", color="#c4320a" if before != after else "black")
    return figure
