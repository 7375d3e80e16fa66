// The page: populations, their filter, and a raster and potentials of each.
const data = JSON.parse(document.getElementById("data").textContent);
const [A, B] = data.names;
const home = document.getElementById("populations"), sampleBox = document.getElementById("sample");

const unpack = async (type, packed, against) => {
  const raw = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const kind = window[`${type}Array`], width = kind.BYTES_PER_ELEMENT, count = planes.length / width, bytes = new Uint8Array(planes.length);
  for (let i = 0; i < count; i++) for (let k = 0; k < width; k++) bytes[i * width + k] = planes[k * count + i];
  if (against) { const other = new Uint8Array(against.buffer); for (let i = 0; i < bytes.length; i++) bytes[i] ^= other[i]; }
  return new kind(bytes.buffer);
};
const both = async (part) => {
  const a = part.a === null ? null : await unpack(part.type, part.a);
  const b = part.b === null ? null : part.b === "same" ? a : await unpack(part.type, part.b, a);
  return { a, b };
};
const remember = (compute) => { const known = new Map(); return (key) => { if (!known.has(key)) known.set(key, compute(key)); return known.get(key); }; };

const label = (shape, neuron) => {
  const parts = [];
  for (const n of shape.slice().reverse()) { parts.unshift(neuron % n); neuron = Math.floor(neuron / n); }
  return parts.join(", ") || "0";
};
const indexOf = (shape, text) => {
  const parts = text.trim().split(/[\s,;]+/).map(Number);
  if (!text.trim() || parts.some((n) => !Number.isInteger(n) || n < 0)) return -1;
  if (parts.length === 1) return parts[0] < shape.reduce((x, y) => x * y, 1) ? parts[0] : -1;
  if (parts.length !== shape.length || parts.some((n, i) => n >= shape[i])) return -1;
  return parts.reduce((sum, n, i) => sum * shape[i] + n, 0);
};

// Long runs open at WINDOW steps around the first difference (or at the start).
const WINDOW = 150;
const opening = (full, middle) => {
  if (full.x1 - full.x0 <= WINDOW * 1.5) return full;
  const from = Math.max(full.x0, Math.min((middle ?? 0) - WINDOW / 2, full.x1 - WINDOW));
  return { ...full, x0: from, x1: from + WINDOW };
};

const addRaster = (p, home, choose) => {
  const columns = p.raster.neurons ? p.raster.neurons.length : p.size, id = (n) => (p.raster.neurons ? p.raster.neurons[n] : n);
  const few = columns < p.size ? `, ${columns} of ${p.size} neurons (those that differ, then the most active)` : "";
  home.append(make("p", `${p.input ? "Values" : "Spikes"}${few}${p.cut ? `, ${p.rows} steps` : ""}; larger marks are higher values`, "hint head"));
  const compared = data.exact || !p.input;
  const loaded = remember(async (sample) => {
    const cells = { ...(await both(p.raster.samples[sample])), rows: p.rows, columns };
    return { cells, seen: survey(cells, compared) };
  });
  let now = null;
  const told = (t, n) => { const i = (t - p.start) * columns + n; return `neuron ${label(p.shape, id(n))}, step ${t}: ${A} ${shown(now.cells.a[i])}, ${B} ${shown(now.cells.b[i])}`; };
  const inside = (t, n) => now && t >= p.start && t < p.start + p.rows && n >= 0 && n < columns;
  const plot = new Plot(home, {
    label: `${p.input ? "Values" : "Spikes"} of ${p.name}`, height: Math.round(Math.min(420, Math.max(230, 110 + columns * 8))), xLabel: "step t", yLabel: "neuron", yWhole: true,
    yTick: (y) => (y >= 0 && y < columns ? label(p.shape, id(y)) : ""),
    paint: (self, ctx, area, ratio) => now && paintRaster(self, ctx, area, ratio, now.cells, p.start, now.seen),
    about: (x, y) => (inside(Math.round(x), Math.round(y)) ? told(Math.round(x), Math.round(y)) : ""),
    marks: () => (now ? now.seen.found.map(([t, n]) => [t + p.start, n, told(t + p.start, n)]) : []),
    chosen: (x, y) => inside(Math.round(x), Math.round(y)) && choose(id(Math.round(y)), Math.round(x)),
  });
  let list = null;
  return async (sample) => {
    now = await loaded(sample);
    const { counts } = now.seen, entry = (shape, key, name) => ({ shape, colour: COLOURS[key], name: `${name} (${counts[key].toLocaleString("en")})` });
    const entries = [entry("square", "same", compared ? "both the same" : "input"), ...(counts.onlyA ? [entry("up", "onlyA", `only ${A}`)] : []), ...(counts.onlyB ? [entry("down", "onlyB", `only ${B}`)] : []), ...(counts.other ? [entry("diamond", "other", "other value")] : [])];
    const fresh = legend(entries);
    if (list) list.replaceWith(fresh); else home.append(fresh);
    list = fresh;
    const full = { x0: p.start - 0.5, x1: p.start + p.rows - 0.5, y0: -0.7, y1: columns - 0.3, steps: data.steps };
    plot.show(full, opening(full, p.first[sample]?.[0] ?? data.first));
  };
};

