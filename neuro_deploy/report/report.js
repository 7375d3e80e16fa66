"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  // Okabe-Ito colours: told apart with any kind of colour vision; the symbols differ as well.
  const SAME = "#4a555e", ONLY_A = "#d55e00", ONLY_B = "#0072b2", OTHER = "#cc79a7", LINE_A = "#0072b2", LINE_B = "#e69f00";
  const [A, B] = data.names;
  const CONFIG = { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]] };
  const text = (s) => String(s).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const make = (tag, content, className) => {
    const node = document.createElement(tag);
    if (content !== undefined) node.textContent = content;
    if (className) node.className = className;
    return node;
  };
  const picker = (entries, label) => {
    const box = make("select");
    box.setAttribute("aria-label", label);
    entries.forEach((entry, i) => { const o = make("option", entry); o.value = i; box.append(o); });
    return box;
  };
  const shown = (v) => (v === null ? "not finite" : v);

  // Long runs open at WINDOW steps around the first difference (or at the start); a double click shows all of them.
  const WINDOW = 120;
  const opening = (p) => {
    const end = p.start + p.rows;
    if (p.rows <= WINDOW * 1.5) return [p.start - 0.5, end - 0.5];
    const middle = data.first === null ? 0 : data.first;
    const from = Math.max(p.start, Math.min(middle - WINDOW / 2, end - WINDOW));
    return [from - 0.5, from + WINDOW - 0.5];
  };

  const layout = (p, height, foot, extra) => {
    const end = p.start + p.rows, shapes = [];
    const band = (x0, x1) => shapes.push({ type: "rect", xref: "x", yref: "paper", x0, x1, y0: 0, y1: 1, fillcolor: "#eef1f4", line: { width: 0 }, layer: "below" });
    if (p.start < 0) band(p.start - 0.5, -0.5);
    if (end > data.steps) band(data.steps - 0.5, end - 0.5);
    return {
      height, margin: { l: 66, r: 34, t: 30, b: 46 + foot }, paper_bgcolor: "#fff", plot_bgcolor: "#fff", hovermode: "closest",
      font: { family: "system-ui, -apple-system, Segoe UI, Roboto, Arial, sans-serif", size: 12, color: "#1d252c" },
      legend: { orientation: "h", x: 0, yref: "container", y: 0, yanchor: "bottom", itemsizing: "constant" },
      xaxis: { title: { text: "step t", standoff: 6 }, range: opening(p), minallowed: p.start - 0.5, maxallowed: end - 0.5, zeroline: false, gridcolor: "#eef1f4", tickformat: "d", dtick: p.rows <= 24 ? 1 : undefined },
      shapes, ...extra,
    };
  };

  const raster = (p, sample) => {
    const { labels, events } = p.raster, e = events[sample];
    const top = Math.max(1, ...e.a.map(Math.abs), ...e.b.map(Math.abs));
    const same = (i) => e.a[i] === e.b[i] || !data.exact && p.input;
    const groups = [
      { name: p.input && !data.exact ? "input" : "both the same", color: SAME, symbol: "square", test: same },
      { name: "only " + A, color: ONLY_A, symbol: "triangle-up", test: (i) => !same(i) && e.b[i] === 0 },
      { name: "only " + B, color: ONLY_B, symbol: "triangle-down", test: (i) => !same(i) && e.a[i] === 0 },
      { name: "other value", color: OTHER, symbol: "diamond", test: (i) => !same(i) && e.a[i] !== 0 && e.b[i] !== 0 },
    ];
    const crowd = labels.length > 150 || p.rows > 60 ? 0.6 : labels.length > 50 ? 0.8 : 1;
    const traces = groups.map((g, k) => {
      const at = e.t.map((_, i) => i).filter(g.test);
      const size = (i) => crowd * (k ? 9 : 3) + crowd * 7 * Math.sqrt(Math.max(Math.abs(e.a[i]), Math.abs(e.b[i])) / top);
      return {
        type: "scatter", mode: "markers", name: text(`${g.name} (${at.length})`), x: at.map((i) => e.t[i]), y: at.map((i) => e.n[i]),
        marker: { color: g.color, symbol: g.symbol, size: at.map(size), opacity: k ? 1 : 0.75, line: { width: k ? 1 : 0, color: "#fff" } },
        text: at.map((i) => text(`neuron ${labels[e.n[i]]}, step ${e.t[i]}: ${A} ${shown(e.a[i])}, ${B} ${shown(e.b[i])}`)),
        hoverinfo: "text", visible: at.length || k === 0 ? true : "legendonly", showlegend: at.length > 0 || k === 0,
      };
    });
    const every = Math.max(1, Math.ceil(labels.length / 12)), ticks = labels.map((_, i) => i).filter((i) => i % every === 0);
    const yaxis = { title: { text: "neuron" }, range: [-0.8, labels.length - 0.2], zeroline: false, gridcolor: "#f3f5f7", tickvals: ticks, ticktext: ticks.map((i) => labels[i]) };
    return [traces, layout(p, Math.min(560, Math.max(320, 130 + labels.length * 7)), 26, { yaxis })];
  };

  // "θ", "2θ", ... upward, "-θ'", "-2θ'", ... downward (a signed neuron has a threshold of its own below zero).
  const thetas = (values, k) => {
    const up = values.filter((v) => v > 0).length, n = k < up ? k + 1 : k - up + 1;
    return (k < up ? "" : "−") + (n > 1 ? n : "") + (k < up ? "θ" : "θ′");
  };

  const membrane = (p, sample, which) => {
    const neuron = p.membrane.neurons[which], line = neuron.lines[sample], traces = [];
    const x = Array.from({ length: p.rows }, (_, i) => p.start + i);
    const differ = { x: [], y: [] };
    for (const [name, about, dash, open] of [["h", "h before firing", "dot", "diamond-open"], ["v", "v after firing", "solid", "circle-open"]]) {
      if (!line[name]) continue;
      const [a, b] = line[name];
      const label = (run, values) => values.map((v, i) => text(`${name} ${run}, step ${x[i]}: ${shown(v)}`));
      traces.push({ type: "scatter", mode: "lines", x, y: a, name: text(`${about}, ${A}`), line: { color: LINE_A, width: name === "v" ? 2 : 1.3, dash }, text: label(A, a), hoverinfo: "text" });
      traces.push({ type: "scatter", mode: "markers", x, y: b, name: text(`${about}, ${B}`), marker: { color: LINE_B, symbol: open, size: p.rows > 200 ? 4 : 8, line: { width: 2 } }, text: label(B, b), hoverinfo: "text" });
      if (data.exact) a.forEach((v, i) => { if (v !== b[i]) { differ.x.push(x[i]); differ.y.push(b[i]); } });
    }
    if (differ.x.length) traces.push({ type: "scatter", mode: "markers", ...differ, name: `differs (${differ.x.length})`, marker: { color: ONLY_A, symbol: "x-thin", size: 12, line: { width: 2.5, color: ONLY_A } }, hoverinfo: "skip" });
    const result = layout(p, 400, 66, { yaxis: { title: { text: p.membrane.unit, standoff: 8 }, zeroline: true, zerolinecolor: "#c9d1d8", gridcolor: "#eef1f4", tickformat: p.membrane.unit === "chip integers" ? ",d" : "~g" } });
    neuron.threshold.forEach((value, k) => {
      result.shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: value, y1: value, line: { color: "#7a8791", width: 1, dash: "dash" } });
      result.annotations = (result.annotations || []).concat({ xref: "paper", x: 1, y: value, text: thetas(neuron.threshold, k), showarrow: false, xanchor: "left", yanchor: "middle", font: { size: 11, color: "#5b6770" } });
    });
    return [traces, result];
  };

  const sampleBox = document.getElementById("sample");
  data.samples.forEach((s, i) => { const o = make("option", s.index + (s.differs ? " (differs)" : "")); o.value = i; sampleBox.append(o); });
  sampleBox.value = data.sample;
  const home = document.getElementById("populations"), drawers = [];
  if (data.omitted) home.append(make("p", `${data.omitted} more populations are not drawn, to keep this file small.`, "hint"));

  data.populations.forEach((p, index) => {
    const box = make("details"), summary = make("summary", p.name), plots = make("div", undefined, "plots");
    summary.append(make("span", `${p.shape.join(" x ") || 1} ${p.input ? "inputs" : "neurons"}`, "about"));
    if (p.differing) summary.append(make("span", `✗ ${p.differing} ${p.differing > 1 ? "neurons differ" : "neuron differs"}`, "warn"));
    box.append(summary, plots);
    home.append(box);
    const parts = [];
    if (p.raster) {
      const head = make("div", undefined, "head"), plot = make("div"), cell = make("div");
      const few = p.raster.labels.length < p.size ? `, ${p.raster.labels.length} of ${p.size} neurons (those that differ, then the most active)` : "";
      head.append(make("span", `${p.input ? "Values" : "Spikes"}${few}${p.cut ? `, ${p.rows} steps` : ""}; larger marks are higher values`, "hint"));
      cell.append(head, plot);
      plots.append(cell);
      parts.push(() => Plotly.react(plot, ...raster(p, Number(sampleBox.value)), CONFIG));
    }
    if (p.membrane) {
      const head = make("div", undefined, "head"), plot = make("div"), cell = make("div");
      const label = make("label", "Potential of neuron ");
      const thresholds = p.membrane.neurons.some((n) => n.threshold.length);
      const choose = picker(p.membrane.neurons.map((n) => n.label + (n.differs ? " (differs)" : "")), `neuron of ${p.name}`);
      label.append(choose);
      head.append(label);
      if (thresholds) head.append(make("span", "θ: firing threshold of h", "hint"));
      cell.append(head, plot);
      plots.append(cell);
      const draw = () => Plotly.react(plot, ...membrane(p, Number(sampleBox.value), Number(choose.value)), CONFIG);
      choose.addEventListener("change", draw);
      parts.push(draw);
    }
    if (!parts.length) plots.append(make("p", "Nothing that both runs recorded can be drawn.", "hint"));
    const draw = () => { if (box.open) parts.forEach((part) => part()); };
    box.addEventListener("toggle", draw);
    drawers.push(draw);
    box.open = index < 6 || p.differing > 0;
  });
  sampleBox.addEventListener("change", () => drawers.forEach((draw) => draw()));
})();
