/* Pickles: plain values are read; whatever Python would run, and every other irregularity, is refused. */
#include "container_support.h"

#include "base/cursor.h"
#include "formats/pickle.h"
#include "formats/torch_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static struct error err;

#define P "\x80\x02"
/* pickle text with its length, for string literals that may hold NUL */
#define BYTES(s) (s), sizeof(s) - 1
/* ("storage", FloatStorage, "0", "cpu", 6) and the persistent id */
#define FLOATS                                                                                               \
    "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"                                                       \
    "0X\3\0\0\0cpuK\6tQ"
#define HOOKS                                                                                                \
    "\x89"                                                                                                   \
    "ccollections\nOrderedDict\n)R"
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n("
/* a 2 x 3 tensor */
#define TENSOR REBUILD FLOATS "K\0K\2K\3\x86K\3K\1\x86" HOOKS "tR"

/* Status only; nothing is left of what was read. */
static enum status read_bytes(struct pickle *p, const char *bytes, size_t n)
{
    /* a copy of exactly this size, so that a sanitizer sees one byte too many */
    char *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, n);
    enum status st = pickle_read(p, copy, n, "test.pkl", &err);
    if (st == STATUS_OK) pickle_clear(p);
    free(copy);
    return st;
}

static void refuse(const char *what, const char *bytes, size_t n, enum status status, const char *text)
{
    struct pickle p;
    enum status st = read_bytes(&p, bytes, n);
    expect_error(what, st, &err, status, text);
}

static void must_read(struct pickle *p, const void *bytes, size_t n)
{
    if (pickle_read(p, bytes, n, "test.pkl", &err) != STATUS_OK) fail_msg("%s", err.text);
}

static void test_values(void **state)
{
    static const char bytes[] =
        P "](N\x88\x89K\xffM\xff\xffJ\xfe\xff\xff\xff\x8a\0\x8a\1\x80\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"
          "G\x3f\xf8\0\0\0\0\0\0X\3\0\0\0\xe4\xbd\xa0U\1xT\1\0\0\0y)K\1\x85}e.";
    static const int64_t ints[] = {255, 65535, -2, 0, -128, INT64_MAX};
    struct pickle p;
    (void)state;
    must_read(&p, BYTES(bytes));
    assert_int_equal(p.root.type, PICKLE_LIST);
    const struct pickle_value *v = p.root.v.list->items;
    assert_int_equal(p.root.v.list->n, 16);
    assert_int_equal(v[0].type, PICKLE_NONE);
    assert_true(v[1].type == PICKLE_BOOL && v[1].v.b);
    assert_true(v[2].type == PICKLE_BOOL && !v[2].v.b);
    for (int i = 0; i < 6; i++) assert_true(v[3 + i].type == PICKLE_INT && v[3 + i].v.i == ints[i]);
    assert_true(v[9].type == PICKLE_FLOAT && v[9].v.f == 1.5);
    assert_true(v[10].type == PICKLE_STRING && v[10].n == 3 && memcmp(v[10].v.s, "\xe4\xbd\xa0", 3) == 0);
    assert_true(v[11].type == PICKLE_STRING && v[11].n == 1 && v[11].v.s[0] == 'x');
    assert_true(v[12].type == PICKLE_STRING && v[12].n == 1 && v[12].v.s[0] == 'y');
    assert_true(v[13].type == PICKLE_TUPLE && v[13].v.list->n == 0);
    assert_true(v[14].type == PICKLE_TUPLE && v[14].v.list->n == 1 && v[14].v.list->items[0].v.i == 1);
    assert_true(v[15].type == PICKLE_DICT && v[15].v.list->n == 0);
    pickle_clear(&p);
}

static void test_tensor_fields(void **state)
{
    struct pickle p;
    (void)state;
    must_read(&p, BYTES(P TENSOR "."));
    const struct pickle_tensor *t = p.root.v.tensor;
    assert_int_equal(p.root.type, PICKLE_TENSOR);
    assert_int_equal(t->dtype, DTYPE_F32);
    assert_int_equal(t->n_dims, 2);
    assert_true(t->shape[0] == 2 && t->shape[1] == 3 && t->stride[0] == 3 && t->stride[1] == 1 &&
                t->offset == 0);
    assert_string_equal(t->storage->key, "0");
    assert_string_equal(t->storage->location, "cpu");
    assert_int_equal(t->storage->n_elements, 6);
    assert_int_equal(p.n_storages, 1);
    pickle_clear(&p);
    must_read(&p, BYTES(P "(" TENSOR TENSOR "t.")); /* one storage, two views */
    assert_int_equal(p.n_storages, 1);
    assert_ptr_equal(p.root.v.list->items[0].v.tensor->storage, p.root.v.list->items[1].v.tensor->storage);
    pickle_clear(&p);
}

