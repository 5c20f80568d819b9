"""The networks of this project in plain PyTorch, written from their description: the peer that the engine is held to.

    torch_peer.py reference CASE OUT    computes one case of cases.json; whole tensors, float32, go to OUT, an index to stdout
    torch_peer.py fixtures [CASE ...]   rewrites fixtures/ (all cases, or those named)
    torch_peer.py seeds [CASE ...]      prints seeds at which no ReLU and no max pooling stands on an edge

Everything is computed twice: in float64, which is the reference, and in float32, whose distance from it says how well a
tensor can be known in single precision.
"""
import base64
import json
import math
import os
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = json.load(open(os.path.join(HERE, "cases.json")))
DATA = os.environ.get("FCD_TEST_DATA") or os.path.join(HERE, "..", "..", "..", "shared", "data")
# Elements that a fixture keeps of one tensor, by group; elsewhere all that are up to SAMPLES_ELSEWHERE.
SAMPLES = {"gradient": 8, "change": 4, "running": 3, "moment": 2, "evaluation-gradient": 4}
SAMPLES_ELSEWHERE = 48


# --- The generator; generator.ts is its twin -----------------------------------------------------------------------

def uniform(name, size, low, high):
    """Float32 values in [low, high) that depend on the name and the element's number alone."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x01000193) & 0xFFFFFFFF
    values = np.empty(size, np.float32)
    for start in range(0, size, 1 << 16):  # pieces that stay in the cache
        x = np.arange(start, min(size, start + (1 << 16)), dtype=np.uint32)
        x *= np.uint32(0x9E3779B9)
        x ^= np.uint32(seed)
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x7FEB352D)
        x ^= x >> np.uint32(15)
        x *= np.uint32(0x846CA68B)
        x ^= x >> np.uint32(16)
        x >>= np.uint32(8)
        values[start : start + len(x)] = low + (high - low) * (x * 2.0**-24)
    return values


def parameter(case, name, shape):
    """
    Values of one tensor of a network: activations stay near 1, and running statistics are neither 0 nor 1. In large
    cases `biasGap` keeps the biases of batch normalisations two to four standard deviations from 0, so that few
    activations lie near a ReLU's edge, where a gradient jumps and single precision cannot say to which side.
    """
    last = name.rsplit(".", 1)[1]
    away = 0.0
    if last == "running_mean":
        low, high = -0.3, 0.3
    elif last == "running_var":
        low, high = 0.5, 1.5
    elif name == "fc.bias":
        low, high = -0.5, 0.5
    elif name.endswith("downsample.1.bias"):
        low, high = -0.1, 0.1
    elif name.endswith("downsample.1.weight"):
        low, high = 0.1, 0.3
    elif last == "bias":
        low, high, away = -0.6, 1.2, case["biasGap"]
    elif len(shape) == 1:
        low, high = 0.4, 0.8
    elif name == "fc.weight":
        bound = math.sqrt(3 / shape[1])
        low, high = -bound / 2, bound  # more for a class than against it, or class maps would often be empty
    else:
        high = math.sqrt(3 / math.prod(shape[1:]))
        low = -high
    values = uniform(f"{case['seed']}/{name}", math.prod(shape), low, high)
    if away:
        values += np.where(values < 0, np.float32(-away), np.float32(away))
    return values.reshape(shape)


# --- The networks ---------------------------------------------------------------------------------------------------

BLOCKS = {"resnet10": [1, 1, 1, 1], "resnet18": [2, 2, 2, 2], "resnet34": [3, 4, 6, 3], "resnet50": [3, 4, 6, 3]}
# Stem size and strides, pooling, strides and dilations of the stages, planes.
GEOMETRIES = {
    "paper": (7, (1, 2, 2), True, (1, 2, 2, 2), (1, 1, 1, 1), (64, 128, 256, 512)),
    "medicalnet": (7, (2, 2, 2), True, (1, 2, 1, 1), (1, 1, 2, 4), (64, 128, 256, 512)),
    "monai": (7, (1, 1, 1), True, (1, 2, 2, 2), (1, 1, 1, 1), (64, 128, 256, 512)),
    "compact": (5, (2, 2, 2), False, (2, 2, 1, 1), (1, 1, 1, 1), (64, 128, 256, 256)),
}

edges = None  # where a list, everything that a ReLU or a max pooling decides on is noted in it


def relu(x):
    if edges is not None:
        edges.append(("relu", x.detach()))
    return F.relu(x)


def conv(inputs, outputs, size, stride=1, dilation=1):
    return nn.Conv3d(inputs, outputs, size, stride, dilation * (size - 1) // 2, dilation, bias=False)


class Shortcut(nn.Module):
    """Type A: the strided voxels with zero channels appended; detached, no gradient passes."""

    def __init__(self, stride, channels, detached):
        super().__init__()
        self.stride, self.channels, self.detached = stride, channels, detached

    def forward(self, x):
        s = self.stride
        x = x[:, :, ::s, ::s, ::s]
        missing = x.new_zeros((x.shape[0], self.channels - x.shape[1], *x.shape[2:]))
        x = torch.cat([x, missing], 1)
        return x.detach() if self.detached else x


class Block(nn.Module):
    def __init__(self, inputs, planes, stride, dilation, kind, bottleneck):
        super().__init__()
        outputs = planes * 4 if bottleneck else planes
        self.bottleneck = bottleneck
        if bottleneck:
            self.conv1 = conv(inputs, planes, 1)
            self.conv2 = conv(planes, planes, 3, stride, dilation)
            self.bn3 = nn.BatchNorm3d(outputs)
            self.conv3 = conv(planes, outputs, 1)
        else:
            self.conv1 = conv(inputs, planes, 3, stride, dilation)
            self.conv2 = conv(planes, planes, 3, 1, dilation)
        self.bn1 = nn.BatchNorm3d(planes)
        self.bn2 = nn.BatchNorm3d(planes)
        if stride == 1 and inputs == outputs:
            self.downsample = nn.Identity()
        elif kind == "B":
            self.downsample = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm3d(outputs))
        else:
            self.downsample = Shortcut(stride, outputs, kind == "A-detached")

    def forward(self, x):
        y = relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.bottleneck:
            y = self.bn3(self.conv3(relu(y)))
        return relu(y + self.downsample(x))


class ResNet(nn.Module):
    def __init__(self, case):
        super().__init__()
        size, stride, self.pooled, strides, dilations, planes = GEOMETRIES[case["geometry"]]
        bottleneck = case["arch"] == "resnet50"
        channels = int(planes[0] * case["width"])
        self.conv1 = nn.Conv3d(case["inChannels"], channels, size, stride, size // 2, bias=False)
        self.bn1 = nn.BatchNorm3d(channels)
        for stage in range(4):
            blocks = []
            inner = int(planes[stage] * case["width"])
            for block in range(BLOCKS[case["arch"]][stage]):
                step = strides[stage] if block == 0 else 1
                blocks.append(Block(channels, inner, step, dilations[stage], case["shortcut"], bottleneck))
                channels = inner * 4 if bottleneck else inner
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, 2)

    def forward(self, x):
        x = relu(self.bn1(self.conv1(x)))
        if self.pooled:
            if edges is not None:
                edges.append(("pool", x.detach()))
            x = F.max_pool3d(x, 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3, 4)))


def network(case, dtype):
    for layer in (nn.Conv3d, nn.Linear):
        layer.reset_parameters = lambda _: None  # PyTorch's own initial values are not wanted
    net = ResNet(case)
    state = {
        name: torch.from_numpy(parameter(case, name, tuple(tensor.shape)))
        for name, tensor in net.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    missing = net.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys
    assert all(key.endswith("num_batches_tracked") for key in missing.missing_keys)
    return net.to(dtype)


# --- The cases ------------------------------------------------------------------------------------------------------

def volumes(case):
    """The batch as [N, C, i, j, k], float32."""
    if "files" in case:
        import nibabel

        channels = []
        for name in case["files"]:
            values = nibabel.load(os.path.join(DATA, name)).get_fdata().astype(np.float32)
            s = case["every"]
            channels.append(values[::s, ::s, ::s] * np.float32(4 / values.max()))
        whole = np.stack(channels)
        if "blocks" not in case:
            return whole[None]
        si, sj, sk = case["shape"]
        return np.stack([whole[:, i : i + si, j : j + sj, k : k + sk] for i, j, k in case["blocks"]])
    shape = case["shape"]
    # Generated volumes have i fastest, as a volume in a file.
    return np.stack([
        np.stack([
            uniform(f"{case['seed']}/input/{n}/{c}", math.prod(shape), -2, 2).reshape(shape, order="F")
            for c in range(case["inChannels"])
        ])
        for n in range(case["batch"])
    ])


def tensor_input(case, dtype):
    x = torch.from_numpy(volumes(case))
    if case["axes"] == "kji":
        x = x.permute(0, 1, 4, 3, 2)
    return x.contiguous().to(dtype)


def class_map(net, x, layer, method, class_index):
    """Grad-CAM or HiResCAM of the first volume, after ReLU, [D, H, W]."""
    kept = []
    handle = net.get_submodule(layer).register_forward_hook(lambda _m, _i, output: kept.append(output))
    logits = net(x[:1])
    handle.remove()
    (gradient,) = torch.autograd.grad(logits[0, class_index], kept)
    weights = gradient.mean((2, 3, 4), keepdim=True) if method == "gradcam" else gradient
    return F.relu((weights * kept[0]).sum(1))[0].detach()


def evaluate(case, net, x, results):
    net.eval()
    grid = x.shape[2:]
    if case["axes"] == "ijk":
        in_file_order = (2, 1, 0)
    else:
        in_file_order = (0, 1, 2)
    with torch.no_grad():
        results["evaluation/logits"] = net(x)
    for layer, method, class_index in case["maps"]:
        raw = class_map(net, x, layer, method, class_index)
        placed = F.interpolate(raw[None, None], size=grid, mode="trilinear", align_corners=False)[0, 0]
        results[f"map/{layer} {method} {class_index}"] = raw
        results[f"placed/{layer} {method} {class_index}"] = placed.permute(in_file_order)


def loss_of(case, logits):
    labels = torch.arange(len(logits)) % 2
    return F.cross_entropy(logits, labels, torch.tensor([0.6, 1.7], dtype=logits.dtype))


def optimiser(case, net, scales):
    """The optimiser in the middle of a training: its moments are generated, in proportion to the gradients."""
    o = case["optimiser"]
    if o["kind"] == "sgd":
        made = torch.optim.SGD(net.parameters(), lr=o["learningRate"], momentum=o["momentum"],
                               weight_decay=o["weightDecay"], nesterov=o["nesterov"])
    else:
        kind = torch.optim.AdamW if o["kind"] == "adamw" else torch.optim.Adam
        made = kind(net.parameters(), lr=o["learningRate"], betas=(o["beta1"], o["beta2"]),
                    eps=o["epsilon"], weight_decay=o["weightDecay"])
    for name, p in net.named_parameters():
        scale = scales[name]

        def moment(kind, low, high):
            values = uniform(f"{case['seed']}/{kind}/{name}", p.numel(), low, high)
            return torch.from_numpy(values).reshape(p.shape).to(p.dtype)

        if o["kind"] == "sgd":
            made.state[p] = {"momentum_buffer": moment("velocity", -2 * scale, 2 * scale)}
        else:
            made.state[p] = {
                "step": torch.tensor(float(o["step"] - 1)),
                "exp_avg": moment("m", -2 * scale, 2 * scale),
                "exp_avg_sq": moment("v", scale * scale / 2, 2 * scale * scale),
            }
    return made


MOMENTS = {"momentum_buffer": "velocity", "exp_avg": "m", "exp_avg_sq": "v"}


def train(case, net, x, results, scales):
    """One step in training mode. `scales`, empty at first, receives the powers of two that the moments are made with."""
    if case["thorough"]:
        net.eval()
        watched = x.clone().requires_grad_()
        loss_of(case, net(watched)).backward()
        results["input/evaluation gradient"] = watched.grad
        for name, p in net.named_parameters():
            results[f"evaluation-gradient/{name}"] = p.grad
            p.grad = None
    net.train()
    watched = x.clone().requires_grad_()
    logits = net(watched)
    loss = loss_of(case, logits)
    loss.backward()
    results["training/logits"] = logits.detach()
    results["training/loss"] = loss.detach().reshape(1)
    results["input/gradient"] = watched.grad
    for name, p in net.named_parameters():
        results[f"gradient/{name}"] = p.grad.clone()
        scales.setdefault(name, 2.0 ** math.floor(math.log2(p.grad.double().square().mean().sqrt().item())))
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    step = optimiser(case, net, scales)
    step.step()
    for name, p in net.named_parameters():
        results[f"change/{name}"] = (p.detach().double() - before[name].double())
        if case["thorough"]:
            for key, values in step.state[p].items():
                if key in MOMENTS:
                    results[f"moment/{MOMENTS[key]} {name}"] = values
    for name, values in net.named_buffers():
        if not name.endswith("num_batches_tracked"):
            results[f"running/{name}"] = values.clone()


def compute(case, dtype, scales):
    results = {}
    x = tensor_input(case, dtype)
    net = network(case, dtype)
    evaluate(case, net, x, results)
    if case.get("optimiser"):
        train(case, net, x, results, scales)
    return results


def input_in_our_layout(name, tensor):
    """Gradients of the input are compared channels-last, as the engine has them."""
    return tensor.permute(0, 2, 3, 4, 1) if name.startswith("input/") else tensor


def reference(case):
    """Per tensor its float64 values, flat, and torch-float32's own error: max |f32 - f64| / max |f64|."""
    scales = {}
    exact = compute(case, torch.float64, scales)
    single = compute(case, torch.float32, scales)
    tensors = {}
    for name in sorted(exact):
        values = input_in_our_layout(name, exact[name]).double().contiguous().flatten()
        rounded = input_in_our_layout(name, single.pop(name)).double().contiguous().flatten()
        exact[name] = None
        highest = values.abs().max().item()
        own = (rounded - values).abs().max().item() / highest if highest > 0 else 0.0
        if own > 1e-2:
            raise ValueError(f"{case['name']}: {name} vanishes ({highest:.1e}) and would test nothing; take another seed.")
        tensors[name] = (values.float().numpy(), own)
    for layer in {layer for layer, *_ in case["maps"]}:
        if not any(values.any() for name, (values, _) in tensors.items() if name.startswith(f"map/{layer} ")):
            raise ValueError(f"{case['name']}: all maps of {layer} are empty; take another seed.")
    return tensors, scales


