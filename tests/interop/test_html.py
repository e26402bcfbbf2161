"""The page of --html in a real browser: headless Chromium, driven over its DevTools protocol.

  * nothing is logged, nothing is loaded, nothing breaks out of where it was put (hostile tensor names and tokens);
  * sorting and filtering, the choice of tensors, layers and heads, pointer and keys work, and the numbers that are shown are those of NumPy's
    reduction of the weights and of transformers' attention;
  * no horizontal overflow on a telephone, with every control named.

With LATHE_PICTURES=DIR the screenshots of docs/pictures are written there.
"""
import base64
import os
import re
import shutil
import subprocess
import time
import urllib.request

import gguf
import numpy as np
import safetensors.numpy
import torch
import transformers
import websocket
from checks import *

LLAMA = os.path.join(DATA, "tiny-llama")
PROMPT = "the king and the people of the land were in the house of the lord"


class Browser:
    def __init__(self, folder):
        self.folder = os.path.join(folder, "browser")
        program = next((p for p in ("chromium", "chromium-browser", "google-chrome") if shutil.which(p)), None)
        if not program:
            raise RuntimeError("no chromium in PATH (tests/deps.sh --interop installs it)")
        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0", "--no-first-run",
             "--disable-background-networking", "--disable-extensions", "--force-color-profile=srgb", "--font-render-hinting=none",
             "--remote-allow-origins=*", f"--user-data-dir={self.folder}", "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port_file = os.path.join(self.folder, "DevToolsActivePort")
        for _ in range(600):
            if os.path.exists(port_file) and open(port_file).read().count("\n"):
                break
            time.sleep(0.1)
        port = open(port_file).readline().strip()
        pages = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30))
        self.socket = websocket.create_connection([p for p in pages if p["type"] == "page"][0]["webSocketDebuggerUrl"], timeout=60)
        self.number, self.events = 0, []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def call(self, method, **parameters):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def run(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"].get("exception", {}).get("description", "exception"))
        return result["result"].get("value")

    def size(self, width, height, dark=False, phone=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def open(self, path):
        self.events = []
        self.call("Page.navigate", url="file://" + os.path.abspath(path))
        for _ in range(600):
            if self.run("document.readyState") == "complete":
                break
            time.sleep(0.05)

    def complaints(self):
        """What the page said or did that it should not have."""
        out = []
        for e in self.events:
            method, p = e.get("method"), e.get("params", {})
            if method == "Runtime.exceptionThrown":
                out.append("exception " + p["exceptionDetails"].get("exception", {}).get("description", "")[:200])
            elif method == "Runtime.consoleAPICalled" and p["type"] in ("error", "warning", "assert"):
                out.append("console " + str(p["args"])[:200])
            elif method == "Log.entryAdded" and p["entry"]["level"] in ("error", "warning"):
                out.append("log " + p["entry"]["text"][:200])
            elif method == "Network.requestWillBeSent" and p.get("type") != "Document":
                out.append("request " + p["request"]["url"][:200])
        return out

    def point(self, selector, rows, cols, row, column, click=False):
        """The pointer onto a cell of a picture."""
        self.run(f"document.querySelector('{selector}').scrollIntoView({{block: 'center'}})")
        box = self.run(f"(() => {{const c = document.querySelector('{selector}'), b = c.getBoundingClientRect();"
                       "return [b.left + c.clientLeft, b.top + c.clientTop, c.clientWidth, c.clientHeight]})()")
        x, y = box[0] + (column + 0.5) * box[2] / cols, box[1] + (row + 0.5) * box[3] / rows
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        if click:
            for kind in ("mousePressed", "mouseReleased"):
                self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def key(self, key):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def text(self, selector):
        return self.run(f"document.querySelector('{selector}').textContent")

    def picture(self, path, selector=None, height=None):
        clip = {}
        if selector:
            self.run(f"document.querySelector('{selector}').scrollIntoView()")
            b = self.run(f"(() => {{const b = document.querySelector('{selector}').getBoundingClientRect(); return [b.left + scrollX, b.top + scrollY, b.width, b.height]}})()")
            clip = {"clip": {"x": b[0], "y": b[1], "width": b[2], "height": height or b[3], "scale": 1}, "captureBeyondViewport": True}
        data = self.call("Page.captureScreenshot", format="png", **clip)["data"]
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait(30)


def choose(browser, select, value):
    browser.run(f"(() => {{const s = document.getElementById('{select}'); s.value = '{value}'; s.dispatchEvent(new Event('input', {{bubbles: true}}))}})()")


def column(browser, head):
    """Texts of a column of the table, as the rows stand and as far as they are shown."""
    return browser.run("(() => {const t = document.getElementById('tensor-table'), heads = Array.from(t.tHead.rows[0].cells).map(c => c.textContent);"
                       f"const i = heads.indexOf('{head}'); return Array.from(t.tBodies[0].rows).filter(r => !r.hidden).map(r => r.cells[i].textContent)}})()")


def click_head(browser, head):
    browser.run("Array.from(document.querySelectorAll('#tensor-table thead button')).find(b => b.textContent === '%s').click()" % head)


def test_table(browser, stats):
    names = [t["name"] for t in stats]
    check("rows are the tensors", column(browser, "tensor") == names, f"{len(names)} rows")
    for head, field in (("std", "std"), ("kurtosis", "kurtosis"), ("largest", "abs_max")):
        expected = [t["name"] for t in sorted(stats, key=lambda t: -t["stats"][field])]
        click_head(browser, head)
        down = column(browser, "tensor")
        sort = browser.run(f"document.querySelector('#tensor-table th[aria-sort]').getAttribute('aria-sort') + document.querySelector('#tensor-table th[aria-sort]').textContent")
        click_head(browser, head)
        up = column(browser, "tensor")
        check(f"sorted by {head}", down == expected and sort == "descending" + head, f"{down[:3]} {expected[:3]} {sort}")
        check(f"sorted by {head}, the other way", [stats_of(stats, n, field) for n in up] == sorted(t["stats"][field] for t in stats), up[:3])
    click_head(browser, "tensor")
    check("sorted by name", column(browser, "tensor") == sorted(names), column(browser, "tensor")[:3])
    browser.run("(() => {const f = document.getElementById('filter-name'); f.value = 'Q_PROJ'; f.dispatchEvent(new Event('input', {bubbles: true}))})()")
    check("filtered by name", column(browser, "tensor") == [n for n in sorted(names) if "q_proj" in n], column(browser, "tensor"))
    check("the count is told", browser.text("#filter-count") == "2 of 20 tensors", browser.text("#filter-count"))
    browser.run("(() => {const f = document.getElementById('filter-name'); f.value = ''; f.dispatchEvent(new Event('input', {bubbles: true}))})()")
    choose(browser, "filter-role", "ffn_down")
    check("filtered by role", len(column(browser, "tensor")) == 2 and all("down_proj" in n for n in column(browser, "tensor")), column(browser, "tensor"))
    choose(browser, "filter-role", "")


def stats_of(stats, name, field):
    return next(t["stats"][field] for t in stats if t["name"] == name)


def reduce(x, step_r, step_c, how):
    rows, cols = -(-x.shape[0] // step_r), -(-x.shape[1] // step_c)
    out = np.zeros((rows, cols))
    for r in range(rows):
        for c in range(cols):
            cell = x[r * step_r:(r + 1) * step_r, c * step_c:(c + 1) * step_c]
            out[r, c] = cell.flat[np.argmax(np.abs(cell))] if how == "extreme" else np.abs(cell).max()
    return out


def shown_number(text):
    return float(re.search(r": ([-+0-9.e]+)$", text).group(1))


def test_roles(browser):
    """The table by role has the figures of all its tensors' numbers together."""
    weights = safetensors_f32(LLAMA)
    rows = browser.run("Array.from(document.querySelectorAll('#overview tbody tr')).map(r => Array.from(r.cells).map(c => c.textContent))")
    row = next(r for r in rows if r[0] == "ffn_down")
    x = np.concatenate([v.ravel() for k, v in weights.items() if "down_proj" in k]).astype(np.float64)
    kurtosis = ((x - x.mean()) ** 4).mean() / x.var() ** 2
    expected = [2, x.size, 16.0, x.min(), x.max(), x.std(), kurtosis]
    shown = [float(row[i]) for i in (1, 2, 4, 5, 6, 7, 8)]
    check("figures by role are NumPy's", np.allclose(shown, expected, rtol=6e-4, atol=0.006 * (np.arange(7) == 6)), f"{shown} {expected}")


def test_weights(browser, other):
    weights = {k: v for k, v in safetensors_f32(LLAMA).items()}
    name = "model.layers.1.mlp.down_proj.weight"
    index = browser.run(f"JSON.parse(document.getElementById('data').textContent).heat.findIndex(h => h.name === '{name}')")
    heat = browser.run(f"(() => {{const h = JSON.parse(document.getElementById('data').textContent).heat[{index}]; return [h.rows, h.cols, h.row_step, h.col_step, h.lo, h.hi, h.error.hi, h.error.rows, h.error.cols, h.error.row_step, h.error.col_step]}})()")
    choose(browser, "heat-tensor", index)
    expected = reduce(weights[name], heat[2], heat[3], "extreme")
    worst = 0
    for r, c in ((0, 0), (3, 7), (heat[0] - 1, heat[1] - 1), (20, 1)):
        browser.point("#heat", heat[0], heat[1], r, c)
        shown = browser.text("#heat-value")
        worst = max(worst, abs(np.clip(expected[r, c], heat[4], heat[5]) - shown_number(shown)))
    check("weights under the pointer are NumPy's", worst <= (heat[5] - heat[4]) / 480 * 1.01, f"off by {worst:.2g} of {heat[5]:.3g}: {shown}")
    browser.run("document.getElementById('heat').focus()")
    before = browser.text("#heat-value")
    browser.key("ArrowRight")
    browser.key("ArrowDown")
    after = browser.text("#heat-value")
    r, c = 21, 2
    check("arrow keys move the cell", before != after and abs(np.clip(expected[r, c], heat[4], heat[5]) - shown_number(after)) <= (heat[5] - heat[4]) / 480 * 1.01,
          f"{before} | {after}")
    browser.run("Array.from(document.querySelectorAll('#heat-kinds button'))[1].click()")
    reader = {t.name: t for t in gguf.GGUFReader(other).tensors}
    b = gguf.quants.dequantize(reader["blk.1.ffn_down.weight"].data, reader["blk.1.ffn_down.weight"].tensor_type)
    error = reduce(weights[name] - b, heat[9], heat[10], "largest")
    worst = 0
    for r, c in ((0, 0), (5, 9), (heat[7] - 1, 3)):
        browser.point("#heat", heat[7], heat[8], r, c)
        worst = max(worst, abs(min(error[r, c], heat[6]) - shown_number(browser.text("#heat-value"))))
    check("errors under the pointer are NumPy's", worst <= heat[6] / 480 * 1.05, f"off by {worst:.2g} of {heat[6]:.3g}")
    rel = np.sqrt(((weights[name] - b) ** 2).sum() / (weights[name] ** 2).sum())
    row = dict(zip(column(browser, "tensor"), column(browser, "error")))[name]
    check("the table's error is NumPy's", abs(float(row) - rel) <= 0.006 * rel, f"{row}, {rel:.4g}")
    # q and k are permuted in a GGUF: the error is that of quantizing, not of another order
    q = float(dict(zip(column(browser, "tensor"), column(browser, "error")))["model.layers.0.self_attn.q_proj.weight"])
    check("differences of layout are undone", 0 < q < 0.2, q)
    browser.run("Array.from(document.querySelectorAll('#heat-kinds button'))[0].click()")


def safetensors_f32(folder):
    with open(os.path.join(folder, "model.safetensors"), "rb") as f:
        from safetensors.torch import load
        return {k: v.float().numpy() for k, v in load(f.read()).items()}


def test_attention(browser):
    tokenizer = transformers.AutoTokenizer.from_pretrained(LLAMA)
    ids = tokenizer(PROMPT, add_special_tokens=False)["input_ids"]
    model = transformers.AutoModelForCausalLM.from_pretrained(LLAMA, attn_implementation="eager", dtype=torch.float64)
    with torch.no_grad():
        maps = [m[0].numpy() for m in model(torch.tensor([ids]), output_attentions=True).attentions]
    n = len(ids)
    check("all ids are shown", browser.run("JSON.parse(document.getElementById('data').textContent).attention.n") == n, n)
    worst, text = 0, ""
    for layer, head in ((0, 0), (1, 2), (1, 3)):
        choose(browser, "att-layer", layer)
        choose(browser, "att-head", head)
        for q, k in ((0, 0), (5, 2), (n - 1, n - 1), (n - 1, 0), (8, 7)):
            browser.point("#att", n, n, q, k)
            text = browser.text("#att-value")
            worst = max(worst, abs(float(re.search(r": ([-0-9.]+) %$", text).group(1)) / 100 - maps[layer][head, q, k]))
    check("attention under the pointer is transformers'", worst <= 0.5 / 255 + 0.0005 + 1e-5, f"off by {worst:.5f}; {text}")
    browser.point("#att", n, n, 2, 9)
    check("what is not seen is said", "does not see key 9" in browser.text("#att-value"), browser.text("#att-value"))
    browser.point("#att", n, n, 7, 1, click=True)
    listed = browser.run("Array.from(document.querySelectorAll('#att-keys tbody tr')).map(r => Number(r.cells[0].textContent))")
    best = list(np.argsort(-maps[1][3, 7, :8], kind="stable"))
    check("a click lists the query's strongest keys", listed[0] == best[0] and set(listed) == set(range(8)), f"{listed} {best}")
    caption = browser.text("#att-keys caption")
    check("with its token", tokenizer.convert_ids_to_tokens(ids)[7].replace("Ġ", "␣") in caption, caption)
    pressed = browser.run("Array.from(document.querySelectorAll('#att-text button')).map((b, i) => b.getAttribute('aria-pressed') === 'true' ? i : -1).filter(i => i >= 0)")
    check("the text shows the query", pressed == [7] and browser.run("document.querySelectorAll('#att-text button').length") == n, pressed)
    colors = browser.run("Array.from(document.querySelectorAll('#att-text button')).map(b => b.style.background)")
    check("what it looks at is coloured", colors[best[0]] != colors[best[-1]] and colors[8] == colors[n - 1], colors[:9])
    browser.run("document.querySelectorAll('#att-text button')[4].click()")
    check("a token chooses the query", browser.run("document.querySelectorAll('#att-keys tbody tr').length") == 5, browser.text("#att-keys caption"))
    stops = browser.run("Array.from(document.querySelectorAll('#att-text button')).filter(b => b.tabIndex === 0).length")
    browser.run("document.querySelectorAll('#att-text button')[4].focus()")
    browser.key("ArrowRight")
    check("the text is one stop of Tab, arrows go along it", stops == 1 and "key 5 " in browser.text("#att-value"), f"{stops} {browser.text('#att-value')}")
    browser.point("#att", n, n, 7, 1, click=True)
    browser.run("document.getElementById('att').focus()")
    browser.key("ArrowUp")
    check("arrow keys move the pair", "query 6 " in browser.text("#att-value"), browser.text("#att-value"))
    browser.run("document.querySelectorAll('#att-heads button')[1].click()")
    check("a thumbnail chooses its head", browser.run("document.getElementById('att-head').value") == "1" and "head 1," in browser.text("#att-caption"),
          browser.text("#att-caption"))
    browser.run("document.querySelectorAll('#att-sides button')[2].click()")
    browser.point("#att", n, n, 5, 2)
    check("the difference of two models is shown", re.search(r": [-+]?[0-9.]+ %$", browser.text("#att-value")) is not None, browser.text("#att-value"))
    browser.run("document.querySelectorAll('#att-sides button')[0].click()")


def test_access(browser):
    """What a reader without a pointer or without eyes needs."""
    nameless = browser.run("""Array.from(document.querySelectorAll('button, select, input, canvas, [role=region]')).filter(e => {
        if (e.closest('[hidden]') || e.parentElement.closest('button')) return false;
        const label = e.labels && e.labels.length ? e.labels[0].textContent : '';
        const by = e.getAttribute('aria-labelledby');
        return !(e.getAttribute('aria-label') || label.trim() || (by && document.getElementById(by)) || e.textContent.trim());
    }).map(e => e.outerHTML.slice(0, 80))""")
    check("every control has a name", nameless == [], nameless)
    levels = browser.run("Array.from(document.querySelectorAll('h1, h2, h3')).map(h => Number(h.tagName[1]))")
    check("headings are in order", levels[0] == 1 and levels.count(1) == 1 and all(b <= a + 1 for a, b in zip(levels, levels[1:])), levels)
    lost = browser.run("Array.from(document.querySelectorAll('nav a')).map(a => a.getAttribute('href').slice(1)).filter(i => !document.getElementById(i))")
    check("every link leads somewhere", lost == [], lost)
    check("ids are unique", browser.run("(() => {const ids = Array.from(document.querySelectorAll('[id]')).map(e => e.id); return ids.length === new Set(ids).size})()"))
    contrast = browser.run("""(() => {
        const lum = c => { const v = c.match(/[0-9.]+/g).slice(0, 3).map(x => x / 255).map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
            return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
        const paper = e => { while (e) { const b = getComputedStyle(e).backgroundColor; if (!/, 0\\)$/.test(b)) return b; e = e.parentElement; } return 'rgb(255,255,255)'; };
        let least = 21;
        for (const e of document.querySelectorAll('p, dt, dd, th, td, h1, h2, h3, a, button, label, summary, figcaption span')) {
            if (!e.textContent.trim() || e.closest('[hidden]')) continue;
            const a = lum(getComputedStyle(e).color), b = lum(paper(e));
            least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
        }
        return least; })()""")
    check("text stands out (4.5 : 1)", contrast >= 4.5, f"{contrast:.2f}")


def test_figures(browser, other):
    """The page's figures are those of lathe-verify on the same text."""
    verified = json.loads(run("verify", LLAMA, other, "--prompt", PROMPT, "--json", expect=None)[1])
    facts = browser.run("(() => {const d = document.getElementById('figures'); const out = {}; for (const dt of d.querySelectorAll('dt')) out[dt.textContent] = dt.nextElementSibling.textContent; return out})()")
    check("positions are verify's", facts["positions"] == str(verified["positions"]), facts["positions"])
    shown = float(re.match(r"[-0-9.e]+", facts["max |Δ logit|"]).group(0)), float(re.search(r"max \|logit\| ([-0-9.e]+)", facts["max |Δ logit|"]).group(1))
    check("logits are verify's", all(abs(a - b) <= 6e-4 * b for a, b in zip(shown, (verified["max_abs_diff"], verified["max_abs_logit"]))), f"{shown}")
    kl = float(re.match(r"mean ([-0-9.e]+)", facts["KL(A‖B)"]).group(1))
    check("KL is verify's", abs(kl - verified["kl_ab"]) <= 6e-3 * verified["kl_ab"], f"{kl} {verified['kl_ab']:.6g}")
    top = float(re.match(r"[0-9.]+", facts["same first choice"]).group(0))
    check("agreement is verify's", abs(top - 100 * verified["top1_agreement"]) <= 0.006, top)


def test_hostile(browser, folder):
    bad = "</script><script>window.hacked=1</script>"
    path = os.path.join(folder, "hostile.safetensors")
    safetensors.numpy.save_file({bad: np.ones((4, 4), np.float32), '"><img src=x onerror="window.hacked=2">': np.ones((3, 3), np.float32),
                                 "<!--<script>": np.ones((2, 2), np.float32), "a&amp;b": np.zeros(2, np.float32), "{{data}}": np.zeros((2, 2), np.float32)},
                                path, metadata={"<b>key</b>": bad, "line": "a\nb\u2028c\u0007"})
    page = os.path.join(folder, "hostile.html")
    run("inspect", path, "--html", page)
    browser.open(page)
    names = browser.run("Array.from(document.querySelectorAll('#tensor-table tbody th')).map(e => e.textContent)")
    check("hostile names are text", bad in names and "a&amp;b" in names and "{{data}}" in names, names)
    check("and nothing else", browser.run("[document.scripts.length, document.images.length, typeof window.hacked]") == [2, 0, "undefined"],
          browser.run("[document.scripts.length, document.images.length, typeof window.hacked]"))
    check("hostile names: no complaints", browser.complaints() == [], browser.complaints())
    page = os.path.join(folder, "hostile_text.html")
    run("inspect", LLAMA, "--html", page, "--prompt", "a </script><script>window.hacked=3</script> <!-- b")
    browser.open(page)
    check("a hostile text is text", browser.run("[document.scripts.length, typeof window.hacked]") == [2, "undefined"] and browser.complaints() == [],
          browser.complaints())
    tokens = browser.run("JSON.parse(document.getElementById('data').textContent).attention.tokens.join('')")
    check("its tokens are whole", "</script><script>window.hacked=3" in tokens.replace("␣", " "), tokens)


def main():
    os.makedirs(WORK, exist_ok=True)
    other, page = os.path.join(WORK, "q4.gguf"), os.path.join(WORK, "report.html")
    run("convert", LLAMA, "-o", other, "--type", "Q4_K_M", "--quiet")
    run("inspect", LLAMA, "--html", page, "--against", other, "--prompt", PROMPT)
    stats = json.loads(run("inspect", LLAMA, "--stats", "--json")[1])["tensors"]
    browser = Browser(WORK)
    try:
        browser.size(1200, 900)
        browser.open(page)
        guarded("table", test_table, browser, stats)
        guarded("roles", test_roles, browser)
        guarded("weights", test_weights, browser, other)
        guarded("attention", test_attention, browser)
        guarded("figures", test_figures, browser, other)
        guarded("access", test_access, browser)
        check("no complaints, no requests", browser.complaints() == [], browser.complaints()[:5])
        light = browser.run("getComputedStyle(document.body).backgroundColor")
        browser.run("document.getElementById('theme').click()")
        dark = browser.run("getComputedStyle(document.body).backgroundColor")
        check("the switch makes it dark", light != dark and browser.run("document.getElementById('theme').getAttribute('aria-pressed')") == "true", f"{light} {dark}")
        guarded("access in the dark", test_access, browser)
        browser.size(1200, 900, dark=True)
        browser.open(page)
        check("dark where the reader prefers it", browser.run("getComputedStyle(document.body).backgroundColor") == dark, dark)
        for width in (360, 320, 768):
            browser.size(width, 800, phone=width < 700)
            browser.open(page)
            wide = browser.run("document.documentElement.scrollWidth")
            check(f"no overflow at {width} pixels", wide <= width, wide)
        guarded("hostile", test_hostile, browser, WORK)
        if os.environ.get("LATHE_PICTURES"):
            pictures(browser, page, os.environ["LATHE_PICTURES"])
    finally:
        browser.close()
    finish()


def pictures(browser, page, folder):
    def top(section):
        browser.run(f"document.getElementById('{section}').scrollIntoView()")

    browser.size(1000, 1000)
    browser.open(page)
    click_head(browser, "error")
    top("compare")
    browser.picture(os.path.join(folder, "html_light.png"))
    browser.size(1000, 800, dark=True)
    browser.open(page)
    choose(browser, "att-layer", 1)
    choose(browser, "att-head", 2)
    browser.point("#att", 17, 17, 12, 10, click=True)
    top("attention")
    browser.picture(os.path.join(folder, "html_dark.png"))
    browser.size(360, 780, phone=True)
    browser.open(page)
    top("weights")
    browser.point("#heat", 64, 64, 40, 20)
    top("weights")
    browser.picture(os.path.join(folder, "html_phone.png"))


main()
