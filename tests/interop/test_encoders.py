"""Text through lathe's tokenizers and through the originals: Hugging Face tokenizers, sentencepiece and llama.cpp, over the lines of stress_text.py,
from folders and from the GGUF that lathe-convert makes of them; and back to text."""
import json
import os
import sys
import unicodedata

import llama_cpp
import sentencepiece
from tokenizers import Tokenizer, normalizers, pre_tokenizers

import stress_text
import tokenizers_made as made
from checks import BIN, WORK, check, finish, guarded, run

os.environ["TOKENIZERS_PARALLELISM"] = "false"
CACHE = os.path.dirname(sys.prefix)
VOCABULARIES = made.vocabularies(CACHE)
PLAIN = [line.encode() for line in stress_text.lines()]
BROKEN = stress_text.broken()


def characters_of_older_tables():
    """The tables behind the library's normalizers and its classes of punctuation are older than Unicode 14: characters that they treat otherwise
    than unicodedata does. Lines that hold one are passed over where such a step is in the way."""
    norm = [(f, getattr(normalizers, f)()) for f in ("NFC", "NFD", "NFKC")]
    bert, bert_plain = normalizers.BertNormalizer(lowercase=True), normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    cut = pre_tokenizers.BertPreTokenizer()
    odd = set()
    for c in (chr(i) for i in range(128, 0x20000)):
        category = unicodedata.category(c)
        if category in ("Cs", "Cn"):
            continue
        s = "a" + c + "\u0301\u0323"
        bare = "".join(x for x in unicodedata.normalize("NFD", "a" + c + "b") if unicodedata.category(x) != "Mn").lower()
        if (any(n.normalize_str(s) != unicodedata.normalize(f, s) for f, n in norm) or (bert_plain.normalize_str("a" + c) == "a") != (category[0] == "C" or c == "\ufffd")
                or (len(cut.pre_tokenize_str("a" + c + "b")) == 3) != (category[0] == "P")
                or category[0] not in "CZ" and bert.normalize_str("a" + c + "b").replace(" ", "") != bare):
            odd.add(c)
    return odd


ODD = characters_of_older_tables()


def ids_of(path, lines, *options):
    """Ids of lines of bytes, by lathe-inspect."""
    file = os.path.join(WORK, "lines.txt")
    with open(file, "wb") as f:
        f.write(b"".join(line + b"\n" for line in lines))
    _, out = run("inspect", path, "--tokenize-file", file, *options)
    rows = [[int(x) for x in row.split()] for row in out.split("\n")[:-1]]
    assert len(rows) == len(lines), f"{len(rows)} rows for {len(lines)} lines"
    return rows


def compare(name, got, want, lines):
    bad = [i for i in range(len(lines)) if got[i] != want[i]]
    first = f"; first: {lines[bad[0]][:80]!r}: {got[bad[0]][:12]}, expected {want[bad[0]][:12]}" if bad else ""
    check(name, not bad and len(got) == len(want), f"{len(lines)} lines, {len(bad)} mismatches{first}")


def convert(folder):
    out = folder + ".gguf"
    run("convert", folder, "-o", out, "--receipt", "none", "--force")
    return out


def lines_with(special):
    return [line.encode() for line in stress_text.lines(specials=special)] if special else PLAIN


def long_texts():
    """Texts with line ends, which --tokenize-file cannot hold."""
    parts = [line.decode() for line in PLAIN[:400]]
    return ["\n".join(parts).replace("\0", ""), "\r\n".join(parts[40:90]).replace("\0", "") + "a\n\n b \n\n\n  c\t\n x\r\n\r\n y \n", " \n\n"]


def back(name, path, rows, want):
    """Ids of many lines in a row, as far as a command line holds them."""
    bad = 0
    for start in range(3):
        ids, size = [], 0
        for row in rows[start::3]:
            size += sum(len(str(i)) + 1 for i in row)
            if size > 100000:
                break
            ids += row
        _, out = run("inspect", path, "--detokenize", " ".join(map(str, ids)), "--json")
        bad += json.loads(out)["text"] != want(ids)
    check(f"{name} decoded", not bad, f"3 x {len(ids)} ids, {bad} mismatches")