/* Names that scanners of model files warn of, and relatives of the allowed ones */
static const char *const dangerous[] = {
    "os system",
    "posix system",
    "nt system",
    "os popen",
    "os execv",
    "os spawnl",
    "os remove",
    "os unlink",
    "os rename",
    "os putenv",
    "os.path join",
    "subprocess Popen",
    "subprocess run",
    "subprocess call",
    "subprocess check_output",
    "subprocess getoutput",
    "_posixsubprocess fork_exec",
    "builtins eval",
    "builtins exec",
    "builtins compile",
    "builtins open",
    "builtins getattr",
    "builtins setattr",
    "builtins __import__",
    "builtins globals",
    "builtins vars",
    "builtins breakpoint",
    "builtins input",
    "builtins map",
    "builtins filter",
    "builtins apply",
    "__builtin__ eval",
    "__builtin__ exec",
    "__builtin__ execfile",
    "__builtin__ getattr",
    "__builtin__ file",
    "__builtin__ apply",
    "__builtin__ set",
    "builtins set",
    "builtins bytearray",
    "builtins object",
    "builtins type",
    "builtins complex",
    "runpy _run_code",
    "runpy run_path",
    "runpy run_module",
    "pkgutil resolve_name",
    "pydoc locate",
    "pydoc pipepager",
    "importlib import_module",
    "importlib reload",
    "imp load_source",
    "code InteractiveInterpreter",
    "codeop compile_command",
    "ctypes CDLL",
    "ctypes.util find_library",
    "_ctypes dlopen",
    "socket socket",
    "socket create_connection",
    "requests.api get",
    "urllib.request urlopen",
    "urllib.request urlretrieve",
    "http.client HTTPSConnection",
    "httplib HTTPConnection",
    "aiohttp.client ClientSession",
    "ftplib FTP",
    "smtplib SMTP",
    "telnetlib Telnet",
    "webbrowser open",
    "shutil rmtree",
    "shutil move",
    "shutil copyfile",
    "pathlib Path",
    "tempfile mktemp",
    "io open",
    "io FileIO",
    "_io FileIO",
    "codecs open",
    "_codecs encode",
    "codecs encode",
    "marshal loads",
    "pickle loads",
    "_pickle loads",
    "cPickle loads",
    "dill loads",
    "joblib load",
    "shelve open",
    "sqlite3 connect",
    "linecache getline",
    "timeit timeit",
    "timeit main",
    "cProfile run",
    "profile run",
    "pdb run",
    "bdb Bdb",
    "trace Trace",
    "doctest debug_script",
    "multiprocessing Process",
    "multiprocessing.util spawnv_passfds",
    "threading Thread",
    "asyncio create_subprocess_shell",
    "asyncio.unix_events _UnixSubprocessTransport._start",
    "pty spawn",
    "commands getoutput",
    "popen2 popen2",
    "sys exit",
    "sys setrecursionlimit",
    "signal alarm",
    "operator attrgetter",
    "operator methodcaller",
    "operator itemgetter",
    "functools partial",
    "functools reduce",
    "types FunctionType",
    "types CodeType",
    "inspect getsource",
    "gc get_objects",
    "weakref finalize",
    "atexit register",
    "logging.config listen",
    "venv create",
    "ensurepip bootstrap",
    "pip main",
    "pip._internal main",
    "setuptools setup",
    "distutils.spawn spawn",
    "idlelib.run Executive",
    "idlelib.pyshell ModifiedInterpreter.runcode",
    "lib2to3.pgen2.grammar Grammar.loads",
    "uuid _get_command_stdout",
    "test.support.script_helper assert_python_ok",
    "numpy fromfile",
    "numpy.testing._private.utils runstring",
    "numpy.f2py.crackfortran getlincoef",
    "numpy.core.multiarray scalar",
    "numpy.core.multiarray _reconstruct",
    "numpy dtype",
    "torch load",
    "torch.serialization load",
    "torch.hub load",
    "torch._C _load",
    "torch.jit load",
    "torch.storage _load_from_bytes",
    "torch._dynamo.guards GuardBuilder.get",
    "torch.utils.bottleneck.__main__ run_cprofile",
    "torch.utils.collect_env run",
    "torch.fx.experimental.symbolic_shapes ShapeEnv.evaluate_guards_expression",
    "torch.nn.modules.linear Linear",
    "torch.nn.modules.container Sequential",
    "transformers.training_args TrainingArguments",
    "collections defaultdict",
    "collections deque",
    "collections namedtuple",
    "datetime datetime",
    "decimal Decimal",
    "fractions Fraction",
    "copyreg _reconstructor",
    "copy_reg _reconstructor",
    "collections.OrderedDict fromkeys",
    "collections OrderedDict.fromkeys",
    "collections ordereddict",
    "Collections OrderedDict",
    "collections  OrderedDict",
    "collections OrderedDict\r",
    "collections OrderedDict\tx",
    " collections OrderedDict",
    "torch._utils rebuild_tensor_v2",
    "torch._utils _rebuild_tensor_v",
    "torch._utils _rebuild_tensor_v22",
    "torch._util _rebuild_tensor_v2",
    "torch FloatTensor",
    "torch floatstorage",
    "torch float",
    "torch.cuda FloatStorage",
    "torch Tensor",
    "torch tensor",
    "torch.storage TypedStorage",
    "torch.storage _TypedStorage",
    "torch UntypedStorage",
    "torch.storage FloatStorage",
    "torch ",
    " FloatStorage",
    "torch.storage",
    "__main__ X",
};

