"""What PyTorch computes with weights that fcd export wrote, loaded into the peer network of torch_peer.py.

    python3 pretrained_peer.py FILE SPEC SCAN

A JSON line: the features of every stage and the logits, in float32 and float64, of the scan's values as they are in the
file; and which of the network's tensors the file lacks.
"""
import json
import os
import sys

import nibabel
import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import torch_peer

path, spec, scan = sys.argv[1:]
net = torch_peer.ResNet(json.loads(spec))
report = net.load_state_dict(torch.load(path, weights_only=True), strict=False)
net.eval()
x = torch.from_numpy(nibabel.load(scan).get_fdata())[None, None]  # [N, C, i, j, k]; the depth is i
found = {"missing": report.missing_keys, "unexpected": report.unexpected_keys, "single": {}, "double": {}}
for name, dtype in (("single", torch.float32), ("double", torch.float64)):
    net.to(dtype)
    kept = {}
    hooks = [
        net.get_submodule(layer).register_forward_hook(lambda _m, _i, out, layer=layer: kept.update({layer: out}))
        for layer in ("layer1", "layer2", "layer3", "layer4")
    ]
    with torch.no_grad():
        kept["logits"] = net(x.to(dtype))
    for hook in hooks:
        hook.remove()
    # Channels last, as a row of our tensors.
    rows = {layer: (t.permute(0, 2, 3, 4, 1) if t.dim() == 5 else t).flatten().tolist() for layer, t in kept.items()}
    found[name] = rows
print(json.dumps(found))
