#!/usr/bin/env python3
"""Makes the golden data, the files of this folder. Nothing that builds or tests the library runs this.

    python3 make.py REFERENCE [--diffusers CHECKOUT] [--fresh SEED] [--into FOLDER] [FILE ...]

REFERENCE is a checkout of yang-song/score_sde_pytorch at cb1f359, CHECKOUT one of huggingface/diffusers at v0.30.0;
without it its files are left out. Python 3.11, PyTorch 1.13, NumPy 1.24 and SciPy 1.10 made the files that are here.

Both are under the Apache License 2.0. They run, and nothing of them is copied here: the files hold what their functions
return. Pieces of the reference's text which keep it from running on a CPU and in this PyTorch, and its RefineNets from
being what the original repositories have, are replaced as they are read (MENDS); no file of it is changed.

What is drawn at random (weights, pictures, times, noise) is read from the files beside this script, and everything else
is computed anew: the same bits on the same machine, a last bit or two elsewhere. With --fresh it is drawn anew, and the
tests must pass with that too, but for flow_golden's 1e-4: at a tolerance of 1e-5 float takes single steps that double
refuses, or the other way, which cost up to 1.4e-4 in three of eight draws. Files written by torch.save alone, and
ddpmpp_vp.trained.pth, whose training draws from PyTorch's generator, are always made anew. Every file made is compared
with the one beside this script.

The files df_NAME.* are not made here: they hold what diffusers' modules at 58eb52c (0.40.0.dev0) return for weights drawn
at random, under the same PyTorch on the CPU in single precision. Nor are gd_NAME.*: the same of the modules and the
training loop's state dicts of guided-diffusion at 22e0df8, whose Gaussian diffusion gave mean, log variance and x(0).
"""
import argparse
import collections
import datetime
import decimal
import fractions
import functools
import importlib.machinery
import json
import math
import pathlib
import struct
import sys
import types
import unittest.mock
import uuid
import warnings

import numpy as np
import torch

HERE = pathlib.Path(__file__).resolve().parent
options = None   # of the command line
generator = None  # of --fresh


# ---- safetensors ----

DTYPES = {"F16": torch.float16, "F32": torch.float32, "F64": torch.float64, "I64": torch.int64}


