"""Times the convolutions of PyTorch: one JSON request per line on standard input, milliseconds per pass on standard output."""
import json
import sys
import time

import torch

torch.set_num_threads(int(sys.argv[1]))
made = {}


def tensors(key):
    if key not in made:
        made.clear()
        batch, grid, inputs, outputs, kernel, stride, padding, dilation = json.loads(key)
        x = torch.randn(batch, inputs, *grid)
        weight = torch.randn(outputs, inputs, *kernel) * 0.02
        with torch.no_grad():
            y = torch.nn.functional.conv3d(x, weight, None, stride, padding, dilation)
        made[key] = (x, weight, torch.randn_like(y))
    return made[key]


for line in sys.stdin:
    request = json.loads(line)
    key = json.dumps([request[name] for name in ("batch", "input", "inChannels", "outChannels", "kernel", "stride", "padding", "dilation")])
    x, weight, dy = tensors(key)
    stride, padding, dilation = request["stride"], request["padding"], request["dilation"]

    def backward(wanted):
        return torch.ops.aten.convolution_backward(
            dy, x, weight, None, stride, padding, dilation, False, [0, 0, 0], 1, wanted
        )

    passes = {
        "forward": lambda: torch.nn.functional.conv3d(x, weight, None, stride, padding, dilation),
        "input gradient": lambda: backward([True, False, False]),
        "filter gradient": lambda: backward([False, True, False]),
    }
    answer = {}
    with torch.no_grad():
        for name in request["passes"]:
            passes[name]()
            times = []
            for _ in range(request["repeats"]):
                start = time.perf_counter()
                passes[name]()
                times.append((time.perf_counter() - start) * 1e3)
            answer[name] = times
    print(json.dumps(answer), flush=True)
