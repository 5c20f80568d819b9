"""Prints tensors and what numpy says of them, as JSON: statistics, histograms, dead filters, changes between two."""
import json

import numpy

rng = numpy.random.default_rng(7)


def described(name, array, dtype, values=None):
    values = (array if values is None else values).astype(numpy.float64)
    finite = values[numpy.isfinite(values)]
    counts, edges = numpy.histogram(finite, bins=64)
    return {
        "name": name,
        "dtype": dtype,
        "shape": list(array.shape),
        "hex": array.tobytes().hex(),
        "expected": {
            "min": float(finite.min()),
            "max": float(finite.max()),
            "mean": float(finite.mean()),
            "sd": float(finite.std()),
            "nan": int(numpy.isnan(values).sum()),
            "inf": int(numpy.isinf(values).sum()),
            "zeros": int((values == 0).sum()),
            "counts": counts.tolist(),
            "low": float(edges[0]),
            "high": float(edges[-1]),
        },
    }


def with_holes(array):
    flat = array.reshape(-1)
    flat[3], flat[70], flat[71], flat[200] = numpy.nan, numpy.inf, -numpy.inf, 0
    return array


# On a grid of sixteenths many values lie exactly on edges of bins.
on_edges = numpy.round(rng.normal(size=4000) * 16).astype(numpy.float32) / 16
upper = rng.normal(size=(40, 30)).astype(numpy.float32).view(numpy.uint32) >> 16
tensors = [
    described("f32", with_holes(rng.normal(size=(8, 3, 5, 5, 5)).astype(numpy.float32)), "F32"),
    described("f64", with_holes(rng.normal(2, 1e-3, size=(700, 900))), "F64"),
    described("f16", with_holes(rng.normal(size=(16, 4, 3, 3, 3)).astype(numpy.float16)), "F16"),
    described("bf16", upper.astype(numpy.uint16), "BF16", (upper << 16).astype(numpy.uint32).view(numpy.float32)),
    described("i32", rng.integers(-1000, 1000, size=5000).astype(numpy.int32), "I32"),
    described("i64", rng.integers(-(2**40), 2**40, size=5000), "I64"),
    described("edges", on_edges, "F32"),
]

before = rng.normal(size=(6, 2, 3, 3, 3)).astype(numpy.float32)
after = (before + rng.normal(0, 0.1, size=before.shape)).astype(numpy.float32)
after[0] = before[0]
a, b = before.astype(numpy.float64).reshape(-1), after.astype(numpy.float64).reshape(-1)
change = {
    "shape": list(before.shape),
    "before": before.tobytes().hex(),
    "after": after.tobytes().hex(),
    "l2": float(numpy.linalg.norm(b - a)),
    "relative": float(numpy.linalg.norm(b - a) / numpy.linalg.norm(a)),
    "cosine": float(a @ b / numpy.linalg.norm(a) / numpy.linalg.norm(b)),
    "max": float(numpy.abs(b - a).max()),
    "changed": int((a != b).sum()),
}
print(json.dumps({"tensors": tensors, "change": change}))