static void test_dangerous_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof dangerous / sizeof dangerous[0]; i++) {
        struct buf b = {0};
        char module[128], shown[300];
        const char *space =
            strchr(dangerous[i], ' ') ? strchr(dangerous[i], ' ') : dangerous[i] + strlen(dangerous[i]);
        if (space == dangerous[i]) space = strchr(space + 1, ' ') ? strchr(space + 1, ' ') : space;
        snprintf(module, sizeof module, "%.*s", (int)(space - dangerous[i]), dangerous[i]);
        const char *name = *space ? space + 1 : "";
        assert_false(pickle_knows(module, name));
        snprintf(shown, sizeof shown, "'%s.%s'", module, name);
        buf_append(&b, P, 2);
        buf_printf(&b, "c%s\n%s\nX", module, name);
        buf_append(&b, "\2\0\0\0id\x85R.", 9);
        if (memchr(name, '\r', strlen(name)) || memchr(name, '\t', strlen(name)))
            shown[0] = '\0'; /* shown escaped */
        refuse(dangerous[i], b.data, b.len, STATUS_UNSUPPORTED, shown);
        assert_non_null(strstr(err.text, "at byte 2"));
        buf_clear(&b);
    }
    assert_false(pickle_knows("argparse", "_sys.modules"));
    assert_true(pickle_knows("collections", "OrderedDict"));
    assert_true(pickle_knows("torch._utils", "_rebuild_tensor_v2"));
    refuse("name with a NUL", BYTES(P "ccollections\nOrderedDict\0x\n)R."), STATUS_UNSUPPORTED, NULL);
}

/* All opcodes, as the first one and in the middle: those outside the set are refused by name. */
static void test_opcodes(void **state)
{
    static const char accepted[] = "().GJKMNQRTUX]abcehjqrstu}\x80\x81\x85\x86\x87\x88\x89\x8a";
    (void)state;
    for (int op = 0; op < 256; op++) {
        struct buf b = {0};
        char at[16];
        bool known = op != 0 && strchr(accepted, op) != NULL;
        buf_append(&b, &(char){(char)op}, 1);
        if (op != 0x80) refuse("first", b.data, b.len, STATUS_FORMAT, "PROTO");
        buf_clear(&b);
        buf_append(&b, P "N", 3);
        buf_append(&b, &(char){(char)op}, 1);
        buf_append(&b, "\0\0\0\0\0\0\0\0\0.", 10);
        struct pickle p;
        enum status st = read_bytes(&p, b.data, b.len);
        assert_int_not_equal(st, STATUS_OK); /* bytes are left over, at least */
        snprintf(at, sizeof at, "at byte 3");
        if (!known)
            expect_error("opcode", st, &err, err.status == STATUS_FORMAT ? STATUS_FORMAT : STATUS_UNSUPPORTED,
                         at);
        if (!known)
            assert_true(strstr(err.text, "not used for weights") || strstr(err.text, "there is no opcode"));
        else
            assert_null(strstr(err.text, "not used for weights"));
        buf_clear(&b);
    }
}

static void test_protocols(void **state)
{
    (void)state;
    for (int version = 0; version < 8; version++) {
        char bytes[] = {(char)0x80, (char)version, 'N', '.'};
        struct pickle p;
        if (version != 2) {
            refuse("protocol", bytes, sizeof bytes, STATUS_UNSUPPORTED, "protocol 2");
        } else {
            must_read(&p, bytes, sizeof bytes);
            pickle_clear(&p);
        }
    }
    refuse("second PROTO", BYTES(P P "N."), STATUS_FORMAT, "beginning");
}

