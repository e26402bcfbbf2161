"""--audit beside Python's pickletools: the same opcodes at the same bytes and the same names, for files that torch.save made and for
pickles made to harm. Nothing is loaded: pickletools walks, too.
"""
import collections
import os
import pickle
import pickletools
import zipfile

import torch
from checks import *


def walk(data):
    """Opcodes with their places, and names as the stack says them: pickletools' own simulation of strings and memo."""
    ops, names, stack, memo = [], [], [], {}
    for op, arg, pos in pickletools.genops(data):
        ops.append(f"{pos} {op.name}")
        if op.name in ("GLOBAL", "INST"):
            names.append(tuple(arg.split(" ", 1)))
        elif op.name == "STACK_GLOBAL":
            names.append((stack[-2], stack[-1]))
        if "PUT" in op.name or op.name == "MEMOIZE":
            memo[len(memo) if op.name == "MEMOIZE" else arg] = stack[-1]
            continue
        before, after = op.stack_before, op.stack_after
        if pickletools.markobject in before or (op.name == "POP" and stack and stack[-1] is pickletools.markobject):
            while stack.pop() is not pickletools.markobject:
                pass
            n = before.index(pickletools.markobject) if pickletools.markobject in before else 0
        else:
            n = len(before)
        top = stack[-1] if stack else None
        if n:
            del stack[-n:]
        if op.name == "MARK":
            after = [pickletools.markobject]
        for _ in after:
            if "GET" in op.name:
                stack.append(memo[arg])
            elif op.name == "DUP":
                stack.append(top)
            elif op.name == "MARK":
                stack.append(pickletools.markobject)
            else:
                stack.append(arg if "UNICODE" in op.name or "STRING" in op.name else None)
    return ops, names


def compare(name, path, pickles, clean):
    status, out = run("inspect", path, "--audit", "--all", "--json", expect=None)
    found = json.loads(out)["files"][0]
    check(f"{name}: verdict", status == (0 if clean else 1) and found["clean"] == clean, f"exit {status}, {found['findings']}")
    check(f"{name}: number of pickles", len(found["pickles"]) == len(pickles), f"{len(found['pickles'])}, {len(pickles)}")
    for i, (mine, data) in enumerate(zip(found["pickles"], pickles)):
        ops, names = walk(data)
        check(f"{name}: opcodes of pickle {i + 1}", mine["sequence"] == ops, f"{len(ops)} opcodes")
        counted = collections.Counter(names)
        listed = {(n["module"], n["name"]): n["count"] for n in mine["names"]}
        check(f"{name}: names of pickle {i + 1}", listed == dict(counted), f"{len(counted)} names")


def torch_files(folder):
    tensors = collections.OrderedDict((f"layer.{i}.weight", torch.randn(3, 4 + i).to(t)) for i, t in enumerate(
        [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool]))
    tensors["view"] = tensors["layer.0.weight"].t()
    for name, value in (("state", tensors), ("nested", {"model": tensors, "epoch": 3, "args": {"lr": 1e-3}})):
        path = os.path.join(folder, f"{name}.bin")
        torch.save(value, path)
        with zipfile.ZipFile(path) as z:
            data = [z.read(n) for n in z.namelist() if n.endswith(".pkl")]
        guarded(name, compare, f"torch zip, {name}", path, data, True)
        found = json.loads(run("inspect", path, "--audit", "--all", "--json")[1])["files"][0]["archive"]
        with zipfile.ZipFile(path) as z:
            expected = [(e.filename, e.file_size, e.compress_size, e.compress_type, e.CRC) for e in z.infolist()]
        check(f"torch zip, {name}: records are zipfile's",
              [(e["name"], e["size_bytes"], e["packed_bytes"], e["method"], e["crc32"]) for e in found["entries"]] == expected, f"{len(expected)} records")
        path = os.path.join(folder, f"{name}_legacy.bin")
        torch.save(value, path, _use_new_zipfile_serialization=False)
        with open(path, "rb") as f:
            raw, at, parts = f.read(), 0, []
            for _ in range(5):
                end = max(pos for _, _, pos in pickletools.genops(raw[at:])) + 1
                parts.append(raw[at:at + end])
                at += end
        guarded(name, compare, f"torch legacy, {name}", path, parts, True)


class Runs:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


def hostile_files(folder):
    for protocol in range(6):
        for name, value in (("system", Runs(os.system, "true")), ("eval", [1, Runs(eval, "1"), {"a": Runs(exec, "")}]),
                            ("attribute", {"w": Runs(os.getenv, "HOME")})):
            data = pickle.dumps(value, protocol)
            path = os.path.join(folder, f"{name}{protocol}.bin")
            with open(path, "wb") as f:
                f.write(data)
            guarded(name, compare, f"{name} in protocol {protocol}", path, [data], False)
    # inside a torch archive, beside a record that is harmless
    path, inner = os.path.join(folder, "inside.bin"), pickle.dumps({"w": Runs(os.system, "true")}, 2)
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("archive/data.pkl", inner)
        z.writestr("archive/version", "3\n")
    guarded("inside", compare, "os.system inside an archive", path, [inner], False)
    for name, data in (("inst", b"(S'true'\nios\nsystem\n."), ("stack", b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94."),
                       ("memo", b"\x80\x04\x8c\x02osq\x05\x8c\x06system\x94\x93."), ("dup", b"\x80\x04\x8c\x02os2\x93.")):
        path = os.path.join(folder, f"hand_{name}.bin")
        with open(path, "wb") as f:
            f.write(data)
        guarded(name, compare, f"by hand: {name}", path, [data], False)


os.makedirs(WORK, exist_ok=True)
guarded("torch files", torch_files, WORK)
guarded("hostile files", hostile_files, WORK)
finish()
