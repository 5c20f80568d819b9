"""Makes weights files with torch for transfer.test.ts and says what torch computes with them.

    python3 medicalnet_files.py make FOLDER       every file; names and counts as JSON
    python3 medicalnet_files.py logits FILE CASE  loads an exported state dict (weights_only) into the peer network of
                                                  test/conformance and prints its logits for a fixed input
"""
import collections
import json
import os
import sys

import torch

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")
sys.path.insert(0, os.path.join(ROOT, "scripts"))
files = __import__("torch-resnet-files")


def prefixed(state, prefix):
    return collections.OrderedDict((prefix + name, value) for name, value in state.items())


def make(folder):
    torch.manual_seed(3)
    made = {}

    def save(name, obj, state, **options):
        torch.save(obj, os.path.join(folder, name), **options)
        made[name] = {"tensors": len(state), "trainable": files.trainable(state)}

    for depth, shortcut in ((10, "B"), (18, "A"), (34, "A"), (50, "B")):
        state = files.encoder(depth, shortcut, width=8)
        legacy = depth in (18, 50)
        save(
            f"medicalnet_{depth}.pth",
            {"state_dict": prefixed(state, "module.")},
            state,
            _use_new_zipfile_serialization=not legacy,
        )
    # MedicalNet's whole model, with its segmentation head.
    state = files.encoder(18, "A", width=8)
    state["conv_seg.0.weight"] = torch.randn(64, 32, 2, 2, 2)
    state["conv_seg.6.bias"] = torch.randn(2)
    save("with_head.pth", {"state_dict": prefixed(state, "module."), "epoch": 3}, state)
    # MONAI: type B at every depth, with a bias, a classifier of its own, two channels.
    state = files.encoder(18, "B", width=8, channels=2)
    for name in [n for n in state if n.endswith("downsample.0.weight")]:
        state[name.replace("weight", "bias")] = torch.randn(state[name].shape[0])
    state["fc.weight"] = torch.randn(2, 64)
    state["fc.bias"] = torch.randn(2)
    save("monai.pth", state, state)
    # A classifier of other classes, wrapped twice.
    state = files.encoder(10, "B", width=8)
    state["fc.weight"] = torch.randn(400, 64)
    state["fc.bias"] = torch.randn(400)
    save("wrapped.pth", {"net": {"model_state_dict": prefixed(state, "module.backbone.")}}, state)
    half = collections.OrderedDict((n, v.half() if v.is_floating_point() else v) for n, v in state.items() if n[:2] != "fc")
    save("half.pth", prefixed(half, "encoder."), half)
    # What is wrong with others.
    short = collections.OrderedDict(files.encoder(18, "A", width=8))
    del short["layer3.1.conv2.weight"]
    save("lacks_one.pth", short, short)
    deep = files.encoder(10, "B", width=8)
    flat = collections.OrderedDict((n, v[..., 0] if v.dim() == 5 else v) for n, v in deep.items())
    save("flat.pth", flat, flat)
    deep["conv1.weight"][0, 0, 0, 0, 0] = float("nan")
    save("nan.pth", deep, deep)
    for depth in (152, 200):
        state = files.encoder(depth, "B", width=64)
        save(f"too_deep_{depth}.pth", state, state)
    print(json.dumps(made))


def logits(path, case):
    sys.path.insert(0, os.path.join(ROOT, "test", "conformance"))
    arguments, sys.argv = sys.argv, [sys.argv[0]]
    peer = __import__("torch_peer")
    sys.argv = arguments
    case = json.loads(case)
    net = peer.ResNet(case)
    state = torch.load(path, weights_only=True)
    biases = [name for name in state if name.endswith("downsample.0.bias")]
    for name in biases:  # a MONAI file: give the peer what it has
        module = net.get_submodule(name[: -len(".bias")])
        module.bias = torch.nn.Parameter(torch.zeros(module.out_channels))
    report = net.load_state_dict(state, strict=True)
    assert str(report) == "<All keys matched successfully>", report
    net.eval()
    shape = case["shape"]
    x = torch.sin(torch.arange(shape[0] * shape[1] * shape[2] * shape[3], dtype=torch.float64) * 0.7).reshape(shape)
    with torch.no_grad():
        single = net(x[None].float()).flatten().tolist()
        double = net.double()(x[None]).flatten().tolist()
    print(json.dumps({"single": single, "double": double, "names": list(state), "own": list(net.state_dict())}))


if sys.argv[1] == "make":
    make(sys.argv[2])
else:
    logits(*sys.argv[2:])
