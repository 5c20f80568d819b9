"""Writes torch files into a folder and prints, as JSON, what is in them according to torch.

    python3 torch_files.py FOLDER [FILE ...]   every case, and what torch finds in the FILEs
    python3 torch_files.py FOLDER --fixtures   only the few small files that are committed beside this script

"files": {name: {tensor: {"dtype", "shape", "hex"}}}, in the state dict's order; hex holds the row-major
little-endian bytes. "hostile" names files whose loading runs code (in torch; each would make FOLDER/executed) and the
global by which. "read" holds shape and sha256 of the FILEs' tensors, "bfloat16" float32 words and torch's rounding.
"""

import collections
import hashlib
import json
import os
import sys

import numpy
import torch

folder = sys.argv[1]
fixtures = "--fixtures" in sys.argv
torch.manual_seed(11)

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
expected = {}


def raw(tensor):
    dense = tensor.detach().clone(memory_format=torch.contiguous_format)
    if dense.dtype == torch.bfloat16:
        dense = dense.view(torch.int16)
    return dense.numpy().tobytes().hex()


def save(name, obj, tensors, **options):
    torch.save(obj, os.path.join(folder, name), **options)
    expected[name] = {
        key: {"dtype": DTYPES[t.dtype], "shape": list(t.shape), "hex": raw(t)} for key, t in tensors.items()
    }


def both(name, obj, tensors, **options):
    save(name + "_zip.pth", obj, tensors, **options)
    save(name + "_legacy.pth", obj, tensors, _use_new_zipfile_serialization=False, **options)


def all_dtypes():
    state = collections.OrderedDict()
    for dtype, name in DTYPES.items():
        values = torch.randn(2, 3, 4) * 50
        state[name.lower()] = values > 0 if dtype == torch.bool else values.abs().to(dtype)
    state["scalar"] = torch.tensor(7)
    state["nothing"] = torch.zeros(0, 3)
    state["large"] = torch.tensor([2**62, -(2**62), 2**53 + 1])
    state["odd"] = torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0])
    return state


def views():
    base = torch.arange(120, dtype=torch.float32).reshape(2, 3, 4, 5)
    wide = torch.arange(24, dtype=torch.float64).reshape(4, 6)
    longs = torch.arange(12).reshape(3, 4) * 10**12
    halves = torch.arange(12, dtype=torch.float32).reshape(3, 4).half()
    flags = torch.arange(12).reshape(3, 4) % 3 == 0
    return {
        "whole": base,
        "offset": base[1],
        "transposed": base.permute(3, 0, 2, 1),
        "strided": base[:, ::2, 1:3, ::3],
        "expanded": base[0, 0, 0, :1].expand(4, 3, 1),
        "f64": wide.t(),
        "i64": longs[:, 1::2].t(),
        "f16": halves.t(),
        "bool": flags.t(),
        "channels_last": torch.randn(2, 3, 2, 2, 2).to(memory_format=torch.channels_last_3d),
        "ones": torch.arange(6.0).reshape(6, 1, 1).transpose(0, 2),
    }


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv3d(1, 2, 3, bias=False)
        self.bn1 = torch.nn.BatchNorm3d(2)
        self.fc = torch.nn.Linear(2, 2)


net = Net()
state = net.state_dict()
optimizer = torch.optim.Adam(net.parameters())
net.fc(torch.randn(3, 2)).sum().backward()
optimizer.step()
wrapped = torch.nn.DataParallel(net).state_dict()
checkpoint = {
    "epoch": 12,
    "best_acc": 0.803,
    "arch": "resnet18",
    "optimizer": optimizer.state_dict(),
    "state_dict": wrapped,
    "history": [0.5, 0.6],
}

both("checkpoint", checkpoint, wrapped)
looks, kinds = views(), all_dtypes()
both("views", looks, looks)
both("dtypes", kinds, kinds)
if fixtures:
    print(json.dumps({"files": expected}))
    sys.exit()

both("state", state, state)
both("parameters", collections.OrderedDict(net.named_parameters()), dict(net.named_parameters()))
shared = torch.randn(4, 4)
both("shared", {"a": shared, "b": shared, "row": shared[2]}, {"a": shared, "b": shared, "row": shared[2]})
both("nested", {"model": {"state_dict": state}, "note": "x"}, state)
both("plain", {"model_state_dict": dict(state), "size": state["conv1.weight"].shape, "kinds": None}, state)
both("only_dict", {"epoch": 3, "encoder": state}, state)
big = {f"layer{i}.weight": torch.tensor([float(i)]) for i in range(9000)}
both("many", big, big)
for protocol in (1, 3, 4, 5):
    both(f"protocol{protocol}", {"model": state, "epoch": 70000, "tags": ["a", "b"]}, state, pickle_protocol=protocol)


# Files that are refused: a program, whole modules, no state dict.
torch.jit.script(torch.nn.Sequential(torch.nn.Linear(2, 2))).save(os.path.join(folder, "script.pt"))
module = torch.nn.Sequential(torch.nn.Linear(2, 2))
torch.save(module, os.path.join(folder, "module_zip.pth"))
torch.save({"model": module}, os.path.join(folder, "module_legacy.pth"), _use_new_zipfile_serialization=False)
torch.save([torch.zeros(2)], os.path.join(folder, "list.pth"))


class Hostile:
    def __init__(self, call):
        self.call = call

    def __reduce__(self):
        return self.call


marker = os.path.join(folder, "executed")
calls = {
    "posix.system": (os.system, ("touch " + marker,)),
    "__builtin__.eval": (eval, ("open(%r, 'w').close()" % marker,)),
    "__builtin__.exec": (exec, ("open(%r, 'w').close()" % marker,)),
    "__builtin__.getattr": (getattr, (torch.Size, "numel")),
}
hostile = {}
for asked, call in calls.items():
    for kind in ("zip", "legacy"):
        name = f"hostile{len(hostile)}_{kind}.pth"
        obj = {"w": torch.zeros(2), "x": Hostile(call)}
        torch.save(obj, os.path.join(folder, name), _use_new_zipfile_serialization=kind == "zip")
        hostile[name] = asked
torch.load(os.path.join(folder, "hostile0_zip.pth"))

published = [
    {
        key: [list(t.shape), hashlib.sha256(bytes.fromhex(raw(t))).hexdigest()]
        for key, t in torch.load(path, map_location="cpu").items()
    }
    for path in sys.argv[2:]
]

# All exponents with ties and their neighbours.
mantissas = [0, 1, 0x7FFF, 0x8000, 0x8001, 0x17FFF, 0x18000, 0x18001, 0x7F7FFF, 0x7F8000, 0x7FFFFF]
words = numpy.array(
    [sign | e << 23 | m for sign in (0, 1 << 31) for e in range(256) for m in mantissas if e < 255 or m == 0],
    dtype=numpy.uint32,
)
rounded = torch.from_numpy(words.view(numpy.float32)).bfloat16().view(torch.int16).numpy()

print(
    json.dumps(
        {
            "files": expected,
            "hostile": hostile,
            "read": published,
            "bfloat16": {"words": words.tobytes().hex(), "rounded": rounded.tobytes().hex()},
        }
    )
)
