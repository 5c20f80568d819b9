"""
PyTorch's side of the benchmark: one JSON request per line on standard input, one answer per line on standard output.

    torch-peer.py THREADS [OPTIMISER] [DEVICE]      DEVICE: cpu (default), or cuda, which is cpu where there is none

On a GPU every request names a mode: `tf32-off` and `tf32-on` compute in float32, `f16` under autocast with a scaled loss.
"""
import contextlib
import json
import os
import platform
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
ON_GPU = len(sys.argv) > 3 and sys.argv[3] == "cuda" and torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")
# The fastest of cuDNN's algorithms, as people who train turn it on; ours are chosen beforehand too.
torch.backends.cudnn.benchmark = True
made = {}


def hello():
    """What computes, for the record."""
    answer = {"torch": torch.__version__, "python": platform.python_version(), "device": DEVICE.type, "modes": ["cpu"]}
    if ON_GPU:
        properties = torch.cuda.get_device_properties(DEVICE)
        answer |= {
            "name": properties.name,
            "memory": properties.total_memory,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "modes": ["tf32-off", "tf32-on", "f16"],
        }
    return answer


def use(mode):
    torch.backends.cudnn.allow_tf32 = mode == "tf32-on"
    torch.backends.cuda.matmul.allow_tf32 = mode == "tf32-on"


def autocast(mode):
    return torch.autocast("cuda", torch.float16) if mode == "f16" else contextlib.nullcontext()


def settle():
    """A GPU is asked and answers later."""
    if ON_GPU:
        torch.cuda.synchronize()


def layer_tensors(key):
    if key not in made:
        made.clear()
        (batch, grid, inputs, outputs, kernel, stride, padding, dilation), half = json.loads(key)
        dtype = torch.float16 if half else torch.float32
        x = torch.randn(batch, inputs, *grid, device=DEVICE, dtype=dtype)
        weight = torch.randn(outputs, inputs, *kernel, device=DEVICE, dtype=dtype) * 0.02
        with torch.no_grad():
            y = F.conv3d(x, weight, None, stride, padding, dilation)
        made[key] = (x, weight, torch.randn_like(y))
    return made[key]


def layer(request):
    names = ("batch", "input", "inChannels", "outChannels", "kernel", "stride", "padding", "dilation")
    use(request.get("mode"))
    x, weight, dy = layer_tensors(json.dumps([[request[name] for name in names], request.get("mode") == "f16"]))
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
            timed(passes[name])
            together = repetitions(passes[name], request.get("leastMs", 0))
            answer[name] = [timed(passes[name], together) for _ in range(request["repeats"])]
    return answer


def repetitions(run, least):
    """How often some work is done in one measurement so that it takes so many milliseconds."""
    times = 1
    while least > 0 and times < 2000:
        took = timed(run, times) * times
        if took >= least:
            break
        times = min(2000, int(times * min(16, max(1.3, least / took))) + 1)
    return times


def timed(run, times=1):
    """Milliseconds of one of several runs."""
    settle()
    start = time.perf_counter()
    for _ in range(times):
        run()
    settle()
    return (time.perf_counter() - start) * 1e3 / times


class Whole:
    """A network with what a training step needs."""

    def __init__(self, request):
        spec = {key: request[key] for key in ("arch", "geometry", "shortcut")}
        self.net = torch_peer.ResNet(spec | {"width": request.get("width", 1), "inChannels": 1}).to(DEVICE)
        self.batch = torch.randn(request["batch"], 1, *request["grid"])
        if ON_GPU:
            self.batch = self.batch.pin_memory()
        self.x = self.batch[:1].to(DEVICE)
        self.labels = (torch.arange(request["batch"]) % 2).to(DEVICE)
        self.part = request.get("microBatch", request["batch"])
        self.scaler = None
        parameters = self.net.parameters()
        if OPTIMISER == "sgd":
            self.optimiser = torch.optim.SGD(parameters, lr=1e-4, momentum=0.9)
        else:
            self.optimiser = torch.optim.Adam(parameters, lr=1e-5)

    def step(self, mode=None):
        """One step over the batch, in micro-batches whose gradients add up; the batch comes from the machine's memory."""
        self.net.train()
        self.optimiser.zero_grad(set_to_none=True)
        count = len(self.batch)
        total = 0
        for at in range(0, count, self.part):
            x = self.batch[at : at + self.part].to(DEVICE, non_blocking=True)
            with autocast(mode):
                loss = F.cross_entropy(self.net(x), self.labels[at : at + self.part], reduction="sum") / count
            (self.scaled(loss) if mode == "f16" else loss).backward()
            total = total + loss.detach()
        if mode == "f16":
            self.scaler.step(self.optimiser)
            self.scaler.update()
        else:
            self.optimiser.step()
        return total.item()

    def scaled(self, loss):
        if self.scaler is None:
            modern = hasattr(torch, "amp") and hasattr(torch.amp, "GradScaler")
            self.scaler = torch.amp.GradScaler("cuda") if modern else torch.cuda.amp.GradScaler()
        return self.scaler.scale(loss)

    def inference(self, mode=None):
        self.net.eval()
        with torch.no_grad(), autocast(mode):
            return self.net(self.x)

    def gradcam(self, mode=None):
        """One inference and one backward pass to layer4, as libraries for PyTorch do it with parameters frozen."""
        self.net.eval()
        net = self.net
        with autocast(mode):
            with torch.no_grad():
                y = torch_peer.relu(net.bn1(net.conv1(self.x)))
                y = F.max_pool3d(y, 3, 2, 1)
                kept = net.layer4(net.layer3(net.layer2(net.layer1(y))))
            kept.requires_grad_()
            logits = net.fc(kept.mean((2, 3, 4)))
        (gradient,) = torch.autograd.grad(logits[0, 1], kept)
        return F.relu((gradient.mean((2, 3, 4), keepdim=True) * kept).sum(1)).detach()


def memory():
    """The peak of this process alone, bytes; on a GPU, of its memory: given to tensors, and held for them."""
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    answer = {"peak": int(fields["VmHWM"].split()[0]) * 1024}
    if ON_GPU:
        answer["gpu"] = {"peak": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved()}
    return answer


def reset_peak():
    if ON_GPU:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return {}


def answered(request):
    global whole
    what = request["do"]
    if what == "hello":
        return hello()
    if what == "layer":
        return layer(request)
    if what == "open":
        whole = None
        whole = Whole(request)
        return {}
    if what == "memory":
        return memory()
    if what == "resetPeak":
        return reset_peak()
    if what in ("step", "inference", "gradcam"):
        mode = request.get("mode")
        use(mode)
        return {"ms": timed(lambda: getattr(whole, what)(mode))}
    return {}


whole = None
for line in sys.stdin:
    try:
        answer = answered(json.loads(line))
    except Exception as error:  # what does not fit or is missing is told, and the next request may be another matter
        answer = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
    print(json.dumps(answer), flush=True)