static const struct {
    const char *name, *bytes;
    size_t n;
    enum status status;
    const char *text;
} cases[] = {
    {"empty", BYTES(""), STATUS_FORMAT, "without STOP"},
    {"no STOP", BYTES(P "N"), STATUS_FORMAT, "without STOP"},
    {"STOP on nothing", BYTES(P "."), STATUS_FORMAT, "STOP"},
    {"two values", BYTES(P "NN."), STATUS_FORMAT, "2 values"},
    {"mark left", BYTES(P "(N."), STATUS_FORMAT, "STOP"},
    {"bytes after STOP", BYTES(P "N.N"), STATUS_FORMAT, "1 bytes follow"},
    {"two pickles", BYTES(P "N." P "N."), STATUS_FORMAT, "bytes follow"},
    /* stack */
    {"TUPLE1 on nothing", BYTES(P "\x85."), STATUS_FORMAT, "TUPLE1"},
    {"TUPLE3 on two", BYTES(P "NN\x87."), STATUS_FORMAT, "expected 3"},
    {"TUPLE2 across a mark", BYTES(P "N(N\x86."), STATUS_FORMAT, "expected 2"},
    {"TUPLE without mark", BYTES(P "Nt."), STATUS_FORMAT, "MARK"},
    {"APPENDS without mark", BYTES(P "]e."), STATUS_FORMAT, "MARK"},
    {"APPENDS on nothing", BYTES(P "(e."), STATUS_FORMAT, "APPENDS"},
    {"REDUCE on nothing", BYTES(P "R."), STATUS_FORMAT, "REDUCE"},
    {"REDUCE on one", BYTES(P ")R."), STATUS_FORMAT, "REDUCE"},
    {"BUILD on one", BYTES(P "}b."), STATUS_FORMAT, "BUILD"},
    {"BINPERSID on nothing", BYTES(P "Q."), STATUS_FORMAT, "BINPERSID"},
    {"BINPUT on nothing", BYTES(P "q\0."), STATUS_FORMAT, "BINPUT"},
    {"BINPUT on a mark", BYTES(P "N(q\0t."), STATUS_FORMAT, "BINPUT"},
    /* target types */
    {"SETITEM on list", BYTES(P "]NNs."), STATUS_FORMAT, "found list"},
    {"SETITEM on tuple", BYTES(P ")NNs."), STATUS_FORMAT, "found tuple"},
    {"SETITEM on string", BYTES(P "X\0\0\0\0NNs."), STATUS_FORMAT, "found string"},
    {"SETITEMS on tensor", BYTES(P TENSOR "(NNu."), STATUS_FORMAT, "found tensor"},
    {"SETITEMS on None", BYTES(P "N(NNu."), STATUS_FORMAT, "found None"},
    {"odd SETITEMS", BYTES(P "}(NNNu."), STATUS_FORMAT, "without a value"},
    {"APPEND on dict", BYTES(P "}Na."), STATUS_FORMAT, "found dict"},
    {"APPEND on tuple", BYTES(P ")Na."), STATUS_FORMAT, "found tuple"},
    {"APPENDS on class", BYTES(P "ccollections\nOrderedDict\n(Ne."), STATUS_FORMAT, "found class"},
    {"BUILD on dict", BYTES(P "}}b."), STATUS_FORMAT, "no attributes"},
    {"BUILD on list", BYTES(P "]}b."), STATUS_FORMAT, "no attributes"},
    {"BUILD on string", BYTES(P "X\0\0\0\0}b."), STATUS_FORMAT, "no attributes"},
    {"BUILD on None", BYTES(P "N}b."), STATUS_FORMAT, "no attributes"},
    {"BUILD on class", BYTES(P "ccollections\nOrderedDict\n}b."), STATUS_FORMAT, "no attributes"},
    {"BUILD on storage", BYTES(P FLOATS "}b."), STATUS_FORMAT, "no attributes"},
    {"BUILD on tensor", BYTES(P TENSOR "}b."), STATUS_FORMAT, "no attributes"},
    {"BUILD with list", BYTES(P "ccollections\nOrderedDict\n)R]b."), STATUS_FORMAT, "attributes"},
    {"BUILD with number as name", BYTES(P "ccollections\nOrderedDict\n)R}K\1NsRb."), STATUS_FORMAT, NULL},
    {"REDUCE of string", BYTES(P "X\0\0\0\0)R."), STATUS_FORMAT, "cannot be called"},
    {"REDUCE of storage class", BYTES(P "ctorch\nFloatStorage\n)R."), STATUS_FORMAT, "cannot be called"},
    {"REDUCE of dtype", BYTES(P "ctorch\nfloat32\n)R."), STATUS_FORMAT, "cannot be called"},
    {"REDUCE without tuple", BYTES(P "ccollections\nOrderedDict\n]R."), STATUS_FORMAT, "tuple of arguments"},
    {"OrderedDict of int", BYTES(P "ccollections\nOrderedDict\nK\1\x85R."), STATUS_FORMAT, "pairs"},
    {"OrderedDict of triple", BYTES(P "ccollections\nOrderedDict\n](K\1K\2K\3ta\x85R."), STATUS_FORMAT,
     "pairs"},
    /* memo */
    {"GET before PUT", BYTES(P "h\0."), STATUS_FORMAT, "never written"},
    {"LONG_BINGET", BYTES(P "Nq\0j\1\0\0\0."), STATUS_FORMAT, "slot 1 was never written"},
    {"PUT twice", BYTES(P "]q\0}q\0."), STATUS_FORMAT, "slot 0 is written twice"},
    {"PUT twice, long", BYTES(P "]q\7}r\7\0\0\0."), STATUS_FORMAT, "slot 7 is written twice"},
    {"MEMOIZE", BYTES(P "N\x94."), STATUS_UNSUPPORTED, "MEMOIZE"},
    /* numbers and texts */
    {"LONG1 of 9 bytes", BYTES(P "\x8a\x09\0\0\0\0\0\0\0\0\1."), STATUS_RANGE, "9 bytes"},
    {"LONG1 cut", BYTES(P "\x8a\x04\0\0."), STATUS_FORMAT, "ends inside"},
    {"BININT cut", BYTES(P "J\0\0"), STATUS_FORMAT, "ends inside"},
    {"BINFLOAT cut", BYTES(P "G\0\0"), STATUS_FORMAT, "ends inside"},
    {"string of 2^32 - 1",
     BYTES(P "X\xff\xff\xff\xff"
             "abc."),
     STATUS_FORMAT, "ends inside"},
    {"string that is no UTF-8", BYTES(P "X\1\0\0\0\xff."), STATUS_FORMAT, "UTF-8"},
    {"surrogate", BYTES(P "X\3\0\0\0\xed\xa0\x80."), STATUS_FORMAT, "UTF-8"},
    {"name without end", BYTES(P "ccollections"), STATUS_FORMAT, "ends here"},
    {"STACK_GLOBAL", BYTES(P "U\2osU\6system\x93."), STATUS_UNSUPPORTED, "STACK_GLOBAL"},
    {"INST", BYTES(P "(ios\nsystem\n."), STATUS_UNSUPPORTED, "INST"},
    {"OBJ", BYTES(P "(ccollections\nOrderedDict\no."), STATUS_UNSUPPORTED, "OBJ"},
    {"NEWOBJ", BYTES(P "ccollections\nOrderedDict\n)\x81."), STATUS_UNSUPPORTED, "NEWOBJ"},
    {"NEWOBJ with arguments", BYTES(P "cargparse\nNamespace\nN\x85\x81."), STATUS_FORMAT, "no arguments"},
    {"NEWOBJ on an empty stack", BYTES(P "\x81."), STATUS_FORMAT, "expected 2 values"},
    {"Namespace called", BYTES(P "cargparse\nNamespace\n)R."), STATUS_FORMAT, "cannot be called"},
    {"Namespace with a list of attributes", BYTES(P "cargparse\nNamespace\n)\x81]b."), STATUS_FORMAT, "dict of attributes"},
    {"six items of a storage", BYTES(P "(U\x07storagectorch\nFloatStorage\nU\x01" "0U\x03" "cpuK\x01NtQ."), STATUS_FORMAT, "five items"},
    {"device without a name", BYTES(P "ctorch\ndevice\n)R."), STATUS_FORMAT, "name of a device"},
    {"Counter of a list", BYTES(P "ccollections\nCounter\n]\x85R."), STATUS_FORMAT, "a dict"},
    {"POP hides a call", BYTES(P "ccollections\nOrderedDict\n)R0N."), STATUS_UNSUPPORTED, "POP"},
    /* persistent ids */
    {"id is a string",
     BYTES(P "X\1\0\0\0"
             "0Q."),
     STATUS_FORMAT, "five items"},
    {"id of four",
     BYTES(P "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
             "0X\3\0\0\0cputQ."),
     STATUS_FORMAT, "five items"},
    {"id of six",
     BYTES(P "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
             "0X\3\0\0\0cpuK\6NtQ."),
     STATUS_FORMAT, "five items"},
    {"other tag",
     BYTES(P "(X\7\0\0\0Storagectorch\nFloatStorage\nX\1\0\0\0"
             "0X\3\0\0\0cpuK\6tQ."),
     STATUS_FORMAT, "five items"},
    {"class is a dtype",
     BYTES(P "(X\7\0\0\0storagectorch\nfloat32\nX\1\0\0\0"
             "0X\3\0\0\0cpuK\6tQ."),
     STATUS_FORMAT, "storage class"},
    {"class is a string",
     BYTES(P "(X\7\0\0\0storageX\1\0\0\0FX\1\0\0\0"
             "0X\3\0\0\0cpuK\6tQ."),
     STATUS_FORMAT, "storage class"},
    {"key is a number", BYTES(P "(X\7\0\0\0storagectorch\nFloatStorage\nK\0X\3\0\0\0cpuK\6tQ."),
     STATUS_FORMAT, "key"},
    {"key with NUL",
     BYTES(P "(X\7\0\0\0storagectorch\nFloatStorage\nX\2\0\0\0"
             "0\0X\3\0\0\0cpuK\6tQ."),
     STATUS_FORMAT, "key"},
    {"negative size",
     BYTES(P "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
             "0X\3\0\0\0cpuJ\xff\xff\xff\xfftQ."),
     STATUS_FORMAT, "number of elements"},
    {"size is a float",
     BYTES(P "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
             "0X\3\0\0\0cpuG\0\0\0\0\0\0\0\0tQ."),
     STATUS_FORMAT, "number of elements"},
    {"size is True",
     BYTES(P "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
             "0X\3\0\0\0cpu\x88tQ."),
     STATUS_FORMAT, "number of elements"},
    {"meta device",
     BYTES(P "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
             "0X\4\0\0\0metaK\6tQ."),
     STATUS_UNSUPPORTED, "meta"},
    {"one key, two sizes",
     BYTES(P FLOATS "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
                    "0X\3\0\0\0cpuK\7tQ\x86."),
     STATUS_FORMAT, "two types or two sizes"},
    {"one key, two types",
     BYTES(P FLOATS "(X\7\0\0\0storagectorch\nIntStorage\nX\1\0\0\0"
                    "0X\3\0\0\0cpuK\6tQ\x86."),
     STATUS_FORMAT, "two types or two sizes"},
    {"quantized storage", BYTES(P "ctorch\nQInt8Storage\n."), STATUS_UNSUPPORTED, "quantized"},
    {"sparse tensor", BYTES(P "ctorch._utils\n_rebuild_sparse_tensor\n."), STATUS_UNSUPPORTED, "sparse"},
    {"subclass", BYTES(P "ctorch._tensor\n_rebuild_from_type_v2\n."), STATUS_UNSUPPORTED, "subclass"},
    /* arguments of the rebuild functions */
    {"no arguments", BYTES(P "ctorch._utils\n_rebuild_tensor_v2\n)R."), STATUS_FORMAT, "arguments"},
    {"five arguments", BYTES(P REBUILD FLOATS "K\0)))tR."), STATUS_FORMAT, "arguments"},
    {"storage is None", BYTES(P REBUILD "NK\0))" HOOKS "tR."), STATUS_FORMAT, "a storage"},
    {"negative offset", BYTES(P REBUILD FLOATS "J\xff\xff\xff\xff))" HOOKS "tR."), STATUS_FORMAT, "offset"},
    {"negative shape", BYTES(P REBUILD FLOATS "K\0J\xff\xff\xff\xff\x85K\1\x85" HOOKS "tR."), STATUS_FORMAT,
     "negative"},
    {"negative stride", BYTES(P REBUILD FLOATS "K\0K\2\x85J\xff\xff\xff\xff\x85" HOOKS "tR."), STATUS_FORMAT,
     "negative"},
    {"shape without stride", BYTES(P REBUILD FLOATS "K\0K\2\x85)" HOOKS "tR."), STATUS_FORMAT,
     "1 dimensions with 0"},
    {"shape of floats", BYTES(P REBUILD FLOATS "K\0G\0\0\0\0\0\0\0\0\x85K\1\x85" HOOKS "tR."), STATUS_FORMAT,
     "integers"},
    {"shape of bools", BYTES(P REBUILD FLOATS "K\0\x88\x85K\1\x85" HOOKS "tR."), STATUS_FORMAT, "integers"},
    {"nine dimensions", BYTES(P REBUILD FLOATS "K\0(K\1K\1K\1K\1K\1K\1K\1K\1K\1t)" HOOKS "tR."),
     STATUS_UNSUPPORTED, "8 dimensions"},
    {"hooks", BYTES(P REBUILD FLOATS "K\0))\x89}NNstR."), STATUS_FORMAT, "hooks"},
    {"requires_grad is 1", BYTES(P REBUILD FLOATS "K\0))K\1}tR."), STATUS_FORMAT, "requires_grad"},
    {"metadata conj", BYTES(P REBUILD FLOATS "K\0))" HOOKS "}X\4\0\0\0conj\x88stR."), STATUS_UNSUPPORTED,
     "conjugated"},
    {"metadata other", BYTES(P REBUILD FLOATS "K\0))" HOOKS "}X\1\0\0\0x\x88stR."), STATUS_UNSUPPORTED,
     "metadata"},
    {"v3 with typed storage",
     BYTES(P "ctorch._utils\n_rebuild_tensor_v3\n(" FLOATS "K\0))" HOOKS "ctorch\nfloat32\ntR."),
     STATUS_FORMAT, "untyped"},
    {"v3 without dtype", BYTES(P "ctorch._utils\n_rebuild_tensor_v3\n(" FLOATS "K\0))" HOOKS "NtR."),
     STATUS_FORMAT, "dtype"},
    {"parameter of a list", BYTES(P "ctorch._utils\n_rebuild_parameter\n(]" HOOKS "tR."), STATUS_FORMAT,
     "a tensor"},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refuse(cases[i].name, cases[i].bytes, cases[i].n, cases[i].status, cases[i].text);
}

