"""Writes tests/vectors/torch/: files as torch.save makes them, and what torch reads back from them as safetensors.

    python tests/vectors/make_torch_vectors.py

Each NAME.pt has a NAME.safetensors with the same tensors, contiguous (types that not every
release of safetensors writes as NAME/bytes: U8).
legacy_*.pt are in the form before PyTorch 1.6. Files below refused/ have none. Archives that torch does not write itself (big-endian, compressed) are rewritten with zipfile and read back
with torch.load before they are accepted. Made with torch 2.13.0, safetensors 0.8.0.
"""
import argparse
import io
import os
import pickle
import struct
import zipfile
from collections import Counter, OrderedDict

import torch
from safetensors.torch import save_file

out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch")
os.makedirs(os.path.join(out, "refused"), exist_ok=True)
gen = torch.Generator().manual_seed(1)


def fill(shape, dtype):
    if dtype == torch.bool:
        return torch.randint(0, 2, shape, generator=gen).to(dtype)
    if dtype.is_floating_point or dtype.is_complex:
        x = torch.randn(shape, generator=gen, dtype=torch.float64)
        if dtype.is_complex:
            return torch.complex(x, torch.randn(shape, generator=gen, dtype=torch.float64)).to(dtype)
        if dtype == torch.float8_e8m0fnu:
            return torch.randint(1, 255, shape, generator=gen).to(torch.uint8).view(dtype)
        return x.to(dtype)
    info = torch.iinfo(dtype)
    x = torch.randint(max(info.min, -(2**62)), min(info.max, 2**62), shape, generator=gen)
    return x.to(dtype)


def flat(value, prefix=()):
    """The naming rule of torch_state.h."""
    if isinstance(value, torch.Tensor):
        yield ".".join(prefix) if prefix else "tensor", value
    elif isinstance(value, dict):
        for k, v in value.items():
            yield from flat(v, prefix + (str(k),))
    elif isinstance(value, (list, tuple)):
        for i, v in enumerate(value):
            yield from flat(v, prefix + (str(i),))


def expect(name, value):
    tensors = {}
    for key, t in flat(value):
        t = t.detach()
        if t.dtype in (torch.complex128, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz):
            tensors[key + "/bytes"] = t.contiguous().view(torch.uint8).clone()
        else:
            tensors[key] = t.contiguous().clone()
    save_file(tensors, os.path.join(out, name + ".safetensors"))


def put(name, value, **kw):
    path = os.path.join(out, name + ".pt")
    torch.save(value, path, **kw)
    expect(name, torch.load(path, weights_only=True))


def rewrite(source, name, method, change=lambda record, data: data, drop=()):
    """The records of an archive once more, as Python's zipfile writes them."""
    path = os.path.join(out, name + ".pt")
    with zipfile.ZipFile(os.path.join(out, source + ".pt")) as src, zipfile.ZipFile(path, "w", method) as dst:
        for info in src.infolist():
            record = info.filename.split("/", 1)[1]
            if record in drop:
                continue
            dst.writestr(zipfile.ZipInfo(info.filename), change(record, src.read(info)), compress_type=method)
    expect(name, torch.load(path, weights_only=True))


dtypes = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
          torch.uint8, torch.bool, torch.complex64, torch.complex128, torch.float8_e4m3fn, torch.float8_e5m2,
          torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu, torch.uint16, torch.uint32, torch.uint64]
put("dtypes", {str(d).split(".")[1]: fill((3, 5), d) for d in dtypes})

base = torch.arange(720, dtype=torch.float32).reshape(24, 30)
small = torch.arange(24, dtype=torch.int16).reshape(2, 3, 4)
views = OrderedDict(
    whole=base,
    same=base,
    alias=base.view(30, 24),
    transposed=base.t(),
    rows=base[3:7],
    columns=base[:, 4:9],
    every_third=base[::3, ::2],
    one=base[5, 5],
    permuted=small.permute(2, 0, 1),
    last_swapped=small.transpose(1, 2),
    expanded=torch.tensor([1.5, 2.5, 3.5], dtype=torch.float64).expand(4, 3),
    expanded_column=torch.tensor([[1], [2], [3]], dtype=torch.int64).expand(3, 5),
    diagonal=base[:24, :24].diagonal(),
    overlapping=torch.arange(10, dtype=torch.uint8).unfold(0, 4, 2),
    scalar=torch.tensor(7.25),
    empty=torch.empty(0, 5),
    empty_view=base[3:3],
    unit=base[2:3, 4:5].expand(1, 1),
    five=torch.arange(32, dtype=torch.int32).reshape(2, 2, 2, 2, 2).permute(4, 2, 0, 3, 1),
)
put("views", views)
rewrite("views", "views_deflated", zipfile.ZIP_DEFLATED)
rewrite("views", "views_stored", zipfile.ZIP_STORED, drop=("byteorder", ".format_version", ".storage_alignment"))

model = torch.nn.Sequential(OrderedDict(embed=torch.nn.Embedding(7, 4), proj=torch.nn.Linear(4, 7, bias=False),
                                        norm=torch.nn.LayerNorm(4)))
with torch.no_grad():
    for p in model.parameters():
        p.copy_(torch.randn(p.shape, generator=gen))