def with_hugging_face(name, folder, special, peer="tokenizer.json", old_tables=False):
    """A folder, and the GGUF made of it, beside the library that reads its tokenizer.json."""
    t = Tokenizer.from_file(os.path.join(folder, peer))
    lines = lines_with(special)
    if old_tables:
        lines = [line for line in lines if not ODD & set(line.decode())]
    want = [e.ids for e in t.encode_batch([line.decode() for line in lines], add_special_tokens=False)]
    compare(f"{name} folder", ids_of(folder, lines), want, lines)
    gguf = convert(folder)
    compare(f"{name} GGUF", ids_of(gguf, lines), want, lines)
    some = lines[:300]
    compare(f"{name} with special", ids_of(folder, some, "--add-special"), [t.encode(line.decode()).ids for line in some], some)
    compare(f"{name} broken bytes", ids_of(folder, BROKEN), [t.encode(line.decode("utf-8", "replace"), add_special_tokens=False).ids for line in BROKEN], BROKEN)
    for k, text in enumerate(long_texts()):
        if old_tables:
            text = "".join(c for c in text if c not in ODD)
        _, out = run("inspect", folder, f"--tokenize={text}", "--json")
        got, right = json.loads(out)["ids"], t.encode(text, add_special_tokens=False).ids
        if got != right or k == 0:
            check(f"{name} text {k} with line ends", got == right, f"{len(right)} ids")
    back(name, folder, want, lambda ids: t.decode(ids, skip_special_tokens=False))
    return gguf, lines, want


def with_llama_cpp(name, gguf, lines, skip=lambda line: False, special=True, library=None, differs=0):
    """library: ids of Hugging Face's library; on at most `differs` lines llama.cpp itself gives others."""
    m = llama_cpp.Llama(gguf, vocab_only=True, verbose=False)
    keep = [i for i, line in enumerate(lines) if not skip(line)]
    want = {i: m.tokenize(lines[i], add_bos=False, special=special) for i in keep}
    own = [i for i in keep if library and want[i] != library[i]]
    if library:
        check(f"{name}: llama.cpp and the library", len(own) <= differs, f"they differ on {len(own)} lines")
    keep = [i for i in keep if i not in set(own)]
    compare(f"{name} in llama.cpp", ids_of(gguf, [lines[i] for i in keep]), [want[i] for i in keep], [lines[i] for i in keep])


def with_sentence_piece(name, folder):
    sp = sentencepiece.SentencePieceProcessor(model_file=folder + "/tokenizer.model")
    lines = [line for line in PLAIN if b"\0" not in line]
    want = [sp.encode(line.decode()) for line in lines]
    compare(f"{name} folder", ids_of(folder, lines), want, lines)
    gguf = convert(folder)
    compare(f"{name} GGUF", ids_of(gguf, lines), want, lines)
    broken = [line for line in BROKEN]
    compare(f"{name} broken bytes", ids_of(folder, broken), [sp.encode(line) for line in broken], broken)
    back(name, folder, want, sp.decode)
    return gguf, lines


# Lines on which llama.cpp's splitter is not the published pattern: marks in words (tekken), spaces beyond U+2000 (deepseek-coder).
DIFFERS = {"tekken": 200, "deepseek-coder": 2}


def case_real(kind, file, special_bos=None, ignore=False):
    folder = os.path.join(WORK, "real-" + file)
    special = made.real_bytes(folder, os.path.join(VOCABULARIES, f"ggml-vocab-{file}.gguf"), kind, ignore, special_bos)
    composed = kind in ("qwen2", "gpt-neox")  # normalizers are not applied in llama.cpp
    gguf, lines, want = with_hugging_face(f"{file} (real vocabulary)", folder, special[:8], old_tables=composed)
    with_llama_cpp(f"{file} (real vocabulary)", gguf, lines, (lambda line: not is_nfc(line)) if composed else lambda line: False, True, want, DIFFERS.get(kind, 0))


def is_nfc(line):
    return unicodedata.is_normalized("NFC", line.decode())


