"""Decoders through TransformerLens's bridge, against the bridge run whole and plain Hugging Face; no hub."""

import copy
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from iit_lab.models import bridge_blocks, bridge_probe
from iit_lab.models.base import Point
from iit_lab.models.bridge import Bridge
from iit_lab.models.bridge_probe import COMPONENTS
from iit_lab.randomness import generator_for
from iit_lab.results import artefacts
from iit_lab.sites import Site

VOCABULARY, POSITIONS, BATCH = 40, 5, 3
TOKENS = torch.randint(VOCABULARY, (BATCH, POSITIONS), generator=generator_for(0, "tokens"))
CLOSE = {"atol": 1e-5, "rtol": 0}

GPT2 = {"n_layer": 2, "n_embd": 32, "n_head": 4, "n_positions": 8, "bos_token_id": 0, "eos_token_id": 1}
COMMON = {
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 8,
}
GROUPED = {**COMMON, "num_key_value_heads": 2}
KINDS = {
    "gpt2": ("GPT2", GPT2),
    "llama": ("Llama", GROUPED),
    "pythia": ("GPTNeoX", COMMON),
    "qwen2": ("Qwen2", GROUPED),
    "gemma2": ("Gemma2", {**GROUPED, "head_dim": 8, "sliding_window": 3}),
    "bloom": ("Bloom", {"n_layer": 2, "hidden_size": 32, "n_head": 4}),
    "phi3": ("Phi3", {**GROUPED, "pad_token_id": 0}),
    "granite": ("Granite", {**GROUPED, "residual_multiplier": 0.5, "logits_scaling": 2.0}),
    "mixtral": ("Mixtral", {**GROUPED, "num_local_experts": 4}),
}
NATIVE = {
    "native": {"n_layers": 2, "d_model": 32, "d_head": 8, "n_ctx": 8, "act_fn": "gelu"},
    "native_rotary": {
        "n_layers": 2,
        "d_model": 32,
        "d_head": 8,
        "rotary_dim": 8,
        "n_key_value_heads": 2,
        "gated_mlp": True,
        "normalization_type": "RMS",
        "positional_embedding_type": "rotary",
    },
}
ALL = [*KINDS, *NATIVE]


def causal_lm(name: str) -> nn.Module:
    prefix, sizes = KINDS[name]
    config = getattr(transformers, f"{prefix}Config")(vocab_size=VOCABULARY, initializer_range=0.2, **sizes)
    kind = "LMHeadModel" if name == "gpt2" else "ForCausalLM"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return getattr(transformers, f"{prefix}{kind}")(config).eval()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # tiny networks run fastest so


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("decoders")
    for name in KINDS:
        causal_lm(name).save_pretrained(path / name)
    return path


@pytest.fixture(scope="module")
def build(folders: Path):
    def build(name: str, n_classes: int = VOCABULARY, **arguments) -> Bridge:
        source = {"config": NATIVE[name]} if name in NATIVE else {"pretrained": str(folders / name)}
        return Bridge((POSITIONS,), n_classes, generator_for(0, "network"), **source, **arguments)

    return build


@pytest.fixture(scope="module")
def shared(build):
    """Networks that no test changes."""
    built: dict[str, Bridge] = {}

    def shared(name: str) -> Bridge:
        if name not in built:
            built[name] = build(name)
        return built[name]

    return shared


@pytest.mark.parametrize("name", ALL)
@torch.no_grad()
def test_logits_are_the_bridge_s_own_and_hugging_face_s(shared, name):
    logits = shared(name)(TOKENS)
    torch.testing.assert_close(logits, shared(name).bridge(TOKENS)[:, -1], **CLOSE)
    if name in KINDS:
        torch.testing.assert_close(logits, causal_lm(name)(TOKENS).logits[:, -1], **CLOSE)


@pytest.mark.parametrize("name", ALL)
@torch.no_grad()
def test_activations_are_run_with_cache_s(shared, name):
    model = shared(name)
    _, cache = model.bridge.run_with_cache(TOKENS)
    paths = {**COMPONENTS, "block_input": "hook_resid_pre", "block_output": "hook_resid_post"}
    sites = model.sites()
    found = {site: cache[f"blocks.{site.layer}.{paths[site.component]}"] for site in sites}
    for site, activation in model.collect(TOKENS, sites).items():
        assert activation.shape[1] == model.width(site)
        torch.testing.assert_close(activation, found[site].flatten(1), **CLOSE)
        assert tuple(found[site].shape[1:]) == model.shapes(site.layer)[site.component]