# --- What is handed over --------------------------------------------------------------------------------------------

def write_reference(name, out):
    tensors, scales = reference(case_named(name))
    index = []
    with open(out, "wb") as file:
        for key, (values, own) in tensors.items():
            index.append({"name": key, "size": int(values.size), "own": own})
            file.write(values.astype("<f4").tobytes())
    json.dump({"tensors": index, "scales": scales}, sys.stdout)


def sample(name, values):
    """Elements that a fixture keeps: all of a small tensor, else a seeded choice."""
    count = SAMPLES.get(name.split("/")[0], SAMPLES_ELSEWHERE)
    if values.size <= count:
        return values
    return values[(uniform(f"sample/{name}", count, 0, 1).astype(np.float64) * values.size).astype(np.int64)]


def packed(floats):
    return base64.b64encode(np.asarray(floats, dtype="<f4").tobytes()).decode()


def write_fixture(name):
    """Per tensor: max, L2 norm, torch-float32's own error, samples; tensors by name, so that names need not be stored."""
    tensors, scales = reference(case_named(name))
    groups = {}
    for key, (values, own) in tensors.items():
        norm = math.sqrt(np.square(values.astype(np.float64)).sum())
        record = [np.abs(values).max(), norm, own, *sample(key, values)]
        groups.setdefault(key.split("/")[0], []).extend(record)
    fixture = {"torch": torch.__version__, "tensors": len(tensors)}
    fixture["scales"] = packed([scales[key] for key in sorted(scales)])
    fixture.update({group: packed(records) for group, records in groups.items()})
    with open(os.path.join(HERE, "fixtures", f"{name}.json"), "w") as file:
        file.write(json.dumps(fixture, indent=2) + "\n")


