"""Writes files that look like MedicalNet's from the outside, with random values: names, shapes, nesting, both formats.

    python3 scripts/torch-resnet-files.py FOLDER [NAME ...]

NAME is DEPTH-SHORTCUT-FORMAT with optional WIDTH, such as 50-B-legacy, 18-A-zip or 34-A-zip-8 (an eighth of the
channels); by default 50-B-legacy and 50-B-zip. Prints one JSON line per file: path, bytes, tensors, trainable values.
"""
import collections
import json
import math
import os
import sys

import torch

BLOCKS = {
    10: (False, [1, 1, 1, 1]),
    18: (False, [2, 2, 2, 2]),
    34: (False, [3, 4, 6, 3]),
    50: (True, [3, 4, 6, 3]),
    101: (True, [3, 4, 23, 3]),
    152: (True, [3, 8, 36, 3]),
    200: (True, [3, 24, 36, 3]),
}


def encoder(depth, shortcut, width=1, channels=1):
    """Names and values of an encoder's state dict in PyTorch's order; trainable values are counted along."""
    bottleneck, counts = BLOCKS[depth]
    state = collections.OrderedDict()

    def conv(name, outputs, inputs, size):
        shape = (outputs, inputs, size, size, size)
        state[name + ".weight"] = torch.randn(shape) * math.sqrt(2 / (outputs * size**3))

    def norm(name, outputs):
        state[name + ".weight"] = 1 + 0.1 * torch.randn(outputs)
        state[name + ".bias"] = 0.1 * torch.randn(outputs)
        state[name + ".running_mean"] = 0.1 * torch.randn(outputs)
        state[name + ".running_var"] = 0.5 + torch.rand(outputs)
        state[name + ".num_batches_tracked"] = torch.tensor(1000)

    inputs = 64 // width
    conv("conv1", inputs, channels, 7)
    norm("bn1", inputs)
    for stage, planes in enumerate((64, 128, 256, 512)):
        inner = planes // width
        outputs = inner * 4 if bottleneck else inner
        for block in range(counts[stage]):
            at = f"layer{stage + 1}.{block}"
            sizes = [(inner, inputs, 1), (inner, inner, 3), (outputs, inner, 1)]
            for i, (o, c, size) in enumerate(sizes if bottleneck else [(inner, inputs, 3), (outputs, inner, 3)]):
                conv(f"{at}.conv{i + 1}", o, c, size)
                norm(f"{at}.bn{i + 1}", o)
            if shortcut == "B" and block == 0 and (stage > 0 or inputs != outputs):
                conv(f"{at}.downsample.0", outputs, inputs, 1)
                norm(f"{at}.downsample.1", outputs)
            inputs = outputs
    return state


def trainable(state):
    beside = ("running_mean", "running_var", "num_batches_tracked")
    return sum(tensor.numel() for name, tensor in state.items() if not name.endswith(beside))


def main(folder, names):
    torch.manual_seed(5)
    for name in names or ["50-B-legacy", "50-B-zip"]:
        depth, shortcut, kind, *width = name.split("-")
        state = encoder(int(depth), shortcut, int(width[0]) if width else 1)
        saved = {"state_dict": collections.OrderedDict(("module." + key, value) for key, value in state.items())}
        path = os.path.join(folder, f"resnet_{name}.pth")
        torch.save(saved, path, _use_new_zipfile_serialization=kind == "zip")
        described = {
            "path": path,
            "bytes": os.path.getsize(path),
            "tensors": len(state),
            "trainable": trainable(state),
        }
        print(json.dumps(described), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