@pytest.mark.parametrize("name", ALL)
def test_components(shared, name):
    shapes = shared(name).shapes(1)
    missing = {"mlp_activation"} if name == "mixtral" else set()  # experts see tokens one by one
    assert set(shapes) == {"block_input", "block_output", *COMPONENTS} - missing
    heads = (POSITIONS, 4, 8)
    grouped = name in (
        "native_rotary",
        *(each for each, kind in KINDS.items() if kind[1].items() >= GROUPED.items()),
    )
    assert shapes["attention_value_output"] == shapes["query_output"] == heads
    assert shapes["key_output"] == shapes["value_output"] == ((POSITIONS, 2, 8) if grouped else heads)
    assert shapes["block_output"] == shapes["attention_output"] == shapes["mlp_output"] == (POSITIONS, 32)


@pytest.mark.parametrize("name", ALL)
@torch.no_grad()
def test_a_run_cut_in_two_is_the_whole_run(shared, name):
    model = shared(name)
    whole = model(TOKENS)
    for stage in range(model.n_stages + 1):
        kept = model.run(TOKENS, stop=stage)
        torch.testing.assert_close(model.run(kept, start=stage), whole, **CLOSE)


@pytest.mark.parametrize("name", ALL)
@torch.no_grad()
def test_what_was_read_is_written_back_and_anything_else_is_seen(shared, name):
    model = shared(name)
    whole = model(TOKENS)
    for site, values in model.collect(TOKENS, model.sites()).items():
        point = model.point(site.layer, site.component)
        same = model.run(TOKENS, {point: lambda it, site=site, values=values: model.write(it, site, values)})
        torch.testing.assert_close(same, whole, **CLOSE)
        assert not torch.allclose(model.run(TOKENS, {point: lambda it: it.flip(-1)}), whole, atol=1e-3), site


@torch.no_grad()
def test_a_head_is_written_by_hand(shared):
    model = shared("llama")
    site = Site(1, "attention_value_output", positions=(2,), heads=(3,))
    attended = model.collect(TOKENS, [Site(1, "attention_output")])[Site(1, "attention_output")]
    without = []
    edits = {
        Point(2, "attention_value_output"): lambda it: model.write(it, site, torch.zeros(BATCH, 8)),
        Point(2, "attention_output"): lambda it: without.append(it) or it,
    }
    model.run(TOKENS, edits)
    expected = attended.view(BATCH, POSITIONS, 32).clone()
    weight = model.network.model.layers[1].self_attn.o_proj.weight
    expected[:, 2] -= model.collect(TOKENS, [site])[site] @ weight[:, 24:32].mT
    torch.testing.assert_close(without[0], expected, **CLOSE)


@pytest.mark.parametrize("name", ALL)
def test_gradients_reach_every_parameter(build, name):
    model = build(name).train()
    model(TOKENS).logsumexp(1).sum().backward()
    assert not [key for key, parameter in model.named_parameters() if parameter.grad is None]
    if name in KINDS:  # the bridge's copies of split weights are counted once
        assert total(model) == total(causal_lm(name))


def total(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("component", ["block_output", "attention_value_output", "mlp_activation"])
def test_gradients_flow_through_an_edit(build, component):
    model = build("pythia").requires_grad_(False)
    site = Site(0, component, positions=(1,))
    values = torch.randn(BATCH, model.width(site), generator=generator_for(1)).requires_grad_()
    edits = {model.point(0, component): lambda it: model.write(it, site, values)}
    model.run(TOKENS, edits).logsumexp(1).sum().backward()
    assert values.grad is not None and values.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.parameters())


def hooks(model: Bridge) -> int:
    points = [point for layer in model._layout.points for point in layer.values()]
    return sum(len(point.fwd_hooks) + len(point._forward_hooks) for point in points)


