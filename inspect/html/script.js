"use strict";
/* Everything works on what the page holds: the rows of its tables and the numbers in its data block. Nothing is loaded. */
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const LEVELS = 240; /* the last level of a palette; 255 in packed numbers: no number */

  function element(tag, text, attributes) {
    const e = document.createElement(tag);
    if (text !== undefined) e.textContent = text;
    for (const name in attributes || {}) e.setAttribute(name, attributes[name]);
    return e;
  }

  function bytes(text) {
    const s = atob(text), out = new Uint8Array(s.length);
    for (let i = 0; i < s.length; i++) out[i] = s.charCodeAt(i);
    return out;
  }

  const palettes = { viridis: bytes(data.palettes.viridis), diverging: bytes(data.palettes.diverging) };
  const NAN = [255, 0, 255];

  function number(v) {
    if (!isFinite(v)) return String(v);
    const a = Math.abs(v);
    return a !== 0 && (a < 1e-3 || a >= 1e6) ? v.toExponential(3) : String(Number(v.toPrecision(4)));
  }

  /* ---- light and dark ---- */

  (function theme() {
    const button = $("theme"), root = document.documentElement, media = matchMedia("(prefers-color-scheme: dark)");
    const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : media.matches);
    const show = () => {
      button.setAttribute("aria-pressed", String(dark()));
      document.dispatchEvent(new Event("themechange"));
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      show();
    });
    media.addEventListener("change", show);
    show();
  })();

  function css(name) {
    const v = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    return [1, 3, 5].map((i) => parseInt(v.slice(i, i + 2), 16));
  }

  /* ---- the table of tensors: sorted by a column's button, filtered by name, role and type ---- */

  const table = $("tensor-table");
  const rows = table ? Array.from(table.tBodies[0].rows) : [];
  const key = (cell) => (cell.dataset.v === undefined ? cell.textContent : cell.dataset.v === "" ? NaN : Number(cell.dataset.v));

  function compare(a, b, down) {
    const x = key(a), y = key(b);
    if (typeof x === "number" && typeof y === "number") {
      if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y); /* no number comes last, either way */
      return down ? y - x : x - y;
    }
    const c = String(x).localeCompare(String(y), "en", { numeric: true });
    return down ? -c : c;
  }

  function sortBy(index, down) {
    const order = rows.map((row, i) => [row, i]);
    order.sort((a, b) => compare(a[0].cells[index], b[0].cells[index], down) || a[1] - b[1]);
    const body = table.tBodies[0];
    for (const [row] of order) body.append(row);
  }

  (function sorting() {
    if (!table) return;
    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach((th, i) => {
      const button = element("button", th.textContent, { type: "button" });
      th.textContent = "";
      th.append(button);
      button.addEventListener("click", () => {
        const down = th.getAttribute("aria-sort") === "ascending" || (!th.hasAttribute("aria-sort") && th.classList.contains("n"));
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        th.setAttribute("aria-sort", down ? "descending" : "ascending");
        sortBy(i, down);
      });
    });
  })();

  (function filtering() {
    if (!table) return;
    const name = $("filter-name"), role = $("filter-role"), type = $("filter-type"), count = $("filter-count");
    const options = (select, attribute) => {
      const values = new Set(rows.map((row) => row.dataset[attribute]).filter((v) => v));
      for (const v of values) select.append(element("option", v, { value: v }));
      select.parentElement.hidden = values.size === 0;
    };
    options(role, "role");
    options(type, "type");
    const apply = () => {
      const text = name.value.toLowerCase();
      let n = 0;
      for (const row of rows) {
        const shown = row.cells[0].textContent.toLowerCase().includes(text) && (!role.value || row.dataset.role === role.value) &&
          (!type.value || row.dataset.type === type.value);
        row.hidden = !shown;
        n += shown;
      }
      count.textContent = n + " of " + rows.length + " tensors";
    };
    for (const e of [name, role, type]) e.addEventListener("input", apply);
    $("filter").addEventListener("submit", (e) => e.preventDefault());
    $("filter").hidden = false;
    apply();
  })();

  /* ---- a picture of cells: levels through a palette, a cursor by pointer or arrow keys ---- */

  /* cells: {rows, cols, at(row, column) -> 0..240, 255 no number, -1 masked}; tell(row, column) is called when the cursor moves */
  function grid(canvas, largest, tell, choose) {
    let cells = null, size = 1, row = -1, column = -1;
    const draw = () => {
      if (!cells) return;
      const context = canvas.getContext("2d"), masked = css("--masked"), palette = palettes[cells.palette];
      canvas.width = cells.cols * size;
      canvas.height = cells.rows * size;
      const image = context.createImageData(canvas.width, canvas.height), out = image.data;
      for (let r = 0; r < cells.rows; r++)
        for (let c = 0; c < cells.cols; c++) {
          const v = cells.at(r, c), color = v < 0 ? masked : v > LEVELS ? NAN : palette.subarray(3 * v, 3 * v + 3);
          for (let y = r * size; y < (r + 1) * size; y++)
            for (let x = c * size; x < (c + 1) * size; x++) {
              const i = 4 * (y * canvas.width + x);
              out[i] = color[0];
              out[i + 1] = color[1];
              out[i + 2] = color[2];
              out[i + 3] = 255;
            }
        }
      context.putImageData(image, 0, 0);
      if (row < 0) return;
      context.strokeStyle = "#000";
      context.lineWidth = 1;
      context.strokeRect(column * size + 0.5, row * size + 0.5, Math.max(size - 1, 1), Math.max(size - 1, 1));
      context.strokeStyle = "#fff";
      context.strokeRect(column * size + 1.5, row * size + 1.5, Math.max(size - 3, 1), Math.max(size - 3, 1));
    };
    const move = (r, c) => {
      if (!cells || r < 0 || c < 0 || r >= cells.rows || c >= cells.cols || (r === row && c === column)) return;
      row = r;
      column = c;
      draw();
      tell(r, c);
    };
    const place = (e) => {
      const box = canvas.getBoundingClientRect();
      return [Math.floor(((e.clientY - box.top - canvas.clientTop) / canvas.clientHeight) * cells.rows),
        Math.floor(((e.clientX - box.left - canvas.clientLeft) / canvas.clientWidth) * cells.cols)];
    };
    const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    canvas.addEventListener("pointermove", (e) => cells && move(...place(e)));
    canvas.addEventListener("click", (e) => {
      if (!cells) return;
      move(...place(e));
      if (choose) choose(row, column);
    });
    canvas.addEventListener("focus", () => move(row < 0 ? 0 : row, column < 0 ? 0 : column));
    canvas.addEventListener("keydown", (e) => {
      if (e.key in STEPS && cells) {
        move(Math.max(row, 0) + STEPS[e.key][0], Math.max(column, 0) + STEPS[e.key][1]);
        e.preventDefault();
      } else if ((e.key === "Enter" || e.key === " ") && choose && row >= 0) {
        choose(row, column);
        e.preventDefault();
      }
    });
    document.addEventListener("themechange", draw);
    return {
      show(next) {
        cells = next;
        size = Math.max(1, Math.floor(largest / Math.max(cells.rows, cells.cols)));
        if (row >= cells.rows || column >= cells.cols) row = column = -1;
        draw();
        if (row >= 0) tell(row, column);
      },
    };
  }

  function bar(canvas, palette) {
    const context = canvas.getContext("2d"), image = context.createImageData(241, 12);
    for (let x = 0; x <= LEVELS; x++)
      for (let y = 0; y < 12; y++) {
        const i = 4 * (y * 241 + x);
        image.data.set(palettes[palette].subarray(3 * x, 3 * x + 3), i);
        image.data[i + 3] = 255;
      }
    context.putImageData(image, 0, 0);
  }

  function choice(parent, names, pick) {
    const buttons = names.map((name, i) => {
      const b = element("button", name, { type: "button", "aria-pressed": "false" });
      b.addEventListener("click", () => select(i));
      parent.append(b, " ");
      return b;
    });
    const select = (i) => {
      buttons.forEach((b, k) => b.setAttribute("aria-pressed", String(k === i)));
      pick(i);
    };
    return { select, buttons };
  }

  /* A row of buttons is one stop of the Tab key; arrow keys go along it. */
  function roving(parent) {
    const buttons = () => Array.from(parent.querySelectorAll("button"));
    const stop = (i) => buttons().forEach((b, k) => (b.tabIndex = k === i ? 0 : -1));
    const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
    parent.setAttribute("role", "toolbar");
    parent.addEventListener("keydown", (e) => {
      if (!(e.key in STEPS)) return;
      const all = buttons(), at = all.indexOf(document.activeElement);
      const next = Math.min(Math.max(at + STEPS[e.key], 0), all.length - 1);
      stop(next);
      all[next].focus();
      e.preventDefault();
    });
    parent.addEventListener("focusin", (e) => stop(buttons().indexOf(e.target)));
    stop(0);
    return stop;
  }

  /* ---- weights ---- */

  (function weights() {
    if (!$("weights") || !data.heat.length) return;
    const select = $("heat-tensor"), value = $("heat-value");
    let tensor = null, picture = null, numbers = null;
    $("weights").hidden = false;
    data.heat.forEach((h, i) => select.append(element("option", h.name, { value: i })));
    const range = (i, step, n, what) => {
      const last = Math.min((i + 1) * step, n) - 1;
      return what + " " + i * step + (last > i * step ? "–" + last : "");
    };
    const view = grid($("heat"), 576, (r, c) => {
      const level = numbers[r * picture.cols + c];
      const v = level > LEVELS ? "NaN or infinite" : number(picture.lo + (level / LEVELS) * (picture.hi - picture.lo));
      value.textContent = range(r, picture.row_step, picture.n_rows, "row") + ", " + range(c, picture.col_step, picture.n_cols, "column") + ": " + v;
    });
    const kinds = [["weights", "weights"]];
    if (data.heat.some((h) => h.error)) kinds.push(["error", "error of the other model"]);
    let kind = "weights";
    const show = () => {
      picture = kind === "error" ? tensor.error : tensor;
      if (!picture) {
        kind = "weights";
        picture = tensor;
      }
      numbers = bytes(picture.cells);
      const palette = picture.lo < 0 ? "diverging" : "viridis";
      view.show({ rows: picture.rows, cols: picture.cols, palette, at: (r, c) => numbers[r * picture.cols + c] });
      bar($("heat-bar"), palette);
      $("heat-bar").setAttribute("aria-label", "colours from " + number(picture.lo) + " to " + number(picture.hi));
      $("heat-caption").textContent = number(picture.lo) + " to " + number(picture.hi) + (picture.largest > picture.hi ? " (largest " + number(picture.largest) + ")" : "") +
        "; " + picture.what;
      $("heat").setAttribute("aria-label", (kind === "error" ? "Error" : "Weights") + " of " + tensor.name + ", " + picture.n_rows + " by " + picture.n_cols);
    };
    const control = choice($("heat-kinds"), kinds.map((k) => k[1]), (i) => {
      kind = kinds[i][0];
      if (tensor) show();
    });
    $("heat-kinds").hidden = kinds.length < 2;
    control.select(0);
    const open = (i) => {
      tensor = data.heat[i];
      select.value = String(i);
      value.textContent = "\u00a0";
      show();
    };
    select.addEventListener("input", () => open(Number(select.value)));
    open(0);
    document.addEventListener("opentensor", (e) => {
      const i = data.heat.findIndex((h) => h.name === e.detail);
      if (i < 0) return;
      open(i);
      $("weights").scrollIntoView();
      $("heat").focus({ preventScroll: true });
    });
  })();

  /* ---- layers × roles ---- */

  (function map() {
    if (!$("map")) return;
    const select = $("map-what"), out = $("map-table"), heads = table ? Array.from(table.tHead.rows[0].cells) : [];
    const inLayers = rows.filter((row) => row.dataset.layer !== undefined);
    const rank = new Map(inLayers.map((row) => [row.dataset.role, Number(row.dataset.rank)]));
    const roles = Array.from(rank.keys()).sort((a, b) => rank.get(a) - rank.get(b)); /* as a block computes */
    const layers = Array.from(new Set(inLayers.map((row) => Number(row.dataset.layer)))).sort((a, b) => a - b);
    const measures = heads.map((th, i) => [th.textContent, i]).filter((m) => heads[m[1]].dataset.map !== undefined);
    if (!inLayers.length || !measures.length) return;
    $("map").hidden = false;
    for (const [name, i] of measures) select.append(element("option", name, { value: i }));
    const at = new Map(inLayers.map((row) => [row.dataset.layer + " " + row.dataset.role, row]));
    const show = () => {
      const index = Number(select.value), values = [];
      for (const row of inLayers) {
        const v = Number(row.cells[index].dataset.v);
        if (isFinite(v) && row.cells[index].dataset.v !== "") values.push(v);
      }
      const lo = Math.min(...values), hi = Math.max(...values);
      out.textContent = "";
      const head = element("tr");
      head.append(element("th", "layer", { scope: "col" }));
      for (const role of roles) head.append(element("th", role, { scope: "col" }));
      const thead = element("thead"), body = element("tbody");
      thead.append(head);
      for (const layer of layers) {
        const tr = element("tr");
        tr.append(element("th", String(layer), { scope: "row" }));
        for (const role of roles) {
          const row = at.get(layer + " " + role);
          const text = row ? row.cells[index].dataset.v : "";
          if (text === "") {
            tr.append(element("td", "–", { class: "none" }));
            continue;
          }
          const v = Number(text), td = element("td");
          const level = hi > lo && isFinite(v) ? Math.round(((v - lo) / (hi - lo)) * LEVELS) : 0;
          const c = isFinite(v) ? palettes.viridis.subarray(3 * level, 3 * level + 3) : NAN;
          const light = 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
          td.style.background = "rgb(" + c[0] + "," + c[1] + "," + c[2] + ")";
          td.style.color = light > 110 ? "#000" : "#fff";
          const name = row.cells[0].textContent;
          if (data.heat.some((h) => h.name === name)) {
            const b = element("button", number(v), { type: "button", title: name });
            b.addEventListener("click", () => document.dispatchEvent(new CustomEvent("opentensor", { detail: name })));
            td.append(b);
          } else {
            td.textContent = number(v);
            td.title = name;
          }
          tr.append(td);
        }
        body.append(tr);
      }
      out.append(thead, body);
      $("map-scale").textContent = "Colours from " + number(lo) + " (dark) to " + number(hi) + " (bright).";
    };
    select.addEventListener("input", show);
    /* first what tells the layers apart */
    const varies = measures.find((m) => new Set(inLayers.map((row) => row.cells[m[1]].dataset.v)).size > 2 && m[0] !== "bits");
    if (varies) select.value = String(varies[1]);
    show();
  })();

  for (const row of rows) {
    const name = row.cells[0].textContent;
    if (!data.heat.some((h) => h.name === name)) continue;
    const b = element("button", name, { type: "button", title: "Show its weights" });
    row.cells[0].textContent = "";
    row.cells[0].append(b);
    b.addEventListener("click", () => document.dispatchEvent(new CustomEvent("opentensor", { detail: name })));
  }

  /* ---- attention ---- */

  (function attention() {
    const a = data.attention;
    if (!a || !$("attention")) return;
    $("attention").hidden = false;
    const cache = new Map();
    const packed = (side, layer) => {
      const k = side + layer;
      if (!cache.has(k)) cache.set(k, bytes(a[side][layer]));
      return cache.get(k);
    };
    const rowLength = (q) => (a.full ? a.n : q + 1);
    const perHead = a.full ? a.n * a.n : (a.n * (a.n + 1)) / 2;
    const sees = (layer, q, k) => (k <= q || k < a.prefix) && (a.windows[layer] === 0 || k > q - a.windows[layer]);
    const raw = (side, layer, head, q, k) => packed(side, layer)[head * perHead + (a.full ? q * a.n : (q * (q + 1)) / 2) + k];
    const weight = (side, layer, head, q, k) => (k < rowLength(q) ? raw(side, layer, head, q, k) / 255 : 0);
    let side = "a", layer = 0, head = 0, query = a.n - 1;

    /* One number of the picture: a probability, or the difference of two */
    const shown = (l, h, q, k) => (side === "d" ? weight("b", l, h, q, k) - weight("a", l, h, q, k) : weight(side, l, h, q, k));
    const largest = (l, h) => {
      let m = 0;
      for (let q = 0; q < a.n; q++) for (let k = 0; k < rowLength(q); k++) m = Math.max(m, Math.abs(shown(l, h, q, k)));
      return m || 1;
    };
    const cells = (l, h) => {
      const hi = side === "d" ? largest(l, h) : 1;
      return {
        rows: a.n, cols: a.n, hi, palette: side === "d" ? "diverging" : "viridis",
        at: (q, k) => {
          if (!sees(l, q, k)) return -1;
          const v = shown(l, h, q, k) / hi;
          return Math.round((side === "d" ? (v + 1) / 2 : v) * LEVELS);
        },
      };
    };
    const label = (i) => i + " “" + a.tokens[i] + "”";
    const percent = (v) => (side === "d" && v > 0 ? "+" : "") + (100 * v).toFixed(1) + " %";
    const tell = (q, k) => {
      $("att-value").textContent = sees(layer, q, k)
        ? "query " + label(q) + " → key " + label(k) + ": " + percent(shown(layer, head, q, k))
        : "query " + label(q) + " does not see key " + label(k);
    };
    const words = a.tokens.map((token, i) => {
      const b = element("button", token, { type: "button", "aria-pressed": "false" });
      b.addEventListener("click", () => list(i));
      b.addEventListener("pointerenter", () => tell(query, i));
      b.addEventListener("focus", () => tell(query, i));
      return b;
    });
    const paint = (q) => {
      const c = cells(layer, head), masked = css("--masked");
      words.forEach((b, k) => {
        const v = c.at(q, k), color = v < 0 ? masked : palettes[c.palette].subarray(3 * v, 3 * v + 3);
        const light = 0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2];
        b.style.background = "rgb(" + color[0] + "," + color[1] + "," + color[2] + ")";
        b.style.color = light > 110 ? "#000" : "#fff";
        b.setAttribute("aria-pressed", String(k === q));
      });
    };
    const list = (q) => {
      query = q;
      wordStop(q);
      paint(q);
      const out = $("att-keys"), keys = [];
      for (let k = 0; k < a.n; k++) if (sees(layer, q, k)) keys.push([k, shown(layer, head, q, k)]);
      keys.sort((x, y) => Math.abs(y[1]) - Math.abs(x[1]) || x[0] - y[0]);
      out.textContent = "";
      out.append(element("caption", "What query " + label(q) + " looks at, layer " + layer + ", head " + head + ":"));
      const tr = element("tr"), thead = element("thead"), body = element("tbody");
      for (const [text, cls] of [["key", ""], ["token", ""], [side === "d" ? "difference" : "weight", "n"]]) tr.append(element("th", text, { scope: "col", class: cls }));
      thead.append(tr);
      for (const [k, v] of keys.slice(0, 10)) {
        const line = element("tr");
        line.append(element("td", String(k)), element("td", a.tokens[k]), element("td", percent(v), { class: "n" }));
        body.append(line);
      }
      out.append(thead, body);
    };
    const view = grid($("att"), 560, tell, (q) => list(q));
    const thumb = (canvas, l, h) => {
      const c = cells(l, h), context = canvas.getContext("2d"), masked = css("--masked");
      canvas.width = canvas.height = 48;
      const image = context.createImageData(48, 48);
      for (let y = 0; y < 48; y++)
        for (let x = 0; x < 48; x++) {
          const q0 = Math.floor((y * a.n) / 48), q1 = Math.max(q0 + 1, Math.floor(((y + 1) * a.n) / 48));
          const k0 = Math.floor((x * a.n) / 48), k1 = Math.max(k0 + 1, Math.floor(((x + 1) * a.n) / 48));
          let v = -1; /* the level furthest from nothing */
          for (let q = q0; q < q1; q++)
            for (let k = k0; k < k1; k++) {
              const w = c.at(q, k), zero = side === "d" ? LEVELS / 2 : 0;
              if (w >= 0 && (v < 0 || Math.abs(w - zero) > Math.abs(v - zero))) v = w;
            }
          const color = v < 0 ? masked : palettes[c.palette].subarray(3 * v, 3 * v + 3);
          image.data.set([color[0], color[1], color[2], 255], 4 * (y * 48 + x));
        }
      context.putImageData(image, 0, 0);
    };
    const thumbs = $("att-heads"), headSelect = $("att-head"), layerSelect = $("att-layer");
    const drawHeads = () => {
      Array.from(thumbs.children).forEach((b, h) => {
        thumb(b.firstChild, layer, h);
        b.setAttribute("aria-pressed", String(h === head));
      });
    };
    const show = (heads) => {
      const c = cells(layer, head);
      view.show(c);
      bar($("att-bar"), c.palette);
      const ends = side === "d" ? percent(-c.hi) + " to " + percent(c.hi) : "0 to 100 %";
      $("att-bar").setAttribute("aria-label", "colours from " + ends);
      $("att-caption").textContent = ends + "; layer " + layer + ", head " + head + ", " + a.n + " tokens" +
        (a.windows[layer] ? ", window of " + a.windows[layer] : "") + "; grey: not seen";
      $("att").setAttribute("aria-label", "Attention of layer " + layer + ", head " + head + ": queries by keys");
      list(query);
      if (heads) drawHeads();
      else Array.from(thumbs.children).forEach((b, h) => b.setAttribute("aria-pressed", String(h === head)));
    };
    $("att-text").append(...words);
    const wordStop = roving($("att-text"));
    for (let l = 0; l < a.layers; l++) layerSelect.append(element("option", String(l), { value: l }));
    for (let h = 0; h < a.heads; h++) {
      headSelect.append(element("option", String(h), { value: h }));
      const b = element("button", undefined, { type: "button", "aria-label": "head " + h, "aria-pressed": "false" });
      b.append(element("canvas"), document.createTextNode(String(h)));
      b.addEventListener("click", () => pick(layer, h));
      thumbs.append(b);
    }
    const headStop = roving(thumbs);
    const pick = (l, h) => {
      headStop(h);
      const moved = l !== layer;
      layer = l;
      head = h;
      layerSelect.value = String(l);
      headSelect.value = String(h);
      show(moved);
    };
    layerSelect.addEventListener("input", () => pick(Number(layerSelect.value), head));
    headSelect.addEventListener("input", () => pick(layer, Number(headSelect.value)));
    const sides = a.b ? [["a", "A"], ["b", "B"], ["d", "B − A"]] : [["a", "A"]];
    const control = choice($("att-sides"), sides.map((s) => s[1]), (i) => {
      side = sides[i][0];
      show(true);
    });
    $("att-sides").hidden = sides.length < 2;
    control.select(0);
    document.addEventListener("themechange", () => {
      drawHeads();
      paint(query);
    });
  })();
})();
