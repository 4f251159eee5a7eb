"""Causal models: named variables, one mechanism each, vectorised over the batch.

Geiger et al. 2021, "Causal Abstractions of Neural Networks", section 2: a model is a directed acyclic
graph of variables; an interchange intervention fixes some of them to the values they take on other inputs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import torch
from jaxtyping import Bool
from torch import Tensor

Setting = Mapping[str, Tensor]
"""One value per variable and example: every tensor is `[batch, ...]`."""


@dataclass(frozen=True)
class Variable:
    """A variable of a causal model.

    Args:
        name: what the variable is called in configs and metrics.
        parents: the variables that its mechanism reads, in the order of the mechanism's arguments.
        mechanism: computes the variable, `[batch, ...]`, from its parents' tensors; None for an input.
    """

    name: str
    parents: tuple[str, ...] = ()
    mechanism: Callable[..., Tensor] | None = None


class CausalModel:
    """A directed acyclic graph of variables with one vectorised mechanism each.

    Args:
        variables: all variables, in any order.
        output: the variable that is the model's answer.

    Raises:
        ValueError: for a repeated name, an unknown parent, a cycle, an input that has parents, an inner
            variable that has none, or an unknown output.
    """

    def __init__(self, variables: Sequence[Variable], output: str) -> None:
        self._variables = {variable.name: variable for variable in variables}
        if len(self._variables) != len(variables):
            names = [variable.name for variable in variables]
            repeated = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"variables={repeated}: each name may stand for one variable only")
        for variable in variables:
            self._check(variable)
        if output not in self._variables:
            raise ValueError(f"output={output}: the causal model has {sorted(self._variables)}")
        self.output = output
        graph = self.graph()
        if not nx.is_directed_acyclic_graph(graph):
            cycle = " -> ".join(edge[0] for edge in nx.find_cycle(graph))
            raise ValueError(f"variables: the graph has a cycle: {cycle} -> ...")
        self._order = tuple(nx.lexicographical_topological_sort(graph))

    def _check(self, variable: Variable) -> None:
        unknown = [parent for parent in variable.parents if parent not in self._variables]
        if unknown:
            raise ValueError(
                f"{variable.name}.parents={unknown}: the causal model has {sorted(self._variables)}"
            )
        if (variable.mechanism is None) != (not variable.parents):
            raise ValueError(
                f"{variable.name}: an input has neither parents nor a mechanism, any other variable has both"
            )

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the variables that a setting must give."""
        return tuple(name for name in self._order if self._variables[name].mechanism is None)

    @property
    def inner(self) -> tuple[str, ...]:
        """Names of the variables between inputs and output, parents first."""
        return tuple(name for name in self._order if name not in self.inputs and name != self.output)

    def run(self, setting: Setting) -> dict[str, Tensor]:
        """Values of all variables on a batch of inputs.

        Args:
            setting: one tensor `[batch, ...]` per input variable; other entries are ignored.

        Raises:
            ValueError: if an input is missing, or tensors disagree in their batch dimension.
        """
        return self._run(setting, {}, None)

    def interchange(
        self,
        base: Setting,
        sources: Setting | Mapping[str, Setting],
        variables: Sequence[str],
        intervened: Bool[Tensor, "batch variables"] | None = None,
    ) -> dict[str, Tensor]:
        """Values of all variables on `base`, with `variables` fixed to their values on their sources.

        Args:
            base: inputs that the model runs on.
            sources: one setting shared by all `variables`, or one setting per variable, by name.
            variables: what is fixed; inputs and the output may be fixed too.
            intervened: which rows fix which variable; None means every row fixes them all.

        Raises:
            ValueError: for an unknown variable, a variable without source, or mismatched batches.
        """
        fixed = {}
        for name in variables:
            if name not in self._variables:
                raise ValueError(f"variables={name}: the causal model has {list(self._order)}")
            source = sources if not _per_variable(sources) else sources.get(name)
            if source is None:
                raise ValueError(f"sources: none for variable {name}; there are {sorted(sources)}")
            fixed[name] = self.run(source)[name]  # pyright: ignore[reportArgumentType]
        rows = None if intervened is None else dict(zip(variables, intervened.unbind(1), strict=True))
        return self._run(base, fixed, rows)

    def _run(
        self, setting: Setting, fixed: Mapping[str, Tensor], rows: Mapping[str, Tensor] | None
    ) -> dict[str, Tensor]:
        missing = [name for name in self.inputs if name not in setting]
        if missing:
            raise ValueError(f"setting: no value for {missing}; the inputs are {list(self.inputs)}")
        values: dict[str, Tensor] = {}
        batch = len(setting[self.inputs[0]])
        for name in self._order:
            variable = self._variables[name]
            if variable.mechanism is None:
                value = setting[name]
            else:
                value = variable.mechanism(*(values[parent] for parent in variable.parents))
            if value.shape[:1] != (batch,):
                raise ValueError(f"{name}: shape {tuple(value.shape)} does not begin with the batch {batch}")
            if name in fixed:
                value = _fix(name, value, fixed[name], None if rows is None else rows[name])
            values[name] = value
        return values

    def graph(self) -> nx.DiGraph:
        """The graph, parents pointing at children; nodes carry `role`: input, inner or output."""
        graph = nx.DiGraph()
        for name, variable in self._variables.items():
            role = "output" if name == self.output else "inner" if variable.mechanism else "input"
            graph.add_node(name, role=role)
        graph.add_edges_from(
            (parent, variable.name) for variable in self._variables.values() for parent in variable.parents
        )
        return graph


def _per_variable(sources: Setting | Mapping[str, Setting]) -> bool:
    return any(isinstance(value, Mapping) for value in sources.values())


def _fix(name: str, value: Tensor, fixed: Tensor, rows: Tensor | None) -> Tensor:
    if value.shape != fixed.shape:
        raise ValueError(
            f"{name}: its source value has shape {tuple(fixed.shape)}, its base value {tuple(value.shape)}"
        )
    if rows is None:
        return fixed
    return torch.where(rows.view(-1, *[1] * (value.ndim - 1)), fixed, value)
