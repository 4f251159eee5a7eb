"""What a run releases: its network, its alignment, a drawing of its causal model."""

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.causal.drawing import draw
from iit_lab.causal.model import CausalModel
from iit_lab.interventions.intervention import Intervention
from iit_lab.jobs.base import Run
from iit_lab.models.base import StagedModel
from iit_lab.results import artefacts
from iit_lab.results.files import replacing
from iit_lab.tasks.base import Task


def save_network(run: Run, model: StagedModel) -> dict[str, str]:
    """Weights, and a card that says what they are of."""
    plain = run.plain
    card = {"model": plain["model"], "task": plain["task"], "description": model.describe()}
    artefacts.save(run.directory, "network", model, card)
    return {"network": "network.safetensors"}


def save_alignment(run: Run, intervention: Intervention) -> dict[str, str]:
    """Subspaces, and a card that says which variables live where."""
    subspaces = [
        {"site": str(place.site), "variables": list(place.variables)} for place in intervention.places
    ]
    card = {
        "sites": intervention.alignment.to_json(),
        "intervention": run.plain["intervention"],
        "subspaces": subspaces,
    }
    artefacts.save(run.directory, "alignment", intervention, card)
    return {"alignment": "alignment.safetensors"}


def save_examples(run: Run, task: Task, batch: InterchangeBatch) -> dict[str, str]:
    """A picture of a few pairs, of a task that can be shown."""
    figure = task.draw(batch)
    if figure is None:
        return {}
    with replacing(run.directory / "examples.png") as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return {"examples": "examples.png"}


def save_causal_model(run: Run, model: CausalModel, aligned: tuple[str, ...]) -> dict[str, str]:
    """The graph, with the aligned variables marked."""
    with replacing(run.directory / "causal_model.png") as temporary:
        draw(model, aligned).savefig(temporary, format="png", dpi=120, bbox_inches="tight")
    return {"causal_model": "causal_model.png"}
