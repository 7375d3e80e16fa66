"""A Chip as a module: how it is copied and kept, and what it refuses."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from chip_graphs import GRAPHS
from chip_networks import SIZE, STEPS, VARIABLES, Rich, chip_of, differences, exported, inputs, made, shaken
from torch import Tensor, nn

import neuro_deploy as nd
from neuro_deploy.backends import simulate
from neuro_deploy.errors import InputError, UnsupportedError
from neuro_deploy.train.chip import Chip
from neuro_deploy.train.chip.module import _Execution


@pytest.fixture
def chip() -> Chip:
    return chip_of(Rich)


@pytest.fixture(params=["legacy", "new", "both"])
def reduced(request: pytest.FixtureRequest) -> Iterator[None]:
    """Float32 products may be made by TF32 and bf16, as far as torch is told so; by both ways torch shows neither."""
    legacy, new = request.param != "new", request.param != "legacy"
    if new and not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        pytest.skip("a torch without it")
    backends: list[Any] = [torch.backends.cuda.matmul, *([torch.backends.mkldnn.matmul] if new else [])]
    before = torch.get_float32_matmul_precision()
    if legacy:
        torch.set_float32_matmul_precision("medium")
    if new:
        backends[0].fp32_precision, backends[1].fp32_precision = "tf32", "bf16"
    yield
    for backend in backends if new else ():
        backend.fp32_precision = "none"
    torch.set_float32_matmul_precision(before)


@pytest.fixture
def x() -> Tensor:
    return torch.from_numpy(inputs(Rich))


def test_a_copy_is_a_network_of_its_own(chip: Chip, x: Tensor) -> None:
    shaken(chip)
    before, other = chip.program(), copy.deepcopy(chip)
    assert other.program() == before and other.frozen is chip.frozen
    assert torch.equal(other(x), chip(x))
    shaken(other, seed=9)
    assert chip.program() == before != other.program()
    average = torch.optim.swa_utils.AveragedModel(chip)
    average.update_parameters(chip)
    assert average.module.program() == before


def test_a_state_is_loaded_into_a_chip_of_the_same_formats(chip: Chip) -> None:
    shaken(chip)
    file = io.BytesIO()
    torch.save(chip.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    other = chip_of(Rich)
    assert other.program() != chip.program()
    other.load_state_dict(state)
    assert other.program() == chip.program()


def test_a_state_in_other_scales_is_refused(chip: Chip) -> None:
    """Its weights would be rounded to other integers, without a word."""
    model = made(Rich, 3)
    with pytest.raises(RuntimeError, match=r"the state is of other formats .* made by to_chip of the same graph"):
        chip.load_state_dict(nd.to_chip(exported(model), model).state_dict())
    old = {name: value for name, value in chip.state_dict().items() if name != "formats"}
    chip.load_state_dict(old)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_none_are_refused_by_name(chip: Chip, x: Tensor, value: float) -> None:
    with torch.no_grad():
        chip.weights["b"][0, 0] = chip.weights["b"][1, 1] = value
        chip.biases["fire_a"][2] = value
        chip.population("skip").raw_alpha[0] = value
    where = r"b: 2 weights are NaN or infinite; .*\n  fire_a: 1 biases .*\n  skip: 1 sharpnesses"
    for act in (lambda: chip(x), chip.program, chip.integers, chip.scaled_back, lambda: nd.export_nir(chip)):
        with pytest.raises(UnsupportedError, match=where):
            act()


def test_what_torch_may_do_with_float32_changes_nothing(chip: Chip, x: Tensor, reduced: None) -> None:
    """Design ruling 8: no product is left to an arithmetic in which it might not be exact."""
    loss = chip(x).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    trace = simulate(chip.program(), x.numpy(), "sim", VARIABLES)
    assert not any(differences(chip, x.numpy(), trace).values())
    wide = replace(chip.frozen, encoders=(replace(chip.frozen.encoders[0], bits=12, high=4095),))
    found = _Execution(Chip(wide, chip.target).eval(), torch.zeros(1, 1, SIZE).double()).hows
    assert found["a"].dtype is torch.float64 and found["b"].dtype is torch.float32


def test_more_steps_than_the_bounds_hold_for_are_refused(chip: Chip, x: Tensor) -> None:
    chip.eval()
    message = rf"{STEPS + 1} steps, but the program's bounds hold for {STEPS}; .* max_steps={STEPS + 1}"
    long = torch.cat([x, x[:1]])
    for act in (chip, chip.states, chip.encode, lambda x: chip.record(x.numpy())):
        with pytest.raises(InputError, match=message):
            act(long)
    model = made(Rich)
    longer = nd.to_chip(exported(model), model, max_steps=STEPS + 1).eval()
    trace = simulate(longer.program(), long.numpy(), "sim", VARIABLES)
    assert not any(differences(longer, long.numpy(), trace).values())


class Held(nn.Module):
    """What a skip adds leaves the registers in time, but for a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.first = nn.Linear(SIZE, SIZE), nd.nn.CirculateFire(0.5, 0.3, 3)
        self.c, self.mid = nn.Linear(SIZE, SIZE), nd.nn.CirculateFire(0.5, 0.3, 3)
        self.b, self.last = nn.Linear(SIZE, SIZE), nd.nn.CirculateFire(1.0, 0.1, 1)

    def forward(self, x: Tensor) -> Tensor:
        s = self.first(self.a(x))
        return self.last(s + self.b(self.mid(self.c(s))))