model.proj.weight = model.embed.weight
put("tied", model.state_dict())
put("nested", {
    "epoch": 3, "loss": 0.25, "name": "tiny \u00e9", "none": None, "flags": [True, False, -1, 300, 70000, -(2**40), 2**62],
    "model": model.state_dict(),
    "parameter": torch.nn.Parameter(torch.ones(2, 3)),
    "layers": {0: {"w": torch.full((2,), 0.5)}, 1: {"w": torch.full((2,), 1.5)}},
    "list": [torch.zeros(1), {"x": torch.ones(1)}, (torch.full((1,), 2.0),)],
    "dtype": torch.bfloat16, "size": torch.Size([2, 3]), "empty": {}, "unicode.\u4f60": torch.ones(1),
})
put("single", torch.arange(6, dtype=torch.int32).reshape(2, 3))

# Big-endian: the words of each storage turned round. complex numbers are pairs of words.
big = {"f32": fill((2, 3), torch.float32), "f64t": fill((3, 2), torch.float64).t(), "bf16": fill((5,), torch.bfloat16),
       "i16": fill((4,), torch.int16), "c64": fill((3,), torch.complex64), "u8": fill((3,), torch.uint8)}
put("little", big)
words = dict(zip(("data/%d" % i for i in range(6)), (4, 8, 2, 2, 4, 1)))


def turn(record, data):
    if record == "byteorder":
        return b"big"
    k = words.get(record, 0)
    return b"".join(data[i:i + k][::-1] for i in range(0, len(data), k)) if k else data


rewrite("little", "big_endian", zipfile.ZIP_STORED, turn)

# The form before zip. Its storages are listed by address, so the files differ from run to run.
old = {"_use_new_zipfile_serialization": False}
put("legacy_dtypes", {str(d).split(".")[1]: fill((3, 5), d) for d in dtypes[:12]}, **old)  # torch reads no others back
put("legacy_views", views, **old)
put("legacy_tied", model.state_dict(), **old)
put("legacy_nested", {
    "epoch": 3, "loss": 0.25, "model": model.state_dict(), "optimizer": {"state": {0: {"step": 7, "exp_avg": torch.ones(2)}}},
    "parameter": torch.nn.Parameter(torch.ones(2, 3)), "best": [1, 2.5, None, "x"], "device": torch.device("cpu"),
    "count": Counter({"a": 2}),
}, **old)


class ViewPickler(pickle.Pickler):
    """Storages as PyTorch before 0.4 wrote them: one that shows elements 2 to 8 of another."""

    def persistent_id(self, obj):
        if not isinstance(obj, Part):
            return None
        view = None if obj.whole else ("part", 2, 6)
        return ("storage", torch.FloatStorage, "root", "cpu", 10, view)


class Part:
    def __init__(self, whole):
        self.whole = whole


class View:
    def __init__(self, whole, offset, size, stride):
        self.args = (Part(whole), offset, size, stride)

    def __reduce__(self):
        return (torch._utils._rebuild_tensor, self.args)


buffer = io.BytesIO()
for value in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2}}):
    pickle.dump(value, buffer, protocol=2)
ViewPickler(buffer, protocol=2).dump({"whole": View(True, 1, (3, 3), (3, 1)), "part": View(False, 0, (2, 3), (3, 1)),
                                      "turned": View(False, 1, (3, 1), (2, 1))})
pickle.dump(["root"], buffer, protocol=2)
buffer.write(struct.pack("<q10f", 10, *range(10)))
with open(os.path.join(out, "legacy_parts.pt"), "wb") as f:
    f.write(buffer.getvalue())
expect("legacy_parts", torch.load(os.path.join(out, "legacy_parts.pt"), weights_only=True))

# A value beside the weights that only torch.load(weights_only=False) reads: a bag of attributes.
torch.save({"args": argparse.Namespace(lr=0.1, name="x", inner=argparse.Namespace(depth=2)), "w": torch.ones(2)},
           os.path.join(out, "namespace.pt"))
expect("namespace", {"w": torch.ones(2)})

# What has no place: each is named when it is refused.
refused = lambda n: os.path.join(out, "refused", n + ".pt")
torch.save({"w": torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8)}, refused("legacy_quantized"), **old)
torch.save({"w": torch.ones(2)}, refused("protocol4"), pickle_protocol=4)
torch.save({"w": torch.eye(3).to_sparse()}, refused("sparse"))
torch.save({"w": torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8)}, refused("quantized"))
torch.save({"w": torch.ones(2, device="meta")}, refused("meta"))
torch.save({"w": torch.view_as_complex(torch.ones(2, 2)).conj()}, refused("conjugated"))
torch.save(torch.nn.Linear(2, 2), refused("module"))
torch.save({"s": torch.ones(3).untyped_storage()}, refused("storage"))
torch.save({"w": torch.ones((1,) * 9)}, refused("nine_dims"))
torch.save({"a.b": torch.ones(1), "a": {"b": torch.zeros(1)}}, refused("same_name"))
torch.save({(1, 2): torch.ones(1)}, refused("tuple_key"))
torch.save(5, refused("no_tensors"))
buffer = io.BytesIO()
torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), buffer)
with open(refused("torchscript"), "wb") as f:
    f.write(buffer.getvalue())
print(sorted(os.listdir(out)))
