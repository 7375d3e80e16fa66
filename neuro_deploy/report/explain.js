"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  // Okabe-Ito colours: told apart with any kind of colour vision.
  const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#4a555e", "#f0e442"];
  const CONFIG = { responsive: true, displaylogo: false, displayModeBar: false };
  const text = (s) => String(s).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const bar = (name, x, y, k) => ({
    type: "bar", orientation: "h", name: text(name), x, y: y.map(text),
    marker: { color: COLOURS[k % COLOURS.length], line: { width: 1, color: "#fff" } },
    text: x.map((v) => (v ? v.toLocaleString("en") : "")), textposition: "auto", hovertemplate: "%{y}: %{x:,}<extra>%{fullData.name}</extra>",
  });
  const layout = (rows, barmode, extra) => ({
    height: 130 + 46 * rows, barmode, margin: { l: 150, r: 24, t: 20, b: 80 }, paper_bgcolor: "#fff", plot_bgcolor: "#fff",
    font: { family: "system-ui, -apple-system, Segoe UI, Roboto, Arial, sans-serif", size: 12, color: "#1d252c" },
    legend: { orientation: "h", x: 0, yref: "container", y: 0, yanchor: "bottom", traceorder: "normal" },
    xaxis: { title: { text: "spikes that differ from float" }, rangemode: "tozero", gridcolor: "#eef1f4" },
    yaxis: { autorange: "reversed", automargin: true }, ...extra,
  });
  const all = { type: "line", x0: data.chip, x1: data.chip, yref: "paper", y0: 0, y1: 1, line: { color: "#1d252c", width: 1.5, dash: "dash" } };
  const note = { x: data.chip, yref: "paper", y: 1, text: "all on", showarrow: false, yanchor: "bottom" };
  Plotly.newPlot("chart", [bar("on alone", data.alone, data.formats, 4), bar("all on but this one", data.without, data.formats, 0)],
    layout(data.formats.length, "group", { shapes: [all], annotations: [note] }), CONFIG);
  if (data.layers.length) {
    const names = data.layers.map((l) => l.name);
    Plotly.newPlot("bylayer", data.costly.map((f, k) => bar(f, data.layers.map((l) => l.values[k]), names, k)), layout(names.length, "stack", {}), CONFIG);
  }
})();