def read_tensors(path):
    """The tensors of a file, and its metadata."""
    data = path.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        piece = bytearray(data[start + first:start + last])
        tensors[name] = torch.frombuffer(piece, dtype=DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata


def write_tensors(path, tensors, metadata):
    names = {dtype: name for name, dtype in DTYPES.items()}
    header, data = {"__metadata__": metadata}, b""
    for name, tensor in tensors.items():
        piece = tensor.detach().contiguous().numpy().tobytes()
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@functools.lru_cache(maxsize=None)
def beside(file):
    return read_tensors(HERE / file)[0]


def drawn(file, name, fresh):
    """What was drawn at random for this tensor of this file, or what fresh(generator) draws in its place."""
    return fresh(generator) if options.fresh is not None else beside(file)[name].clone()


def normal(*shape):
    return lambda g: torch.randn(shape, generator=g)


def uniform(low, high, *shape):
    return lambda g: low + (high - low) * torch.rand(shape, generator=g)


def signs(*shape):
    return lambda g: 2.0 * torch.randint(0, 2, shape, generator=g) - 1.0


# ---- the reference ----

# What keeps the reference from running in PyTorch on a CPU, (text, what it should be).
MENDS = {
    "models.normalization": [
        ("    elif norm == 'GroupNorm':", "    elif norm == 'NoneNorm':\n      return NoneNorm2d\n    elif norm == 'GroupNorm':")],
    "models.layers": [
        ("dilation=dilation, padding=padding, kernel_size=3)\n  conv.weight.data *= init_scale\n  conv.bias.data",
         "dilation=dilation, padding=padding * dilation, kernel_size=3)\n  conv.weight.data *= init_scale\n"
         "  if bias: conv.bias.data"),
        ("normalization=ConditionalInstanceNorm2dPlus, adjust_padding=False, dilation=None",
         "normalization=ConditionalInstanceNorm2dPlus, adjust_padding=False, dilation=1")],
    "models.ncsnv2": [
        ("import get_normalization\n", "import get_normalization, ConditionalInstanceNorm2dPlus\n"),
        ("class NCSN(nn.Module):\n  def __init__(self, config):\n    super().__init__()\n"
         "    self.centered = config.data.centered\n    self.norm = get_normalization(config)",
         "class NCSN(nn.Module):\n  def __init__(self, config):\n    super().__init__()\n"
         "    self.centered = config.data.centered\n    self.norm = ConditionalInstanceNorm2dPlus")],
    "models.up_or_down_sampling": [
        ("w[..., ::-1, ::-1]", "torch.flip(w, [3, 4])"),
        ("stride = [1, 1, factor, factor]", "stride = (factor, factor)")],
    "models.layerspp": [("(H * 2, W * 2), 'nearest')", "(H * 2, W * 2), mode='nearest')")],
    "models.ddpm": [("    if conditional:\n", "    modules = []\n    if conditional:\n"),
                    ("self.sigmas[labels, None", "self.sigmas[labels.long(), None")]}


def import_mended(name):
    path = options.reference / (name.replace(".", "/") + ".py")
    source = path.read_text()
    for old, new in MENDS[name]:
        assert source.count(old) == 1, f"{path} is not that of cb1f359"
        source = source.replace(old, new)
    package, short = name.split(".")
    module = types.ModuleType(name)
    module.__package__ = package
    sys.modules[name] = module
    exec(compile(source, path, "exec"), module.__dict__)
    setattr(sys.modules[package], short, module)


def import_reference():
    """The reference on a CPU: its CUDA extensions are not built, since upfirdn2d_native does without."""
    import torch.utils.cpp_extension
    torch.utils.cpp_extension.load = lambda *arguments, **others: None
    sys.path.insert(0, str(options.reference))
    import models
    for name in MENDS:
        import_mended(name)
    import models.ncsnpp


def configuration(flat):
    """{"model.nf": 8, ...} as the reference reads it: configuration.model.nf."""
    config = types.SimpleNamespace()
    for key, value in flat.items():
        part, name = key.split(".")
        if not hasattr(config, part):
            setattr(config, part, types.SimpleNamespace())
        setattr(getattr(config, part), name, value)
    return config


def sde_of(config):
    import sde_lib
    m = config.model
    if config.training.sde == "vesde":
        return sde_lib.VESDE(m.sigma_min, m.sigma_max, m.num_scales)
    kind = sde_lib.VPSDE if config.training.sde == "vpsde" else sde_lib.subVPSDE
    return kind(m.beta_min, m.beta_max, m.num_scales)


# ---- networks: NAME.weights.safetensors, NAME.io.safetensors ----

NETWORK = {
    "model.sigma_min": 0.01, "model.sigma_max": 50, "model.num_scales": 1000, "model.beta_min": 0.1,
    "model.beta_max": 20.0, "model.dropout": 0.1, "model.embedding_type": "positional", "model.name": "ncsnpp",
    "model.scale_by_sigma": False, "model.ema_rate": 0.9999, "model.normalization": "GroupNorm",
    "model.nonlinearity": "swish", "model.nf": 8, "model.ch_mult": [1, 2], "model.num_res_blocks": 1,
    "model.attn_resolutions": [4], "model.resamp_with_conv": True, "model.conditional": True, "model.fir": False,
    "model.fir_kernel": [1, 3, 3, 1], "model.skip_rescale": True, "model.resblock_type": "biggan",
    "model.progressive": "none", "model.progressive_input": "none", "model.progressive_combine": "sum",
    "model.attention_type": "ddpm", "model.init_scale": 0.0, "model.fourier_scale": 16, "model.conv_size": 3,
    "data.dataset": "CIFAR10", "data.image_size": 8, "data.random_flip": True, "data.centered": True,
    "data.uniform_dequantization": False, "data.num_channels": 3, "training.sde": "vpsde", "training.continuous": True}
VE = {"model.embedding_type": "fourier", "model.scale_by_sigma": True, "model.ema_rate": 0.999, "model.fir": True,
      "model.progressive_input": "residual", "data.centered": False, "training.sde": "vesde"}
# what differs from NETWORK, and the parameters whose gradients are kept
NETWORKS = {
    "ddpmpp_vp": ({}, "0.weight 5.Conv_2.weight 9.GroupNorm_1.bias 13.GroupNorm_0.bias 17.bias 17.weight"),
    "ddpmpp_subvp_1ch": ({"data.num_channels": 1, "training.sde": "subvpsde"},
                         "0.weight 5.Conv_2.weight 9.GroupNorm_1.bias 13.GroupNorm_0.bias 17.bias 17.weight"),
    "ncsnpp_ve": (VE, "1.weight 7.Conv_1.bias 11.GroupNorm_1.weight 15.GroupNorm_0.bias 19.bias 19.weight"),
    "ncsnpp_ve_skip": ({**VE, "model.ch_mult": [1, 2, 2], "model.attn_resolutions": [8], "data.image_size": 16,
                        "model.progressive": "output_skip", "model.progressive_input": "input_skip"},
                       "1.weight 9.Dense_0.weight 15.GroupNorm_1.weight 21.Conv_2.weight 29.bias 29.weight"),
    "ddpm_vp": ({"model.name": "ddpm", "model.nf": 32, "model.ch_mult": [1, 1]},
                "0.weight 6.NIN_1.b 9.Conv_1.weight 12.NIN_2.b 17.bias 17.weight")}


def random_weights(model):
    """The reference's initialisation, with values for whatever it makes zero or constant, so that all of it shows."""
    from models import layers
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
            elif parameter.abs().max() < 1e-3:
                parameter.copy_(layers.default_init()(parameter.shape))


def network(name):
    """(model, configuration, configuration as text): the reference's network with its weights."""
    from models import utils
    flat = {**NETWORK, **NETWORKS[name][0]}
    config = configuration(flat)
    model = utils.get_model(config.model.name)(config).eval()
    if options.fresh is None:
        weights = beside(name + ".weights.safetensors")
    else:
        made = options.into / (name + ".weights.safetensors")
        if not made.exists():
            torch.manual_seed(options.fresh)
            random_weights(model)
            return model, config, json.dumps(flat)
        weights = read_tensors(made)[0]
    assert list(weights) == [parameter for parameter, _ in model.named_parameters()]
    model.load_state_dict(weights, strict=False)  # all but the buffer of sigmas
    return model, config, json.dumps(flat)


def make_weights(file):
    model, _, flat = network(file.split(".")[0])
    write_tensors(options.into / file, {name: value.data for name, value in model.named_parameters()}, {"config": flat})


def labels_of(config, t):
    """What the continuous networks are told of t."""
    return sde_of(config).marginal_prob(torch.zeros(1), t)[1] if config.training.sde == "vesde" else t * 999


def denoising_losses(score, z, std, g2=None):
    """losses.py, get_sde_loss_fn, per row: half the sum of squares, weighted by std^2, or likelihood with g2."""
    each = score * std[:, None, None, None] + z if g2 is None else score + z / std[:, None, None, None]
    return 0.5 * torch.sum(torch.square(each).reshape(len(z), -1), dim=-1) * (1.0 if g2 is None else g2)


def make_io(file):
    from models import utils
    name = file.split(".")[0]
    model, config, flat = network(name)
    sde = sde_of(config)
    shape = (2, config.data.num_channels, config.data.image_size, config.data.image_size)
    low = -1.0 if config.data.centered else 0.0
    x = drawn(file, "x", uniform(low, 1.0, *shape)).requires_grad_(True)
    t = drawn(file, "t", uniform(0.2, 0.9, 2))
    labels, out = labels_of(config, t), {}
    raw = model(x, labels)
    out.update(x=x, t=t, labels=labels, out=raw)
    score_fn = utils.get_score_fn(sde, model, train=False, continuous=True)
    out["score"] = score_fn(x, t)
    out["vjp_v"] = drawn(file, "vjp_v", signs(*shape))
    out["vjp_x"] = torch.autograd.grad(raw, x, out["vjp_v"])[0]
    x0 = out["dsm_x0"] = drawn(file, "dsm_x0", uniform(low, 1.0, *shape))
    z = out["dsm_z"] = drawn(file, "dsm_z", normal(*shape))
    mean, std = sde.marginal_prob(x0, t)
    score = score_fn(mean + std[:, None, None, None] * z, t)
    out["dsm_losses"] = denoising_losses(score, z, std)
    out["dsm_losses_likelihood_weighted"] = denoising_losses(score, z, std, sde.sde(torch.zeros_like(x0), t)[1] ** 2)
    loss = out["dsm_losses"].mean()
    out["dsm_loss"] = loss.reshape(1)
    loss.backward()
    gradients = {"all_modules." + key: dict(model.named_parameters())["all_modules." + key].grad
                 for key in NETWORKS[name][1].split()}
    out.update({"grad/" + key: value for key, value in gradients.items()})
    squares = [p.grad.double().square().sum() for p in model.parameters() if p.grad is not None]
    out["grad_norm"] = torch.sqrt(sum(squares)).float().reshape(1)
    write_tensors(options.into / file, out, {"config": flat})


# ---- checkpoints as the reference's utils.py saves them: ddpmpp_vp.checkpoint.pth, ddpmpp_vp.trained.pth ----

def checkpoint(path, model, optimizer, ema, step):
    state = {"optimizer": optimizer.state_dict(), "model": model.state_dict(), "ema": ema.state_dict(), "step": step}
    torch.save(state, path)


def optimisation():
    """What configs/default_cifar10_configs.py says of it."""
    return types.SimpleNamespace(optim=types.SimpleNamespace(
        optimizer="Adam", lr=2e-4, beta1=0.9, eps=1e-8, weight_decay=0, warmup=5000, grad_clip=1.0))


def make_checkpoint(file):
    """The optimiser has taken no step; the averages are other values than the weights."""
    import losses
    from models.ema import ExponentialMovingAverage
    model = torch.nn.DataParallel(network("ddpmpp_vp")[0])
    ema = ExponentialMovingAverage(model.parameters(), decay=0.999)
    ema.num_updates = 1
    if options.fresh is None:
        state = torch.load(HERE / file, map_location="cpu")
        model.load_state_dict(state["model"])
        ema.shadow_params = state["ema"]["shadow_params"]
    else:
        with torch.no_grad():
            for values in ema.shadow_params + list(model.parameters()):
                values += 0.01 * torch.randn(values.shape, generator=generator)
    checkpoint(options.into / file, model, losses.get_optimizer(optimisation(), model.parameters()), ema, 1234)


def make_trained(file):
    """Four steps of the reference's training at step 6000, behind its warm-up; its learning rate is NumPy's number."""
    import losses
    from models.ema import ExponentialMovingAverage
    torch.manual_seed(options.fresh or 0)
    made, config, _ = network("ddpmpp_vp")
    model = torch.nn.DataParallel(made)
    ema = ExponentialMovingAverage(model.parameters(), decay=0.9999)
    how = optimisation()
    state = dict(model=model, optimizer=losses.get_optimizer(how, model.parameters()), ema=ema, step=6000)
    step = losses.get_step_fn(sde_of(config), train=True, optimize_fn=losses.optimization_manager(how),
                              reduce_mean=True, continuous=True, likelihood_weighting=False)
    for _ in range(4):
        step(state, 2.0 * torch.rand(2, 3, 8, 8) - 1.0)
    checkpoint(options.into / file, model, state["optimizer"], ema, state["step"])


def outputs_of(pth, x, t, sets):
    """x, t, labels and what the network of a checkpoint returns with each of its sets of weights."""
    model, config, flat = network("ddpmpp_vp")
    made = options.into / pth
    state = torch.load(made if made.exists() else HERE / pth, map_location="cpu")
    out = {"x": x, "t": t, "labels": labels_of(config, t)}
    for name in sets:
        if name == "out_model":
            weights = {key.replace("module.", "", 1): value for key, value in state["model"].items()}
            model.load_state_dict(weights)
        else:
            for parameter, value in zip(model.parameters(), state["ema"]["shadow_params"]):
                parameter.data.copy_(value)
        out[name] = model(x, out["labels"])
    return out, flat


def make_checkpoint_io(file):
    out, _ = outputs_of("ddpmpp_vp.checkpoint.pth", drawn(file, "x", normal(2, 3, 8, 8)),
                        drawn(file, "t", uniform(0.1, 0.9, 2)), ["out_ema"])
    write_tensors(options.into / file, out,
                  {"note": "output of the model with the EMA parameters of ddpmpp_vp.checkpoint.pth"})


def make_trained_io(file):
    """On the inputs of ddpmpp_vp.io.safetensors."""
    of = "ddpmpp_vp.io.safetensors"
    x = drawn(of, "x", uniform(-1.0, 1.0, 2, 3, 8, 8))
    out, flat = outputs_of("ddpmpp_vp.trained.pth", x, drawn(of, "t", uniform(0.2, 0.9, 2)),
                           ["out_model", "out_ema"])
    write_tensors(options.into / file, out, {"config": flat})


# ---- flags that those networks lack: unet_flags.safetensors, score_scaling.safetensors ----

FLAGS = {
    "data.image_size": 8, "data.num_channels": 2, "data.centered": True, "model.name": "ncsnpp", "model.nf": 8,
    "model.ch_mult": [1, 2], "model.num_res_blocks": 1, "model.attn_resolutions": [4], "model.dropout": 0.1,
    "model.resamp_with_conv": True, "model.conditional": True, "model.fir": True, "model.fir_kernel": [1, 3, 3, 1],
    "model.skip_rescale": True, "model.resblock_type": "biggan", "model.progressive": "residual",
    "model.progressive_input": "residual", "model.progressive_combine": "sum", "model.embedding_type": "positional",
    "model.fourier_scale": 16, "model.init_scale": 0, "model.scale_by_sigma": False}
PLAIN = {"model.progressive": "none", "model.progressive_input": "none"}
FLAGS_CASES = [
    {},
    {"model.fir": False, "model.progressive_input": "input_skip", "model.progressive_combine": "cat"},
    {"data.centered": False, "model.progressive": "output_skip", "model.progressive_input": "input_skip",
     "model.progressive_combine": "cat", "model.embedding_type": "fourier", "model.scale_by_sigma": True},
    {"model.resblock_type": "ddpm", **PLAIN},
    {"model.resamp_with_conv": False, "model.skip_rescale": False, "model.resblock_type": "ddpm",
     "model.progressive": "output_skip"},
    {"model.resamp_with_conv": False, "model.conditional": False, "model.fir": False, "model.resblock_type": "ddpm",
     **PLAIN},
    {"model.ch_mult": [2, 1, 1], "model.attn_resolutions": [2, 8], "model.conditional": False, "model.fir": False,
     "model.skip_rescale": False, "model.progressive": "none", "model.embedding_type": "fourier",
     "model.scale_by_sigma": True},
    {"model.fir_kernel": [1, 2, 1], "model.resblock_type": "ddpm", "model.progressive_combine": "cat"},
    {"model.fir_kernel": [1, 4, 6, 2, 1]},
    {"model.fir_kernel": [1, 2], "model.resblock_type": "ddpm"},
    {"model.ch_mult": [1], "model.num_res_blocks": 2, "model.attn_resolutions": [], "model.fir": False, **PLAIN,
     "model.scale_by_sigma": True},
    {"data.centered": False, "model.name": "ddpm", "model.nf": 32, "model.resamp_with_conv": False, "model.fir": False,
     **PLAIN, "model.scale_by_sigma": True},
    {"model.name": "ddpm", "model.nf": 32, "model.num_res_blocks": 2, "model.attn_resolutions": [8],
     "model.conditional": False, "model.fir": False, **PLAIN}]


def hashed(index, count):
    """u in [-1/2, 1/2): as nn_flags_fill of the tests has it."""
    word = np.arange(count, dtype=np.uint32) * np.uint32(40503) + np.uint32((index * 2654435761 + 12345) % 2 ** 32)
    word ^= word >> 16
    word *= np.uint32(0x85ebca6b)
    word ^= word >> 13
    word *= np.uint32(0xc2b2ae35)
    word ^= word >> 16
    return (word >> 8).astype(np.float64) / 16777216.0 - 0.5


def flags_fill(index, shape, weight):
    u = hashed(index, math.prod(shape))
    if len(shape) > 1:
        u = u * np.sqrt(12.0 * shape[0] / u.size)
    else:
        u = 1.0 + u if weight else 0.5 * u
    return torch.from_numpy(u.astype(np.float32)).reshape(shape)


def flags_image(index):
    return flags_fill(index, (1, 2, 8, 8), False)


def flags_network(which):
    """(model, configuration as text) of a case, its weights by that formula."""
    from models import utils
    flat = {**FLAGS, **FLAGS_CASES[which]}
    config = configuration({**NETWORK, **flat})
    model = utils.get_model(config.model.name)(config).eval()
    for index, (name, parameter) in enumerate(model.named_parameters()):
        parameter.data.copy_(flags_fill(index, tuple(parameter.shape), name.endswith(".weight")))
    return model, flat


def make_flags(file):
    out, metadata = {}, {
        "source": "yang-song/score_sde_pytorch cb1f359 in PyTorch 1.13 on a CPU (upfirdn2d_native; torch.flip, two "
                  "strides and mode=nearest where its up-sampling fails; modules = [] where its DDPM is not "
                  "conditional), float32; weights by nn_flags_fill of the tests"}
    for which in range(len(FLAGS_CASES)):
        model, flat = flags_network(which)
        metadata[str(which)] = json.dumps(flat)
        label = torch.tensor([1.75 if flat["model.embedding_type"] == "fourier" else 412.25])
        # the positional networks divide by the sigma of their label, sigmas[label]
        sigma = label if flat["model.embedding_type"] == "fourier" else model.sigmas[label.long()].float()
        x = (0.5 * flags_image(1000)).requires_grad_(True)
        raw = model(x, label)
        out[f"{which}.label"], out[f"{which}.sigma"], out[f"{which}.out"] = label, sigma, raw
        raw.backward(flags_image(1001))
        out[f"{which}.vjp"] = x.grad
        out[f"{which}.gradient_norms"] = torch.tensor(
            [0.0 if p.grad is None else float(p.grad.double().square().sum().sqrt()) for p in model.parameters()])
    write_tensors(options.into / file, out, metadata)


def make_scores(file):
    """models/utils.py, get_score_fn: discrete and continuous, N of its own. (name, case, SDE, continuous)"""
    import sde_lib
    from models import utils
    cases = [("vp_discrete", 0, sde_lib.VPSDE(0.1, 20.0, 1000), False),
             ("vp_discrete_500", 0, sde_lib.VPSDE(0.1, 20.0, 500), False),
             ("vp", 0, sde_lib.VPSDE(0.1, 20.0, 1000), True), ("subvp", 0, sde_lib.subVPSDE(0.1, 20.0, 1000), True),
             ("ve_discrete", 10, sde_lib.VESDE(0.01, 50, 1000), False),
             ("ve_discrete_ddpm", 11, sde_lib.VESDE(0.01, 90, 300), False),
             ("ve", 2, sde_lib.VESDE(0.01, 50, 1000), True)]
    t = torch.tensor([0.7123, 0.0517, 0.3331, 0.998])
    x = torch.cat([0.5 * flags_image(1000 + row) for row in range(4)])
    out = {}
    for name, which, sde, continuous in cases:
        model, _ = flags_network(which)
        if isinstance(sde, sde_lib.VESDE):  # sigmas[label], largest first
            model.sigmas = torch.tensor(np.exp(np.linspace(np.log(sde.sigma_max), np.log(sde.sigma_min), sde.N)))
        seen = []
        model.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[1].float()))
        score = utils.get_score_fn(sde, model, train=False, continuous=continuous)(x, t.clone())
        out[f"{which}.{name}.labels"], out[f"{which}.{name}.score"] = seen[0], score.float()
    out["t"] = t
    write_tensors(options.into / file, out, {
        "source": "models/utils.py get_score_fn of yang-song/score_sde_pytorch cb1f359, as unet_flags.safetensors, "
                  "whose networks these are: case in the name"})


