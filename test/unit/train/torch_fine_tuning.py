"""Fine-tuning steps of a ResNet-10 (compact geometry, shortcut B) in PyTorch: parameter groups, frozen stages, thawing.

Reads what to do as JSON from standard input, writes the weights afterwards as JSON of {name: flat list}.
"""

import json
import sys

import numpy
import torch
import torch.nn.functional as F

torch.set_num_threads(1)
asked = json.load(sys.stdin)


def read(path):
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        data = file.read()
    state = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        state[name] = torch.from_numpy(numpy.frombuffer(data[begin:end], "<f4").copy()).reshape(entry["shape"])
    return state


STRIDES = [2, 2, 1, 1]
state = read(asked["weights"])
statistics = {name for name in state if ".running_" in name}
for name, tensor in state.items():
    if name not in statistics:
        tensor.requires_grad_(True)


def stage(name):
    first = name.split(".")[0]
    return "stem" if first in ("conv1", "bn1") else "head" if first == "fc" else first


def norm(x, name, frozen):
    training = stage(name) not in frozen
    return F.batch_norm(
        x,
        state[name + ".running_mean"],
        state[name + ".running_var"],
        state[name + ".weight"],
        state[name + ".bias"],
        training,
        0.1,
        1e-5,
    )


def forward(x, frozen):
    y = F.relu(norm(F.conv3d(x, state["conv1.weight"], stride=2, padding=2), "bn1", frozen))
    for n, stride in enumerate(STRIDES):
        name = "layer%d.0" % (n + 1)
        z = F.relu(norm(F.conv3d(y, state[name + ".conv1.weight"], stride=stride, padding=1), name + ".bn1", frozen))
        z = norm(F.conv3d(z, state[name + ".conv2.weight"], padding=1), name + ".bn2", frozen)
        if name + ".downsample.0.weight" in state:
            y = norm(F.conv3d(y, state[name + ".downsample.0.weight"], stride=stride), name + ".downsample.1", frozen)
        y = F.relu(z + y)
    return y.mean((2, 3, 4)) @ state["fc.weight"].T + state["fc.bias"]


groups = [
    {
        "params": [tensor for name, tensor in state.items() if name not in statistics and stage(name) == part],
        "lr": asked["rate"] * factor,
    }
    for part, factor in asked["factors"].items()
]
kind = asked["optimiser"]
optimiser = (
    torch.optim.SGD(groups, momentum=0.9, weight_decay=1e-3)
    if kind == "sgd"
    else (torch.optim.AdamW if kind == "adamw" else torch.optim.Adam)(groups, eps=1e-3, weight_decay=1e-2)
)
shape = asked["shape"]
x = torch.from_numpy(numpy.fromfile(asked["images"], "<f4").reshape(-1, *shape[:3]).copy())[:, None]
for step in asked["steps"]:
    frozen = set(step["frozen"])
    for name, tensor in state.items():
        if name not in statistics:
            tensor.requires_grad_(stage(name) not in frozen)
            tensor.grad = None
    loss = F.cross_entropy(forward(x[step["heads"]], frozen), torch.tensor(step["labels"]))
    loss.backward()
    optimiser.step()
json.dump({name: tensor.detach().reshape(-1).tolist() for name, tensor in state.items()}, sys.stdout)