const addPotentials = (p, home) => {
  const m = p.potentials, columns = m.neurons ? m.neurons.length : p.size, place = (neuron) => (m.neurons ? m.neurons.indexOf(neuron) : neuron);
  const head = make("div", undefined, "head"), field = make("input"), list = make("datalist"), note = make("span", "", "hint"), wrap = make("label", "Potential of neuron ");
  field.type = "text";
  field.value = label(p.shape, m.neurons ? m.neurons[0] : p.interest[0]);
  field.setAttribute("aria-label", `Neuron of ${p.name} whose potential is drawn`);
  list.id = `neurons-${p.name}`;
  field.setAttribute("list", list.id);
  p.interest.forEach((n) => { const o = make("option"); o.value = label(p.shape, n); list.append(o); });
  note.setAttribute("role", "status");
  wrap.append(field, list);
  head.append(wrap, note);
  home.append(head);
  const loaded = remember(async (sample) => {
    const found = {};
    for (const name of Object.keys(m.variables)) found[name] = m.variables[name][sample] && await both(m.variables[name][sample]);
    return found;
  });
  let lines = [], crosses = [], from = p.start, known = [];
  const at = (x) => Math.round(x) - from;
  const told = (i) => lines.flatMap(({ name, a, b }) => [[A, a], [B, b]].filter(([, run]) => run).map(([who, run]) => `${name} ${who} ${shown(run[i])}`)).join(", ");
  const plot = new Plot(home, {
    label: `Potential of ${p.name}`, height: 320, xLabel: "step t", yLabel: m.unit, yWhole: false, yTick: tickText,
    paint: (self, ctx, area) => paintPotentials(self, ctx, area, lines, from, known, crosses),
    about: (x) => { const i = at(x); return lines.length && i >= 0 && i < (lines[0].a || lines[0].b).length ? `step ${i + from}: ${told(i)}` : ""; },
    marks: () => crosses.map(([i, v, name]) => [i + from, v, `step ${i + from}, ${name}: ${told(i)}`]),
  });
  const legendOf = () => {
    const about = { v: "v after firing", h: "h before firing" }, entries = [];
    for (const { name, a, b } of lines) {
      if (a) entries.push({ shape: name === "v" ? "line" : "dots", colour: COLOURS.lineA, name: `${about[name]}, ${A}` });
      if (b) entries.push({ shape: name === "v" ? "ring" : "ringed", colour: COLOURS.lineB, name: `${about[name]}, ${B}` });
    }
    if (crosses.length) entries.push({ shape: "cross", colour: COLOURS.onlyA, name: `differs (${crosses.length})` });
    return legend(entries);
  };
  let shownList = null, sampleNow = 0;
  const draw = async (middle) => {
    const neuron = indexOf(p.shape, field.value), column = neuron < 0 ? -1 : place(neuron), window_ = m.windows[sampleNow];
    field.setAttribute("aria-invalid", String(column < 0 || !window_));
    note.textContent = !window_ ? "not stored for this sample" : column >= 0 ? (known.length ? "" : note.textContent) : neuron < 0 ? `no such neuron; shape ${p.shape.join(" x ")}` : `not stored; ${columns} of ${p.size} neurons are`;
    if (column < 0 || !window_) { lines = []; crosses = []; plot.redraw(); return; }
    const values = await loaded(sampleNow), pick = (run) => run && Array.from({ length: window_[1] }, (_, i) => run[i * columns + column]);
    lines = Object.entries(values).map(([name, v]) => ({ name, a: pick(v.a), b: pick(v.b) }));
    from = window_[0];
    known = levels(m.thresholds, column);
    crosses = data.exact ? differing(lines) : [];
    note.textContent = `${known.length ? "θ: firing threshold of h" : ""}${window_[1] < p.rows ? `${known.length ? "; " : ""}steps ${from} to ${from + window_[1] - 1} are stored` : ""}`;
    const fresh = legendOf(), [y0, y1] = extent(lines, known);
    if (shownList) shownList.replaceWith(fresh); else home.append(fresh);
    shownList = fresh;
    const full = { x0: from - 0.5, x1: from + window_[1] - 0.5, y0, y1, steps: data.steps };
    plot.label = `Potential of ${p.name}, neuron ${label(p.shape, neuron)}`;
    plot.show(full, opening(full, middle ?? p.first[sampleNow]?.[0] ?? data.first));
  };
  field.addEventListener("change", () => draw());
  return {
    draw: (sample) => { sampleNow = sample; return draw(); },
    choose: (neuron, step) => { field.value = label(p.shape, neuron); return draw(step); },
  };
};

