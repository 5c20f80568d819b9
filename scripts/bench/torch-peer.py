"""PyTorch's side of the benchmark: one JSON request per line on standard input, one answer per line on standard output."""
import json
import os
import sys
import time

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "test", "conformance"))
import torch_peer  # noqa: E402  the networks that the conformance tests compare with

# As the networks of this field are written: what is rectified is not kept twice.
torch_peer.relu = lambda x: F.relu(x, inplace=True)

torch.set_num_threads(int(sys.argv[1]))
OPTIMISER = sys.argv[2] if len(sys.argv) > 2 else "adam"
made = {}


def layer_tensors(key):
    if key not in made:
        made.clear()
        batch, grid, inputs, outputs, kernel, stride, padding, dilation = json.loads(key)
        x = torch.randn(batch, inputs, *grid)
        weight = torch.randn(outputs, inputs, *kernel) * 0.02
        with torch.no_grad():
            y = F.conv3d(x, weight, None, stride, padding, dilation)
        made[key] = (x, weight, torch.randn_like(y))
    return made[key]


def layer(request):
    names = ("batch", "input", "inChannels", "outChannels", "kernel", "stride", "padding", "dilation")
    x, weight, dy = layer_tensors(json.dumps([request[name] for name in names]))
    stride, padding, dilation = request["stride"], request["padding"], request["dilation"]

    def backward(wanted):
        return torch.ops.aten.convolution_backward(
            dy, x, weight, None, stride, padding, dilation, False, [0, 0, 0], 1, wanted
        )

    passes = {
        "forward": lambda: F.conv3d(x, weight, None, stride, padding, dilation),
        "input gradient": lambda: backward([True, False, False]),
        "filter gradient": lambda: backward([False, True, False]),
    }
    answer = {}
    with torch.no_grad():
        for name in request["passes"]:
            passes[name]()
            answer[name] = [timed(passes[name]) for _ in range(request["repeats"])]
    return answer


def timed(run):
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


class Whole:
    """A network with what a training step needs."""

    def __init__(self, request):
        self.net = torch_peer.ResNet(
            {key: request[key] for key in ("arch", "geometry", "shortcut")} | {"width": 1, "inChannels": 1}
        )
        self.x = torch.randn(request["batch"], 1, *request["grid"])
        self.labels = torch.arange(request["batch"]) % 2
        parameters = self.net.parameters()
        if OPTIMISER == "sgd":
            self.optimiser = torch.optim.SGD(parameters, lr=1e-4, momentum=0.9)
        else:
            self.optimiser = torch.optim.Adam(parameters, lr=1e-5)

    def step(self):
        self.net.train()
        self.optimiser.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.net(self.x), self.labels)
        loss.backward()
        self.optimiser.step()
        return loss.item()

    def inference(self):
        self.net.eval()
        with torch.no_grad():
            return self.net(self.x)

    def gradcam(self):
        """One inference and one backward pass to layer4, as libraries for PyTorch do it with parameters frozen."""
        self.net.eval()
        net = self.net
        with torch.no_grad():
            y = torch_peer.relu(net.bn1(net.conv1(self.x)))
            y = F.max_pool3d(y, 3, 2, 1)
            kept = net.layer4(net.layer3(net.layer2(net.layer1(y))))
        kept.requires_grad_()
        logits = net.fc(kept.mean((2, 3, 4)))
        (gradient,) = torch.autograd.grad(logits[0, 1], kept)
        return F.relu((gradient.mean((2, 3, 4), keepdim=True) * kept).sum(1)).detach()


def memory():
    """The peak of this process alone, bytes."""
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return {"peak": int(fields["VmHWM"].split()[0]) * 1024}


whole = None
for line in sys.stdin:
    request = json.loads(line)
    what = request["do"]
    answer = {}
    if what == "layer":
        answer = layer(request)
    elif what == "open":
        whole = Whole(request)
    elif what == "memory":
        answer = memory()
    elif what in ("step", "inference", "gradcam"):
        answer = {"ms": timed(getattr(whole, what))}
    print(json.dumps(answer), flush=True)