static void test_untyped_without_dtype(void **state)
{
    static const char bytes[] = P REBUILD "(X\7\0\0\0storagectorch.storage\nUntypedStorage\nX\1\0\0\0"
                                          "0X\3\0\0\0cpuK\6tQK\0))" HOOKS "tR.";
    (void)state;
    refuse("v2 of an untyped storage", BYTES(bytes), STATUS_FORMAT, "without element type");
}

/* Every prefix of a good pickle */
static void test_prefixes(void **state)
{
    static const char bytes[] =
        P "ccollections\nOrderedDict\nq\0)R(X\1\0\0\0w" TENSOR "X\1\0\0\0x](K\1K\2eu.";
    struct pickle p;
    (void)state;
    for (size_t n = 0; n < sizeof bytes - 1; n++) refuse("prefix", bytes, n, STATUS_FORMAT, NULL);
    must_read(&p, BYTES(bytes));
    pickle_clear(&p);
}

/* Any byte may change: no crash, no read outside (sanitizers watch) */
static void test_flips(void **state)
{
    static const char good[] =
        P "ccollections\nOrderedDict\nq\0)R(X\1\0\0\0w" TENSOR "X\1\0\0\0x](K\1\x8a\2\0\1e}X\1\0\0\0y"
          "G\0\0\0\0\0\0\0\0sX\1\0\0\0zh\0u.";
    char bytes[sizeof good];
    (void)state;
    memcpy(bytes, good, sizeof good);
    for (size_t i = 0; i < sizeof good - 1; i++) {
        for (int v = 0; v < 256; v++) {
            struct pickle p;
            bytes[i] = (char)v;
            if (pickle_read(&p, bytes, sizeof good - 1, "flip", &err) == STATUS_OK) {
                struct arena mem = {0};
                struct torch_named *named;
                size_t n;
                torch_list_state(&p, sizeof good, "flip", &mem, &named, &n, &err);
                arena_clear(&mem);
                pickle_clear(&p);
            }
        }
        bytes[i] = good[i];
    }
}