@torch.no_grad()
def test_no_hook_is_left_behind(shared):
    model = shared("gpt2")
    whole = model(TOKENS)
    model.run(TOKENS, {Point(1, "mlp_output"): torch.zeros_like})
    assert hooks(model) == 0
    with pytest.raises(ZeroDivisionError):
        model.run(TOKENS, {Point(1, "mlp_output"): lambda it: it / (1 // 0)})
    assert hooks(model) == 0
    assert torch.equal(model(TOKENS), whole)


@torch.no_grad()
def test_an_edit_may_run_the_network(shared):
    model = shared("gpt2")
    others = TOKENS.flip(0)
    edited = {Point(1, "attention_output"): torch.zeros_like}
    alone = model(others), model.run(others, edited)
    inner = []

    def edit(activation):
        inner.extend([model(others), model.run(others, edited)])
        return 2 * activation

    within = model.run(TOKENS, {Point(1, "attention_output"): edit, Point(1, "mlp_output"): torch.zeros_like})
    assert all(torch.equal(one, other) for one, other in zip(inner, alone, strict=True))
    doubled = {Point(1, "attention_output"): lambda it: 2 * it, Point(1, "mlp_output"): torch.zeros_like}
    assert torch.equal(within, model.run(TOKENS, doubled))


@torch.no_grad()
def test_dropout_is_off_in_eval_mode_and_on_in_training(build):
    model = build("gpt2")
    assert not any(module.training for module in model.modules())
    assert torch.equal(model(TOKENS), model(TOKENS))
    model.train()
    assert not torch.equal(model(TOKENS), model(TOKENS))
    model.eval()
    assert torch.equal(model(TOKENS), model(TOKENS))


def test_what_was_seen_in_inference_mode_does_for_training(build):
    model = build("llama")
    with torch.inference_mode():
        model(TOKENS[:1])
    model(TOKENS[:1]).sum().backward()


@torch.no_grad()
def test_batches_of_many_sizes(shared, monkeypatch):
    monkeypatch.setattr(bridge_blocks, "KEPT", 2)
    model = shared("bloom")
    whole = model(TOKENS)
    for size in (1, 2, 3, 1):
        torch.testing.assert_close(model(TOKENS[:size]), whole[:size], **CLOSE)
    assert len(model._layout.shell._arguments) <= 2 + 2


def test_random_weights_come_from_the_generator_alone():
    def weights(seed: int) -> dict[str, torch.Tensor]:
        config = NATIVE["native"]
        return Bridge((POSITIONS,), VOCABULARY, generator_for(seed), config=config).state_dict()

    state = torch.get_rng_state()
    first = weights(0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    again, other = weights(0), weights(1)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["network.head.weight"], other["network.head.weight"])


@pytest.mark.parametrize("name", ALL)
def test_weights_are_stored_once_and_read_back(build, name, tmp_path):
    model, other = build(name), build(name)
    state = model.state_dict()
    assert not [key for key in state if "_original_component" in key]
    assert len({tensor.untyped_storage().data_ptr() for tensor in state.values()}) == len(state)
    save_file(state, tmp_path / "weights.safetensors")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    assert not torch.allclose(other(TOKENS), model(TOKENS), atol=1e-3)
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(other(TOKENS), model(TOKENS))


def test_weights_within_another_module_and_as_an_artefact(build, tmp_path):
    first, second = nn.Sequential(build("gpt2")), nn.Sequential(build("gpt2"))
    with torch.no_grad():
        first[0].network.transformer.h[1].attn.q.weight.zero_()
    assert "0.network.transformer.h.1.attn.q.weight" in first.state_dict()
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(TOKENS), first(TOKENS))
    third = build("gpt2")
    artefacts.save(tmp_path, "network", first[0], {})
    artefacts.load(tmp_path, "network", third)
    assert torch.equal(third(TOKENS), first(TOKENS))
    with pytest.raises(RuntimeError, match="Missing key"):
        third.load_state_dict({})


def test_tied_weights_stay_tied(build):
    model = build("gpt2")
    assert "network.lm_head.weight" not in model.state_dict()
    model.load_state_dict({key: 2 * tensor for key, tensor in model.state_dict().items()})
    hf = model.network
    assert hf.lm_head.weight is hf.transformer.wte.weight


@pytest.mark.parametrize("name", ["gpt2", "granite", "native"])
def test_a_copy_is_a_network_of_its_own(build, name):
    model = build(name)
    model(TOKENS).sum().backward()
    twin = copy.deepcopy(model)
    edits = {Point(1, "attention_output"): torch.zeros_like, Point(2, "mlp_output"): torch.zeros_like}
    assert torch.equal(twin.run(TOKENS, edits), model.run(TOKENS, edits))
    whole = model(TOKENS)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(1.5)
    assert torch.equal(model(TOKENS), whole)
    assert not torch.allclose(twin(TOKENS), whole, atol=1e-3)
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin(TOKENS), whole)


def test_logits_of_the_answers(shared, build):
    answers = [7, 0, 30]
    logits = build("pythia", 3, answers=answers)(TOKENS)
    torch.testing.assert_close(logits, shared("pythia")(TOKENS)[:, answers])


def test_one_logit_per_class_without_answers():
    config = {**NATIVE["native"], "n_layers": 1}
    model = Bridge((POSITIONS,), 3, generator_for(0), config=config, vocabulary=VOCABULARY)
    assert model(TOKENS).shape == (BATCH, 3)
    assert model.describe() == "bridge, 1 layers x 32"


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_dtype(build, dtype):
    model = build("gpt2", dtype=dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {getattr(torch, dtype)}
    assert model(TOKENS).dtype == getattr(torch, dtype)
    assert model.double()(TOKENS).dtype == torch.float64


SMALL = NATIVE["native"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "pretrained=None: give either this, or a config"),
        ({"pretrained": "x", "config": SMALL}, "pretrained=x: give either this, or a config"),
        ({"pretrained": "no/such folder"}, "pretrained=no/such folder: "),
        ({"config": SMALL, "input_shape": (4, 4)}, r"input_shape=\[4, 4\]: a prompt is one row of tokens"),
        ({"config": SMALL, "input_shape": (9,)}, "n_ctx=8: the prompts have 9 tokens"),
        ({"config": {**SMALL, "d_vocab": 30}}, "answers=None: 30 logits for 40 classes"),
        ({"config": {**SMALL, "d_vocab": 30}, "vocabulary": 31}, "d_vocab=30: the tokenizer has 31 entries"),
        ({"config": SMALL, "answers": [1, 2]}, "answers: 2 tokens for 40 classes"),
        (
            {"config": SMALL, "answers": [1, 40], "n_classes": 2, "vocabulary": 40},
            r"answers=\[40\]: .* 0..39",
        ),
        ({"config": SMALL, "dtype": "int8"}, "dtype=int8: one of float32"),
        ({"config": {**SMALL, "seed": 3}}, "config.seed=3: model.seed"),
        ({"config": {**SMALL, "n_layer": 3}}, "unexpected keyword argument 'n_layer'"),
        ({"config": {"d_model": 32}}, "missing 2 required positional arguments: 'd_head' and 'n_layers'"),
        ({"config": {**SMALL, "act_fn": "step"}}, "Unsupported act_fn='step'"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_refused(arguments, message):
    arguments = {"input_shape": (POSITIONS,), "n_classes": VOCABULARY, **arguments}
    with pytest.raises(ValueError, match=message):
        Bridge(generator=generator_for(0), **arguments)


def test_networks_of_another_kind_are_refused(tmp_path):
    config = transformers.GPT2Config(vocab_size=VOCABULARY, **GPT2)
    transformers.GPT2ForSequenceClassification(config).save_pretrained(tmp_path / "classifier")
    t5 = {"num_layers": 1, "d_model": 32, "num_heads": 4, "d_kv": 8, "d_ff": 48, "vocab_size": VOCABULARY}
    encoder_decoder = transformers.T5ForConditionalGeneration(transformers.T5Config(**t5))
    encoder_decoder.save_pretrained(tmp_path / "t5")
    for name, message in {"classifier": "is a GPT2ForSequenceClass", "t5": "is no decoder"}.items():
        with pytest.raises(ValueError, match=message):
            Bridge((POSITIONS,), VOCABULARY, generator_for(0), pretrained=str(tmp_path / name))


@pytest.mark.parametrize("method", ["embed", "logits"])
def test_blocks_that_are_no_chain_are_refused(monkeypatch, method):
    plain = getattr(bridge_probe.Shell, method)
    monkeypatch.setattr(bridge_probe.Shell, method, lambda self, value: plain(self, value) * 1.1)
    with pytest.raises(ValueError, match="Native cannot be run block by block"):
        Bridge((POSITIONS,), VOCABULARY, generator_for(0), config=SMALL)


def test_inputs_that_are_no_tokens_are_refused(shared):
    with pytest.raises(ValueError, match="reads tokens, not torch.float32"):
        shared("native")(torch.zeros(BATCH, POSITIONS))