def margin(case):
    """
    How far the nearest ReLU or max pooling is from its edge, in standard deviations of torch-float32's rounding there.
    On the other side of an edge the gradient jumps, so closer than a few of them either answer would be right.
    """
    global edges
    runs = []
    for dtype in (torch.float64, torch.float32):
        edges = []
        with torch.no_grad():
            x = tensor_input(case, dtype)
            net = network(case, dtype).eval()
            trained = network(case, dtype).train()
            if not case["thorough"]:  # gradients in evaluation mode reach back to layer3's output only
                net.layer4.register_forward_pre_hook(lambda *_: edges.clear())
            net(x if case["thorough"] else x[:1])
            if case.get("optimiser"):
                trained(x)
        runs.append(edges)
    edges = None
    nearest = math.inf
    for (kind, exact), (_, single) in zip(*runs):
        rounding = (single.double() - exact).square().mean().sqrt().item()
        distances = exact.abs()
        if kind == "pool":
            windows = F.pad(exact, [1] * 6, value=-math.inf)
            for axis in (2, 3, 4):
                windows = windows.unfold(axis, 3, 2)
            top = windows.flatten(5).topk(2).values
            distances = (top[..., 0] - top[..., 1])[top[..., 0] > 0]
            rounding *= math.sqrt(2)
        nearest = min(nearest, distances.min().item() / max(rounding, 1e-30))
    return nearest


def find_seed(name):
    case = dict(case_named(name))
    best = (0, 0)
    for seed in range(1, 25):
        case["seed"] = seed
        best = max(best, (margin(case), seed))
        if best[0] > 8:
            break
    print(f"{name}: seed {best[1]}, margin {best[0]:.1f}", flush=True)


def case_named(name):
    return next(case for case in CASES if case["name"] == name)


def main(what, *names):
    if what == "reference":
        return write_reference(*names)
    act = {"fixtures": write_fixture, "seeds": find_seed}[what]
    for name in names or [case["name"] for case in CASES]:
        act(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