# ---- RefineNets: ncsn, ncsnv2, refinenet_flags.safetensors, refinenet.checkpoint.pth ----

REFINENET = {
    "model.name": "ncsnv2_64", "model.sigma_min": 0.01, "model.sigma_max": 50, "model.num_scales": 20,
    "model.scale_by_sigma": True, "model.ema_rate": 0.999, "model.normalization": "InstanceNorm++",
    "model.nonlinearity": "elu", "model.nf": 8, "model.interpolation": "bilinear", "data.dataset": "CIFAR10",
    "data.image_size": 16, "data.centered": False, "data.num_channels": 3, "data.channels": 3, "training.sde": "vesde",
    "training.continuous": False, "training.reduce_mean": False}
REFINENETS = {"ncsn": {"model.name": "ncsn", "model.sigma_max": 1, "model.num_scales": 10,
                       "model.scale_by_sigma": False, "model.ema_rate": 0.0}, "ncsnv2": {}}
# (height, width), and what differs from REFINENET with nf 4 and 2 channels
REFINENET_CASES = [
    ((8, 8), {"model.name": "ncsn", "model.num_scales": 10, "model.nonlinearity": "relu"}),
    ((6, 10), {"model.name": "ncsn", "model.num_scales": 3, "model.nonlinearity": "lrelu", "data.centered": True}),
    ((8, 8), {"model.name": "ncsn", "model.num_scales": 10, "model.nonlinearity": "swish"}),
    ((10, 6), {"model.nonlinearity": "relu", "model.num_scales": 5, "model.sigma_max": 1}),
    ((8, 8), {"model.nonlinearity": "lrelu", "data.centered": True, "model.normalization": "InstanceNorm"}),
    ((8, 8), {"model.nonlinearity": "swish", "model.normalization": "VarianceNorm"}),
    ((8, 12), {"model.normalization": "NoneNorm"}),
    ((16, 8), {"model.name": "ncsnv2_128", "model.nonlinearity": "lrelu"}),
    ((8, 12), {"model.name": "ncsnv2_128", "model.normalization": "InstanceNorm", "data.centered": True}),
    ((12, 8), {"model.name": "ncsnv2_128", "model.nonlinearity": "relu", "model.normalization": "VarianceNorm"}),
    ((16, 16), {"model.name": "ncsnv2_256"}),
    ((16, 24), {"model.name": "ncsnv2_256", "model.nonlinearity": "swish", "model.normalization": "InstanceNorm"}),
    ((24, 16), {"model.name": "ncsnv2_256", "model.nonlinearity": "relu", "model.normalization": "NoneNorm"})]


