"""Writes dtypes/iq_grids.c from the tables of gguf-py, which has them from ggml:  python dtypes/make_iq_grids.py  (Python with gguf)

A point of a codebook is a vector of 8 or 4 small numbers; each is an index into a short list of values, and the indices are packed into 16 bits,
the first lowest. Only the indices are written; the values are in iq_codebook.c.
"""
import os

import gguf
import numpy as np

CODEBOOKS = [("iq1", "IQ1_S", 2), ("iq2_xxs", "IQ2_XXS", 2), ("iq2_xs", "IQ2_XS", 2), ("iq2_s", "IQ2_S", 2),
             ("iq3_xxs", "IQ3_XXS", 3), ("iq3_s", "IQ3_S", 3)]


def packed(class_name, bits):
    quant = getattr(gguf.quants, class_name)
    quant.init_grid()
    points = quant.grid.reshape(quant.grid_shape)
    indices = np.searchsorted(np.array(quant.grid_map), points)
    assert np.array_equal(np.array(quant.grid_map, np.float32)[indices], points)
    return (indices << bits * np.arange(points.shape[1])).sum(axis=1)


def main():
    out = ["/* Written by make_iq_grids.py from gguf-py's tables: the points of the codebooks, coordinates packed, the first lowest. */",
           '#include "dtypes/iq_codebook.h"', ""]
    for name, class_name, bits in CODEBOOKS:
        p = packed(class_name, bits)
        out += ["/* clang-format off */", f"const uint16_t {name}_points[{len(p)}] = {{"]
        line = "   "
        for v in p:
            if len(line) + len(f" {v},") > 140:
                out.append(line)
                line = "   "
            line += f" {v},"
        out += [line, "};", "/* clang-format on */", ""]
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "iq_grids.c"), "w") as f:
        f.write("\n".join(out[:-1]) + "\n")


main()