const addPopulation = (p, index) => {
  const box = make("details"), summary = make("summary", p.name), plots = make("div", undefined, "plots");
  summary.append(make("span", `${p.shape.join(" x ") || 1} ${p.input ? "inputs" : "neurons"}`, "about"));
  if (p.differing) summary.append(make("span", `✗ ${p.differing} ${p.differing > 1 ? "neurons differ" : "neuron differs"}`, "warn"));
  box.append(summary, plots);
  home.append(box);
  const cell = () => { const c = make("div"); plots.append(c); return c; };
  let parts = null, stale = true;
  const build = () => {
    parts = [];
    const left = p.raster && cell(), right = p.potentials && cell(), potentials = right && addPotentials(p, right);
    if (left) parts.push(addRaster(p, left, (n, t) => potentials && potentials.choose(n, t)));
    if (right) parts.push(potentials.draw);
    if (!parts.length) plots.append(make("p", "Nothing that both runs recorded can be drawn.", "hint"));
  };
  const draw = async () => {
    if (!box.open || !stale) return;
    stale = false;
    if (!parts) build();
    for (const part of parts) await part(Number(sampleBox.value));
  };
  box.addEventListener("toggle", draw);
  box.open = index < 6 || p.differing > 0;
  return { p, box, draw, changed: () => { stale = true; return draw(); } };
};

const filterOf = (drawn) => {
  const field = document.getElementById("filter"), only = document.getElementById("only"), count = document.getElementById("shown");
  const apply = () => {
    const wanted = field.value.trim().toLowerCase();
    let left = 0;
    for (const { p, box } of drawn) { box.hidden = !p.name.toLowerCase().includes(wanted) || (only.checked && !p.differing); left += box.hidden ? 0 : 1; }
    for (const row of document.querySelectorAll("[data-population]")) {
      const name = row.dataset.population, p = drawn.find((d) => d.p.name === name)?.p;
      row.hidden = !name.toLowerCase().includes(wanted) || (only.checked && !(p && p.differing));
    }
    count.textContent = `${left} of ${drawn.length} populations`;
  };
  field.addEventListener("input", apply);
  field.addEventListener("keydown", (e) => { if (e.key === "Escape") { field.value = ""; apply(); } });
  only.addEventListener("change", apply);
  only.disabled = !drawn.some(({ p }) => p.differing);
  apply();
};

data.samples.forEach((s, i) => { const o = make("option", s.index + (s.differs ? " (differs)" : "")); o.value = i; sampleBox.append(o); });
sampleBox.value = data.sample;
if (data.omitted) home.append(make("p", `${data.omitted} more populations are not drawn, to keep this file small.`, "hint"));
if (typeof DecompressionStream === "undefined") home.append(make("p", "This browser cannot unpack the drawings (it has no DecompressionStream); any browser since 2023 can.", "hint"));
const drawn = data.populations.map(addPopulation);
filterOf(drawn);
sampleBox.addEventListener("change", () => drawn.forEach((d) => d.changed()));
