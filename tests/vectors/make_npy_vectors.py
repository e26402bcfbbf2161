"""Writes tests/vectors/npy/: arrays as numpy.save makes them. python tests/vectors/make_npy_vectors.py (made with numpy 2.4.6)

Element i of each is 3 * i - 5, plus 0.25 for floats.
"""
import os

import numpy as np

out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "npy")
os.makedirs(out, exist_ok=True)


def values(shape, dtype):
    n = int(np.prod(shape))
    x = 3 * np.arange(n) - 5
    return (x + 0.25 if np.dtype(dtype).kind == "f" else x).astype(dtype).reshape(shape)


for name in ("int32", "int64", "float32", "float64"):
    np.save(os.path.join(out, name + "_1d.npy"), values((7,), name))
    np.save(os.path.join(out, name + "_2d.npy"), values((3, 5), name))
np.save(os.path.join(out, "scalar.npy"), values((), "float64"))
np.save(os.path.join(out, "empty.npy"), values((0, 4), "int32"))
with open(os.path.join(out, "version2.npy"), "wb") as f:
    np.lib.format.write_array(f, values((7,), "int64"), version=(2, 0))
with open(os.path.join(out, "version3.npy"), "wb") as f:
    np.lib.format.write_array(f, values((7,), "int64"), version=(3, 0))
np.save(os.path.join(out, "refused_fortran.npy"), np.asfortranarray(values((3, 5), "float32")))
np.save(os.path.join(out, "refused_big_endian.npy"), values((7,), ">i4"))
np.save(os.path.join(out, "refused_int16.npy"), values((7,), "int16"))
np.save(os.path.join(out, "refused_3d.npy"), values((2, 2, 2), "float32"))
np.save(os.path.join(out, "refused_struct.npy"), np.zeros(2, dtype=[("a", "<i4"), ("b", "<f4")]))