def refinenet(flat):
    from models import utils
    return utils.get_model(flat["model.name"])(configuration(flat)).eval()


def refinenet_golden(name):
    """(model, configuration as text), its weights those of the file."""
    flat = {**REFINENET, **REFINENETS[name]}
    torch.manual_seed(options.fresh or 0)
    model, file = refinenet(flat), name + ".weights.safetensors"
    made = options.into / file
    if options.fresh is None or made.exists():
        model.load_state_dict((beside(file) if options.fresh is None else read_tensors(made)[0]))
    else:
        with torch.no_grad():
            for key, value in model.named_parameters():
                scales = value.dim() == 2 or key.endswith((".alpha", ".gamma"))
                if value.dim() <= 2:
                    value.copy_((1.0 if scales else value) + (0.3 if scales else 0.2) * torch.randn(value.shape))
                if value.dim() == 2:
                    value[:, value.shape[1] * 2 // 3:] = 0.2 * torch.randn(len(value), value.shape[1] // 3)
    return model, flat


def make_refinenet_weights(file):
    model, flat = refinenet_golden(file.split(".")[0])
    write_tensors(options.into / file, model.state_dict(), {"config": json.dumps(flat)})


def make_refinenet_io(file):
    from models import utils
    model, flat = refinenet_golden(file.split(".")[0])
    sde, n = sde_of(configuration(flat)), flat["model.num_scales"]
    shape = (3, 3, 16, 16)
    kept = [key[5:] for key in beside(file) if key.startswith("grad/")]
    labels = torch.tensor([1, n // 2, n - 1])
    t = 1.0 - labels.double() / (n - 1)
    x0, z = drawn(file, "dsm_x0", uniform(0.0, 1.0, *shape)), drawn(file, "dsm_z", normal(*shape))
    sigmas = torch.flip(sde.discrete_sigmas, dims=(0,))[labels]
    x = (x0 + sigmas[:, None, None, None] * z).requires_grad_(True)
    raw = model(x, labels)
    out = {"x": x, "t": t, "labels": labels.float(), "out": raw.float()}
    out["score"] = utils.get_score_fn(sde, model, train=False, continuous=False)(x, t).float()
    out["vjp_v"] = drawn(file, "vjp_v", signs(*shape))
    out["vjp_x"] = torch.autograd.grad((raw * out["vjp_v"]).sum(), x)[0]
    out.update(dsm_x0=x0, dsm_z=z, dsm_sigmas=sigmas)
    score = model(x.detach(), labels)
    each = (score + z / sigmas[:, None, None, None]) ** 2  # losses.py, get_smld_loss_fn
    losses = 0.5 * each.reshape(3, -1).sum(-1) * sigmas ** 2
    losses.mean().backward()
    out.update(dsm_losses=losses.float(), dsm_loss=losses.mean().float().reshape(1))
    parameters = dict(model.named_parameters())
    out.update({"grad/" + key: parameters[key].grad for key in kept})
    squares = [p.grad.double().square().sum() for p in parameters.values()]
    out["grad_norm"] = torch.sqrt(sum(squares)).float().reshape(1)
    out["sigmas"] = torch.from_numpy(utils.get_sigmas(configuration(flat)))
    write_tensors(options.into / file, out, {"config": json.dumps(flat)})


def refinenet_fill(model):
    """As flags_fill; of norms alpha and gamma are weights, too."""
    for index, (name, parameter) in enumerate(model.named_parameters()):
        weight = name.endswith((".weight", ".alpha", ".gamma"))
        parameter.data.copy_(flags_fill(index, tuple(parameter.shape), weight))


def make_refinenet_flags(file):
    out, metadata = {}, {
        "source": "yang-song/score_sde_pytorch cb1f359 in PyTorch 1.13 on a CPU with MENDS of make.py, in double; "
                  "weights by nn_flags_fill of the tests"}
    for which, ((height, width), changes) in enumerate(REFINENET_CASES):
        flat = {**REFINENET, "model.nf": 4, "data.num_channels": 2, "data.channels": 2, **changes}
        model = refinenet(flat)
        refinenet_fill(model)
        torch.set_default_dtype(torch.float64)  # of the sums that MSFBlock begins
        model = model.double()
        label = torch.tensor([flat["model.num_scales"] // 2])
        x = (0.5 * flags_fill(1000, (1, 2, height, width), False)).double().requires_grad_(True)
        raw = model(x, label)
        raw.backward(flags_fill(1001, (1, 2, height, width), False).double())
        flat.update({"data.image_height": height, "data.image_width": width})
        metadata[str(which)] = json.dumps(flat)
        out[f"{which}.label"] = label.float()
        out[f"{which}.out"], out[f"{which}.vjp"] = raw.float(), x.grad.float()
        out[f"{which}.gradient_norms"] = torch.tensor(
            [float(p.grad.square().sum().sqrt()) for p in model.parameters()], dtype=torch.float32)
        torch.set_default_dtype(torch.float32)
    write_tensors(options.into / file, out, metadata)


def make_refinenet_checkpoint(file):
    """As utils.py, save_checkpoint: weights by refinenet_fill, their average half of them."""
    from models import ema
    flat = {**REFINENET, "model.nf": 2, "model.normalization": "VarianceNorm"}
    model = refinenet(flat)
    refinenet_fill(model)
    average = ema.ExponentialMovingAverage(model.parameters(), decay=0.999)
    average.shadow_params = [0.5 * value for value in average.shadow_params]
    checkpoint(options.into / file, torch.nn.DataParallel(model), torch.optim.Adam(model.parameters()), average, 7)


# ---- solvers.safetensors: a Gaussian mixture under the three SDEs, in double ----

class Mixture:
    """p_t of a diagonal mixture, and its score in closed form; x is [n, 4, 1, 1]."""

    def __init__(self, weight, mean, var, sde):
        self.weight, self.mean, self.var, self.sde = weight, mean, var, sde

    def parts(self, x, t):
        one = torch.ones(len(t), 1, 1, 1, dtype=t.dtype)
        m, std = self.sde.marginal_prob(one, t)
        var = m.reshape(-1, 1, 1) ** 2 * self.var + std.reshape(-1, 1, 1) ** 2
        away = x.reshape(len(x), 1, -1) - m.reshape(-1, 1, 1) * self.mean
        logs = torch.log(self.weight) - 0.5 * (away ** 2 / var + torch.log(2 * math.pi * var)).sum(-1)
        return logs, away, var

    def log_density(self, x, t):
        return torch.logsumexp(self.parts(x, t)[0], dim=1)

    def score(self, x, t):
        logs, away, var = self.parts(x, t)
        share = torch.softmax(logs, dim=1)
        return -(share[:, :, None] * away / var).sum(1).reshape(x.shape)


def with_noise(noise, function):
    """function(), whose calls of torch.randn_like return these in turn."""
    left = list(noise)
    with unittest.mock.patch("torch.randn_like", lambda x: left.pop(0)):
        return function()


def solve(function, begin, end, y, tolerance):
    """SciPy's RK45 over the whole batch as one system, as sampling.py and likelihood.py call it: (y, nfev, steps)."""
    from scipy import integrate
    solved = integrate.solve_ivp(lambda t, y: function(t, torch.from_numpy(y)).numpy(), (begin, end),
                                 y.reshape(-1).numpy(), rtol=tolerance, atol=tolerance, method="RK45")
    return torch.from_numpy(solved.y[:, -1].copy()), solved.nfev, len(solved.t) - 1


def make_solvers(file):
    import sampling
    import sde_lib
    torch.set_default_dtype(torch.float64)
    weight = drawn(file, "gmm/weight", lambda g: torch.softmax(0.3 * torch.randn(3, generator=g), 0))
    mean, var = drawn(file, "gmm/mean", normal(3, 4)), drawn(file, "gmm/var", uniform(0.06, 0.3, 3, 4))
    out = {"gmm/weight": weight, "gmm/mean": mean, "gmm/var": var}
    kinds = {"ve": lambda n: sde_lib.VESDE(0.01, 50, n), "vp": lambda n: sde_lib.VPSDE(0.1, 20, n),
             "subvp": lambda n: sde_lib.subVPSDE(0.1, 20, n)}
    for name, kind in kinds.items():
        solver_section(file, name, kind, Mixture(weight, mean, var, kind(1000)), out, sampling, sde_lib)
    torch.set_default_dtype(torch.float32)
    write_tensors(options.into / file, out, {
        "note": "3-component diagonal Gaussian mixture in 4 dimensions under VE(0.01,50), VP(0.1,20) and "
                "sub-VP(0.1,20), N=1000 (pc_*: N=12); float64", "snr": "0.16"})


def solver_section(file, name, kind, mixture, out, sampling, sde_lib):
    n, sde, shape, eps = 5, mixture.sde, (5, 4, 1, 1), 1e-5 if name == "ve" else 1e-3
    largest = 50.0 if name == "ve" else 1.0

    def put(key, value):
        out[f"{name}/{key}"] = torch.as_tensor(value)

    def take(key, fresh):
        put(key, drawn(file, f"{name}/{key}", fresh))
        return out[f"{name}/{key}"]

    if name == "subvp":  # the reference's correctors ask for alphas, which its sub-VP lacks
        sde.alphas = sde_lib.VPSDE(0.1, 20, 1000).alphas
    t = torch.tensor([0.001, 0.05, 0.3, 0.7, 1.0])
    put("t", t)
    coefficient, std = sde.marginal_prob(torch.ones(shape), t)
    x = take("x", lambda g: coefficient + std.reshape(-1, 1, 1, 1) * torch.randn(shape, generator=g))
    put("marginal_mean_coef", coefficient.reshape(n, -1)[:, 0].clone())
    put("marginal_std", std)
    for key, pair in (("drift diffusion", sde.sde(x, t)), ("discretize_f discretize_G", sde.discretize(x, t))):
        for part, value in zip(key.split(), pair):
            put(part, value)
    put("prior_logp", sde.prior_logp(x))
    put("score", mixture.score(x, t))
    put("logp", mixture.log_density(x, t))
    noise = take("noise", lambda g: torch.randn(shape, generator=g))

    def update(kind, key, *arguments):
        return with_noise([noise], lambda: kind(key)(sde, mixture.score, *arguments).update_fn(x, t))

    predictors = ["euler_maruyama", "reverse_diffusion", "ancestral_sampling"][:2 if name == "subvp" else 3]
    for key in predictors:
        after, after_mean = update(sampling.get_predictor, key)
        put(key, after), put(key + "_mean", after_mean)
        if key == "reverse_diffusion":
            put(key + "_probability_flow", update(sampling.get_predictor, key, True)[0])
    for key in ("langevin", "ald"):
        after, after_mean = update(sampling.get_corrector, key, 0.16, 1)
        put(key, after), put(key + "_mean", after_mean)

    # twelve steps, corrector first
    few = kind(12)
    if name == "subvp":
        few.alphas = sde_lib.VPSDE(0.1, 20, 12).alphas
    x = take("pc_init", lambda g: largest * torch.randn(shape, generator=g))
    draws = take("pc_draws", lambda g: torch.randn((24,) + shape, generator=g))

    def steps(x=x):
        corrector = sampling.get_corrector("langevin")(few, mixture.score, 0.16, 1)
        predictor = sampling.get_predictor("reverse_diffusion")(few, mixture.score)
        for now in torch.linspace(few.T, eps, few.N):
            x, _ = corrector.update_fn(x, torch.ones(n) * now)
            x, x_mean = predictor.update_fn(x, torch.ones(n) * now)
        return x, x_mean

    after, after_mean = with_noise(draws, steps)
    put("pc_out", after), put("pc_out_mean", after_mean)

    # the probability-flow ODE, there and back
    flow = sde.reverse(mixture.score, probability_flow=True)

    def drift(t, x):
        return flow.sde(x, torch.ones(n) * t)[0]

    x = take("ode_init", lambda g: largest * torch.randn(shape, generator=g))
    for tolerance in (1e-5, 1e-3):
        after, evaluations, taken = solve(lambda t, y: drift(t, y.reshape(shape)).reshape(-1), sde.T, eps, x, tolerance)
        put(f"ode_out_tol{tolerance}", after.reshape(shape))
        put(f"ode_nfev_tol{tolerance}", [evaluations]), put(f"ode_steps_tol{tolerance}", [taken])

    def exact_divergence(t, x):
        x = x.detach().requires_grad_(True)
        with torch.enable_grad():
            slopes = [torch.autograd.grad(part.sum(), x, retain_graph=True)[0].reshape(n, -1)[:, i]
                      for i, part in enumerate(drift(t, x).reshape(n, -1).T)]
        return sum(slopes)

    def both(t, y):
        x = y[:-n].reshape(shape)
        return torch.cat([drift(t, x).reshape(-1), exact_divergence(t, x)])

    def from_mixture(g):
        which = torch.multinomial(mixture.weight, n, replacement=True, generator=g)
        z = torch.randn((n, 4), generator=g)
        return (mixture.mean[which] + mixture.var[which].sqrt() * z).reshape(shape)

    x = take("nll_data", from_mixture)
    after, evaluations, _ = solve(both, 1e-5, sde.T, torch.cat([x.reshape(-1), torch.zeros(n)]), 1e-5)
    latent = after[:-n].reshape(shape)
    put("nll_latent", latent)
    put("nll_logp_ode", sde.prior_logp(latent) + after[-n:])
    put("nll_nfev", [evaluations])
    put("nll_logp_exact", mixture.log_density(x, torch.full((n,), 1e-5)))


# ---- what torch.save writes: torch_save.pth, torch_objects.pth and _4.pth, torch_module.pth, torch_script.pt,
#      torch_model.pth, torch_model_list.pth, and of each but the script NAME.old.pth: in the format before 1.6 ----

def linear():
    module = torch.nn.Linear(2, 2)
    module.weight.data.copy_(torch.arange(4.0).reshape(2, 2))
    module.bias.data.copy_(torch.tensor([7.0, 8.0]))
    return module


def save(value, file, **how):
    """Without the source text of a module's class, which the older format has beside it."""
    with unittest.mock.patch("torch.serialization.get_source_lines_and_file", side_effect=OSError), \
            warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(value, options.into / file, _use_new_zipfile_serialization=".old" not in file, **how)


def make_torch_save(file):
    """Every kind of storage, views of one storage, strides."""
    base, whole = torch.arange(6.0).reshape(2, 3), torch.arange(6).reshape(2, 3)
    save({
        "transposed": base.t(), "part": base[1:, 1:], "stepped": base[:, ::2], "half": (base - 2.5).half(),
        "bfloat": (base - 2.5).bfloat16(), "double": base.double() / 3, "scalar": torch.tensor(3),
        "list": [base.reshape(-1)[:3], (base.reshape(-1)[3:], True, None, 2 ** 40, -5, "text", 2.5)],
        "parameter": torch.nn.Parameter(base), "int": -whole.int(), "bool": whole > 3, "byte": (200 + whole).byte(),
        "short": (-1000 * whole).short(), "char": (-whole).to(torch.int8), "empty": torch.zeros(0, 3),
        7: base[0].expand(2, 3), "state": collections.OrderedDict(w=base)}, file)


def fixture():
    """A module of classes such as users have."""
    module = types.ModuleType("fixture")
    source = """
import collections, enum
class Colour(enum.Enum):
    RED = 1
    def __reduce_ex__(self, protocol): return getattr, (Colour, self.name)
class Named(collections.OrderedDict): pass
class Mine: pass
class Slots: __slots__ = ("a", "b")
Point = collections.namedtuple("Point", "x y", module="fixture")
class ListSub(list): pass
"""
    sys.modules["fixture"] = module
    exec(source, module.__dict__)
    return module


def objects():
    """Tensors among objects that need no reading, of every kind that training scripts save."""
    made, module = fixture(), linear()
    optimizer = torch.optim.Adam(module.parameters(), lr=np.float64(0.001))
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    plain, storage = linear(), torch.arange(6.0)
    named = made.Named(w=torch.tensor([1.0, 2.0]))
    named.note = "attribute"
    mine, slots = made.Mine(), made.Slots()
    mine.weight, mine.me = torch.tensor([1.0, 3.0]), mine
    slots.a, slots.b = torch.tensor([5.0, 6.0]), 2
    loop = []
    loop += [loop, torch.tensor([9.0])]

    def one(value=1.0):
        return torch.tensor([value])

    return {
        "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(),
        "scalars": [np.float64(0.5), np.float32(2), np.int64(3), np.bool_(True), np.float64("nan")],
        "array": np.arange(6.0).reshape(2, 3), "strings": np.array(["a", "b"]),
        "objects": np.array([None, {}], dtype=object), "record": np.zeros(2, dtype=[("a", "f4"), ("b", "f8")]),
        "nul": "a\0b", "a\0key": one(), "size": torch.Size([2, 3]), "device": torch.device("cuda", 0),
        "dtype": torch.float32,
        "args": argparse.Namespace(lr=0.5, name="run", path=pathlib.PosixPath("/a/b"), inner=argparse.Namespace(n=3)),
        "enum": made.Colour.RED, "set": {1, 2}, "frozen": frozenset({3}), "complex": 1j, "bytes": b"\0\xff",
        "array_of_bytes": bytearray(b"ab"), "partial": functools.partial(max, 1, key=abs),
        "date": datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc), "big": 2 ** 200, "bigger": 7 ** 850,
        "negative": -2 ** 70, "counter": collections.Counter(a=2, b=1), "deque": collections.deque([one(), 2]),
        "default": collections.defaultdict(list, a=[one(3.0)]), "named": named, "mine": mine, "slots": slots,
        "point": made.Point(one(), 2), "listsub": made.ListSub([one(2.0)]), "loop": loop, "range": range(3),
        "slice": slice(1, 2), "ellipsis": ..., "type": int, "function": len,
        "rng": torch.arange(8, dtype=torch.uint8), "pyrng": (3, (0, 1, 2, 3, 4), None),
        "nprng": ("MT19937", np.arange(3, dtype=np.uint32), 624, 0, 0.0), None: one(), (1, 2): one(), 1.5: one(),
        True: one(), "decimal": decimal.Decimal("1.5"), "fraction": fractions.Fraction(1, 3),
        "uuid": uuid.UUID(int=5), "storage": storage.storage(), "untyped": torch.UntypedStorage(12),
        "view": storage[2:6:2], "expanded": torch.tensor([[1.0], [2.0]]).expand(2, 3), "empty": torch.zeros(0, 3),
        "frozen_parameter": torch.nn.Parameter(torch.tensor([4.0, 5.0]), requires_grad=False),
        "complex_tensor": torch.tensor([1j]), "conj": torch.tensor([1j]).conj(), "sparse": torch.eye(2).to_sparse(),
        "csr": torch.eye(2).to_sparse_csr(),
        "quantized": torch.quantize_per_tensor(torch.tensor([1.0, 2.0]), 0.5, 0, torch.qint8),
        "meta": torch.empty(2, device="meta"), "bool": torch.tensor([True, False]), "module": plain,
        "state_dict": plain.state_dict(), "epoch": 7}


def make_torch_objects(file):
    save(objects(), file, pickle_protocol=4 if "_4" in file else 2)


def make_torch_module(file):
    save(linear(), file)


def make_torch_model(file):
    """The reference's dictionary, and NCSNv2's list [model, optimizer, epoch, step, average]: half the model's."""
    module = torch.nn.DataParallel(torch.nn.Sequential(collections.OrderedDict(w=linear())))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.0)
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    average = {name: 0.5 * value.detach() for name, value in module.module.named_parameters()}
    if "_list" in file:
        save([module.state_dict(), optimizer.state_dict(), 3, 1000, average], file)
    else:
        save({"optimizer": optimizer.state_dict(), "model": module.state_dict(), "step": 1000,
              "ema": {"decay": 0.999, "num_updates": 1000, "shadow_params": list(average.values())}}, file)


def make_torch_script(file):
    torch.jit.script(torch.nn.Sequential(linear(), torch.nn.ReLU())).save(str(options.into / file))


# ---- diffusers: diffusers_NAME.json, .safetensors (half precision), .io.safetensors ----

DIFFUSERS = {
    "ddpm": {
        "_class_name": "UNet2DModel", "_diffusers_version": "0.0.4", "act_fn": "silu", "attention_head_dim": None,
        "block_out_channels": [32, 32], "center_input_sample": False,
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "downsample_padding": 0, "flip_sin_to_cos": False,
        "freq_shift": 1, "in_channels": 3, "layers_per_block": 1, "mid_block_scale_factor": 1, "norm_eps": 1e-6,
        "norm_num_groups": 32, "out_channels": 3, "sample_size": 8, "time_embedding_type": "positional",
        "up_block_types": ["AttnUpBlock2D", "UpBlock2D"]},
    "ncsnpp": {
        "_class_name": "UNet2DModel", "_diffusers_version": "0.30.0", "act_fn": "silu", "attention_head_dim": None,
        "block_out_channels": [8, 16, 16], "center_input_sample": True, "down_block_types": ["SkipDownBlock2D"] * 3,
        "downsample_padding": 1, "flip_sin_to_cos": True, "freq_shift": 0, "in_channels": 3, "layers_per_block": 1,
        "mid_block_scale_factor": 1.41421356237, "norm_eps": 1e-6, "norm_num_groups": None, "out_channels": 3,
        "sample_size": [8, 16], "time_embedding_type": "fourier", "up_block_types": ["SkipUpBlock2D"] * 3}}
# what version 0.0.4 called them
OLD_NAMES = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}


class Absent:
    """Finds packages that diffusers imports and its U-Nets do not need."""

    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("huggingface_hub", "safetensors", "accelerate"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return unittest.mock.MagicMock(name=spec.name, __path__=[], __spec__=spec, __version__="0",
                                       HF_HUB_CACHE=str(options.into))  # where diffusers leaves a note

    def exec_module(self, module):
        pass


def unet2d(name):
    sys.meta_path.append(Absent())
    if str(options.diffusers / "src") not in sys.path:
        sys.path.insert(0, str(options.diffusers / "src"))
    from diffusers.models.unets.unet_2d import UNet2DModel
    config = {key: value for key, value in DIFFUSERS[name].items() if not key.startswith("_")}
    return UNet2DModel(**config).eval()


def old_name(name, key):
    for new, old in OLD_NAMES.items() if name == "ddpm" else ():
        key = key.replace(new, old)
    return key


def make_diffusers_config(file):
    (options.into / file).write_text(json.dumps(DIFFUSERS[file[10:-5]], indent=2) + "\n")


def make_diffusers_weights(file):
    name = file.split(".")[0][10:]
    torch.manual_seed(options.fresh or 0)
    model, out = unet2d(name), {}
    for key, value in model.state_dict().items():
        spread = normal(*value.shape)
        fresh = (lambda g: (value + 0.05 * spread(g)).half()) if value.dim() == 1 else (lambda g: value.half())
        out[old_name(name, key)] = drawn(file, old_name(name, key), fresh)
    write_tensors(options.into / file, out, {"format": "pt"})


def make_diffusers_io(file):
    name = file.split(".")[0][10:]
    model = unet2d(name)
    weights = read_tensors((HERE if options.fresh is None else options.into) / f"diffusers_{name}.safetensors")[0]
    model.load_state_dict({key: weights[old_name(name, key)].float() for key in model.state_dict()})
    wide = 8 if name == "ddpm" else 16
    x = drawn(file, "x", normal(2, 3, 8, wide))
    t = torch.tensor([17.0, 911.0] if name == "ddpm" else [0.37, 21.5])
    write_tensors(options.into / file, {"x": x, "t": t, "out": model(x, t).sample}, {"format": "pt"})


# ---- all of them ----

MAKERS = {}
for each in NETWORKS:
    MAKERS[each + ".weights.safetensors"] = make_weights
    MAKERS[each + ".io.safetensors"] = make_io
for each in REFINENETS:
    MAKERS[each + ".weights.safetensors"] = make_refinenet_weights
    MAKERS[each + ".io.safetensors"] = make_refinenet_io
MAKERS.update({
    "refinenet_flags.safetensors": make_refinenet_flags, "refinenet.checkpoint.pth": make_refinenet_checkpoint,
    "ddpmpp_vp.checkpoint.pth": make_checkpoint, "ddpmpp_vp.checkpoint_io.safetensors": make_checkpoint_io,
    "ddpmpp_vp.trained.pth": make_trained, "ddpmpp_vp.trained.io.safetensors": make_trained_io,
    "unet_flags.safetensors": make_flags, "score_scaling.safetensors": make_scores,
    "solvers.safetensors": make_solvers, "torch_save.pth": make_torch_save, "torch_objects.pth": make_torch_objects,
    "torch_objects_4.pth": make_torch_objects, "torch_module.pth": make_torch_module,
    "torch_script.pt": make_torch_script,
    "torch_model.pth": make_torch_model, "torch_model_list.pth": make_torch_model})
for each in ("save", "objects", "objects_4", "module", "model", "model_list"):
    MAKERS[f"torch_{each}.old.pth"] = MAKERS[f"torch_{each}.pth"]
for each in DIFFUSERS:
    MAKERS[f"diffusers_{each}.json"] = make_diffusers_config
    MAKERS[f"diffusers_{each}.safetensors"] = make_diffusers_weights
    MAKERS[f"diffusers_{each}.io.safetensors"] = make_diffusers_io


def compared(file):
    """In words, the file made and the one beside this script."""
    made, old = options.into / file, HERE / file
    if not old.exists():
        return "new"
    if made.read_bytes() == old.read_bytes():
        return "the same file"
    if made.suffix != ".safetensors":
        return "another file"
    (new, new_metadata), (was, was_metadata) = read_tensors(made), read_tensors(old)
    if list(new) != list(was):
        return "OTHER TENSORS: " + ", ".join(sorted(set(new) ^ set(was))[:8])
    words = "" if new_metadata == was_metadata else ", other metadata"
    largest, where = 0.0, None
    for name in new:
        a, b = new[name].double(), was[name].double()
        if a.shape != b.shape:
            return f"OTHER SHAPES: {name}"
        if not torch.equal(a.nan_to_num(7e77), b.nan_to_num(7e77)):
            away = float((a - b).norm() / b.norm())
            largest, where = max((largest, where or name), (away, name), key=lambda pair: pair[0])
    return (f"{where} differs by {largest:.2g} of its norm" if where else "the same tensors") + words


def main():
    global options, generator
    parser = argparse.ArgumentParser(description="Makes the golden data; see the head of this file.")
    parser.add_argument("reference", type=pathlib.Path)
    parser.add_argument("--diffusers", type=pathlib.Path)
    parser.add_argument("--fresh", type=int, metavar="SEED")
    parser.add_argument("--into", type=pathlib.Path, default=pathlib.Path("made"))
    parser.add_argument("files", nargs="*", metavar="FILE")
    options = parser.parse_intermixed_args()
    generator = torch.Generator().manual_seed(options.fresh or 0)
    options.into.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    import_reference()
    for file in options.files or MAKERS:
        if file.startswith("diffusers") and not options.diffusers:
            print(f"{file:40} left out: no --diffusers")
            continue
        MAKERS[file](file)
        print(f"{file:40} {compared(file)}", flush=True)


if __name__ == "__main__":
    main()