/* ---- naming ---- */

static enum status list(const void *bytes, size_t n, struct arena *mem, struct torch_named **named,
                        size_t *count)
{
    struct pickle p;
    must_read(&p, bytes, n);
    enum status st = torch_list_state(&p, n, "test.pkl", mem, named, count, &err);
    pickle_clear(&p);
    return st;
}

static void test_names(void **state)
{
    static const char bytes[] = P "}(X\1\0\0\0a}(K\0" TENSOR "X\0\0\0\0" TENSOR "J\xff\xff\xff\xff" TENSOR
                                  "uX\1\0\0\0b](N" TENSOR "eX\1\0\0\0c}X\1\0\0\0dNsX\1\0\0\0e)u.";
    static const char *const names[] = {"a.0", "a.", "a.-1", "b.1"};
    struct arena mem = {0};
    struct torch_named *named;
    size_t n;
    (void)state;
    assert_int_equal(list(BYTES(bytes), &mem, &named, &n), STATUS_OK);
    assert_int_equal(n, 4);
    for (size_t i = 0; i < n; i++) assert_string_equal(named[i].name, names[i]);
    arena_clear(&mem);
}

static void refuse_list(const char *what, const void *bytes, size_t n, enum status status, const char *text)
{
    struct arena mem = {0};
    struct torch_named *named;
    size_t count;
    enum status st = list(bytes, n, &mem, &named, &count);
    expect_error(what, st, &err, status, text);
    arena_clear(&mem);
}