def held(**options: Any) -> Chip:
    model = made(Held)
    with torch.no_grad():
        model.b.weight.mul_(0.02)
        model.b.bias.fill_(-1.2)
    return nd.to_chip(exported(model), model, **options)


def test_a_skip_and_a_bias_stay_inside_what_is_proven() -> None:
    chip = held(max_steps=300)
    with torch.no_grad():
        chip.biases["last"].add_(1.2)
    assert chip.scaled_back() == SIZE
    program = chip.program()
    assert program.proven and nd.compile(nd.export_nir(chip), exact=True) == program


def test_a_room_that_nothing_fits_is_refused_by_name() -> None:
    chip = held()
    assert chip.scaled_back() == 0
    chip.population("last").room.fill_(1.0)
    with pytest.raises(UnsupportedError, match=f"last: the sums of {SIZE} neurons leave their registers, however"):
        chip.program()


def test_gradients_reach_what_feeds_a_chip(chip: Chip, x: Tensor) -> None:
    """Rounding passes them, clipping does not."""
    encoder, x = chip.frozen.encoders[0], x.clone()
    x[0, 0, :3] = torch.tensor([-5.0, 1e6, 0.3])
    x.requires_grad_()
    encoded = chip.encode(x)
    assert encoded.min() == encoder.low and encoded.max() == encoder.high
    (passed,) = torch.autograd.grad(encoded.sum(), x)
    assert passed[0, 0].tolist()[:3] == [0, 0, pytest.approx(encoder.numerator / encoder.denominator)]
    (grad,) = torch.autograd.grad(chip(x).sum(), x)
    assert grad[0, 0, :2].tolist() == [0, 0] and grad.count_nonzero() > grad.numel() / 4


def test_another_dtype_changes_no_integer(chip: Chip, x: Tensor) -> None:
    before, sent = chip.program(), chip(x)
    for cast in (chip.double, chip.float):
        cast()
        assert chip.program() == before and torch.equal(chip(x), sent)
    chip.half()
    with pytest.raises(UnsupportedError, match=r"a: weights are torch.float16; a Chip's parameters are float32"):
        chip(x)
    with pytest.raises(UnsupportedError, match="float16"):
        chip.program()
    chip.float()
    with torch.no_grad():
        for parameter, whole in zip(chip.parameters(), chip_of(Rich).parameters(), strict=True):
            parameter.copy_(whole)
    assert chip.program() == before


def test_gradients_are_the_same_whatever_autocast_says(chip: Chip, x: Tensor) -> None:
    def gradients(inside: bool) -> list[Tensor]:
        loss = chip(x).square().sum()
        with torch.autocast("cpu", torch.bfloat16, enabled=inside):
            return [*torch.autograd.grad(loss, [*chip.weights.values()])]

    assert all(torch.equal(a, b) for a, b in zip(gradients(True), gradients(False), strict=True))


def test_a_layer_of_which_a_part_is_learned_is_refused() -> None:
    model: Any = made(Rich)
    model.b.bias.requires_grad_(False)
    with pytest.raises(UnsupportedError, match="b: only some of its parameters require gradients; freeze all"):
        nd.to_chip(exported(model), model)
    model.b.weight.requires_grad_(False)
    assert "b" not in nd.to_chip(exported(model), model).weights


@pytest.mark.parametrize("name", ["images", "residual", "recurrent"])
def test_no_samples_are_a_batch_too(name: str) -> None:
    chip = nd.to_chip(GRAPHS[name]())
    sent = chip(torch.zeros(3, 0, *chip.frozen.encoders[0].shape))
    assert sent.shape[:2] == (3, 0)
    sent.sum().backward()