def case_trained(kind, bos=None, ignore=False, runtime=True):
    folder = os.path.join(WORK, "trained-" + kind)
    special = made.trained_bytes(folder, kind, ignore, bos)
    composed = kind in ("qwen2", "gpt-neox")
    gguf, lines, want = with_hugging_face(f"{kind} (trained)", folder, special, old_tables=composed or kind == "unknown")
    if runtime:
        with_llama_cpp(f"{kind} (trained)", gguf, lines, (lambda line: not is_nfc(line)) if composed else lambda line: False, True, want, DIFFERS.get(kind, 0))


def case_llama2():
    source = os.path.join(VOCABULARIES, "ggml-vocab-llama-spm.gguf")
    for name, metaspace in (("llama-2 tokenizer.json", False), ("llama-2 tokenizer.json, Metaspace", True)):
        folder = os.path.join(WORK, "llama2" + ("-metaspace" if metaspace else ""))
        special = made.llama2_json(folder, source, metaspace)
        gguf, _, _ = with_hugging_face(name, folder, special)
        if not metaspace:
            with_llama_cpp(name, gguf, PLAIN)


def case_other_writers():
    """GGUF files without keys of ours: what llama.cpp does with them."""
    for file in ("gpt-2", "llama-bpe", "llama-spm", "qwen2", "qwen35", "starcoder", "deepseek-coder", "refact", "command-r", "gpt-neox", "mpt", "phi-3", "baichuan"):
        path = os.path.join(VOCABULARIES, f"ggml-vocab-{file}.gguf")
        if os.path.exists(path):
            with_llama_cpp(f"{file} (another writer's GGUF)", path, PLAIN)


def case_sentence_piece():
    for name, kind, options in (
            ("SentencePiece BPE", "bpe", {"vocab_size": 1800, "byte_fallback": True, "normalization_rule_name": "identity", "remove_extra_whitespaces": False, "character_coverage": 0.98}),
            ("SentencePiece BPE, NFKC, own pieces", "bpe", {"vocab_size": 1800, "normalization_rule_name": "nmt_nfkc", "user_defined_symbols": ["<n>", "<|tab|>", "ab", "▁▁"], "character_coverage": 0.98}),
            ("SentencePiece unigram, NFKC", "unigram", {"vocab_size": 1000, "normalization_rule_name": "nmt_nfkc", "character_coverage": 0.98, "user_defined_symbols": ["<x>"]}),
            ("SentencePiece unigram, bytes, suffix", "unigram", {"vocab_size": 1200, "byte_fallback": True, "normalization_rule_name": "nfkc_cf", "treat_whitespace_as_suffix": True, "character_coverage": 0.98})):
        def one():
            folder = os.path.join(WORK, f"{kind}{len(options)}")
            made.sentence_piece(folder, kind, **options)
            gguf, lines = with_sentence_piece(name, folder)
            if kind == "bpe" and options.get("byte_fallback"):
                with_llama_cpp(name, gguf, lines, special=False)
            if name == "SentencePiece unigram, NFKC":
                t5 = os.path.join(WORK, "t5")
                special = made.t5_json(t5, folder + "/tokenizer.model")
                with_hugging_face("T5 tokenizer.json", t5, special)
        guarded(name, one)


def case_gpt1():
    folder = os.path.join(WORK, "gpt1")
    special = made.gpt1(folder)
    with_hugging_face("GPT-1 vocab.json, merges.txt", folder, special, peer="peer.json", old_tables=True)


os.makedirs(WORK, exist_ok=True)
check("vocabularies of llama.cpp's source package", VOCABULARIES is not None, "none")
if VOCABULARIES:
    guarded("gpt-2", case_real, "gpt-2", "gpt-2")
    guarded("llama-bpe", case_real, "llama-bpe", "llama-bpe", "<|begin_of_text|>", True)
    guarded("qwen2 real", case_real, "qwen2", "qwen2")
    guarded("starcoder real", case_real, "starcoder", "starcoder")
    guarded("llama-2", case_llama2)
    guarded("other writers", case_other_writers)
for kind in ("gpt-neox", "tekken", "deepseek-v3", "deepseek-coder"):
    guarded(kind + " trained", case_trained, kind, None, kind == "tekken")
guarded("unknown trained", case_trained, "unknown", None, False, False)
guarded("sentence", case_sentence_piece)
guarded("gpt1", case_gpt1)
finish()