static void test_names_refused(void **state)
{
    (void)state;
    refuse_list("key twice", BYTES(P "}(X\1\0\0\0w" TENSOR "X\1\0\0\0wNu."), STATUS_FORMAT, "set twice");
    refuse_list("scalar key twice", BYTES(P "}(X\1\0\0\0wNX\1\0\0\0wNu."), STATUS_FORMAT, "set twice");
    refuse_list("int key twice", BYTES(P "}(K\1NM\1\0Nu."), STATUS_FORMAT, "set twice");
    refuse_list("key with NUL", BYTES(P "}X\2\0\0\0w\0" TENSOR "s."), STATUS_FORMAT, "NUL");
    refuse_list("None as key", BYTES(P "}N" TENSOR "s."), STATUS_UNSUPPORTED, "None");
    refuse_list("bare number", BYTES(P "K\1."), STATUS_UNSUPPORTED, "int");
    refuse_list("bare storage", BYTES(P "}X\1\0\0\0s" FLOATS "s."), STATUS_UNSUPPORTED, "bare storage");
    refuse_list("list in itself", BYTES(P "]q\0h\0a."), STATUS_FORMAT, "contain themselves");
    refuse_list("dict in itself", BYTES(P "}q\0X\1\0\0\0xh\0s."), STATUS_FORMAT, "contain themselves");
}

static void test_deep_and_wide(void **state)
{
    struct buf b = {0};
    (void)state;
    /* a hundred thousand tuples in one another */
    buf_append(&b, P "N", 3);
    for (int i = 0; i < 100000; i++) buf_append(&b, "\x85", 1);
    buf_puts(&b, ".");
    struct pickle p;
    enum status st = pickle_read(&p, b.data, b.len, "deep", &err);
    expect_error("more containers than bytes explain", st, &err, STATUS_FORMAT, "containers");
    buf_clear(&b);
    buf_append(&b, P "N", 3);
    for (uint32_t i = 0; i < 100000; i++) {
        unsigned char put[6] = {0x85, 'r'};
        le_put32(put + 2, i);
        buf_append(&b, put, sizeof put);
    }
    buf_puts(&b, ".");
    refuse_list("deep", b.data, b.len, STATUS_FORMAT, "too deep");
    /* 60 levels of lists that hold the next one twice: 2^60 visits */
    buf_clear(&b);
    buf_append(&b, P "(]q\0K\1a", 8);
    for (int i = 1; i < 60; i++) {
        char level[] = "]q\0(h\0h\0e";
        level[2] = (char)i;
        level[5] = level[7] = (char)(i - 1);
        buf_append(&b, level, sizeof level - 1);
    }
    buf_puts(&b, "t.");
    refuse_list("doubling", b.data, b.len, STATUS_FORMAT, "share each other");
    /* a key of a megabyte, above many tensors */
    buf_clear(&b);
    buf_append(&b, P "}X\0\0\x10\0", 8);
    for (int i = 0; i < 1 << 20; i++) buf_append(&b, "k", 1);
    buf_append(&b, "}(K\0" TENSOR "us.", sizeof("}(K\0" TENSOR "us.") - 1);
    refuse_list("long key", b.data, b.len, STATUS_RANGE, "1024");
    buf_clear(&b);
}

static long peak_kib(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss;
}

/* Few bytes that ask for much: sparse memo slots, huge counts */
static void test_memory(void **state)
{
    struct buf b = {0};
    struct pickle p;
    (void)state;
    long before = peak_kib();
    must_read(&p, BYTES(P "Nr\xff\xff\xff\xff."));
    pickle_clear(&p);
    buf_append(&b, P "N", 3);
    for (uint32_t i = 0; i < 1000; i++) {
        unsigned char put[5] = {'r'};
        le_put32(put + 1, UINT32_MAX - i * 4000000);
        buf_append(&b, put, sizeof put);
    }
    buf_puts(&b, ".");
    must_read(&p, b.data, b.len);
    pickle_clear(&p);
    refuse("string", BYTES(P "X\xff\xff\xff\x7f."), STATUS_FORMAT, NULL);
    assert_true(peak_kib() - before < 32 * 1024);
    buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_tensor_fields),
        cmocka_unit_test(test_dangerous_names),
        cmocka_unit_test(test_opcodes),
        cmocka_unit_test(test_protocols),
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_untyped_without_dtype),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_flips),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_names_refused),
        cmocka_unit_test(test_deep_and_wide),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
