// Potentials of one neuron in both runs: a line, and marks over it; where they differ, crosses; thresholds dashed.
// "θ", "2θ", ... upward, "−θ′", "−2θ′", ... downward (a signed neuron has a threshold of its own below zero).
const levels = (known, neuron) => {
  if (!known) return [];
  const of = (v) => (Array.isArray(v) ? v[neuron] : v), found = [];
  const times = (k) => (k > 1 ? k : "");
  for (let k = 1; k <= Math.min(8, of(known.rounds)); k++) found.push([k * of(known.theta), `${times(k)}θ`]);
  for (let k = 1; k <= Math.min(8, of(known.roundsNeg)); k++) found.push([-k * of(known.thetaNeg), `−${times(k)}θ′`]);
  return found;
};

// lines: [{name: "v" or "h", a, b}] with values by step from `start`; a or b is null where it was not recorded.
const differing = (lines) => {
  const found = [];
  for (const { name, a, b } of lines) {
    if (a && b) a.forEach((v, i) => { if (!Object.is(v, b[i]) && !(v === b[i])) found.push([i, b[i], name]); });
  }
  return found.sort((x, y) => x[0] - y[0]);
};

const extent = (lines, known) => {
  let low = 0, high = 0;
  for (const { a, b } of lines) for (const run of [a, b]) for (const v of run || []) if (Number.isFinite(v)) { low = Math.min(low, v); high = Math.max(high, v); }
  for (const [v] of known) { if (v <= high * 2 || v === known[0][0]) high = Math.max(high, v); if (v >= low * 2) low = Math.min(low, v); }
  const pad = (high - low || 1) * 0.07;
  return [low - pad, high + pad];
};

const stroke = (plot, ctx, run, start, style) => {
  ctx.beginPath();
  let down = false;
  run.forEach((v, i) => {
    if (!Number.isFinite(v)) { down = false; return; }
    ctx[down ? "lineTo" : "moveTo"](plot.px(start + i), plot.py(v));
    down = true;
  });
  Object.assign(ctx, { strokeStyle: style.colour, lineWidth: style.width, lineJoin: "round" });
  ctx.setLineDash(style.dash || []);
  ctx.stroke();
  ctx.setLineDash([]);
};

const rings = (plot, ctx, run, start, name) => {
  const { x0, x1 } = plot.view, apart = plot.area().w / (x1 - x0);
  if (apart < 5) { stroke(plot, ctx, run, start, { colour: COLOURS.lineB, width: name === "v" ? 1.6 : 1, dash: [3, 3] }); return; }
  const r = Math.min(4.5, apart * 0.35);
  ctx.beginPath();
  run.forEach((v, i) => {
    if (!Number.isFinite(v) || start + i < x0 - 1 || start + i > x1 + 1) return;
    const x = plot.px(start + i), y = plot.py(v);
    if (name === "v") { ctx.moveTo(x + r, y); ctx.arc(x, y, r, 0, 7); } else { ctx.moveTo(x, y - r); ctx.lineTo(x + r, y); ctx.lineTo(x, y + r); ctx.lineTo(x - r, y); ctx.closePath(); }
  });
  Object.assign(ctx, { strokeStyle: COLOURS.lineB, lineWidth: 2 });
  ctx.stroke();
};

const paintPotentials = (plot, ctx, area, lines, start, known, crosses) => {
  for (const [value] of known) {
    ctx.beginPath();
    ctx.setLineDash([6, 4]);
    Object.assign(ctx, { strokeStyle: "#7a8791", lineWidth: 1 });
    ctx.moveTo(area.x, plot.py(value));
    ctx.lineTo(area.x + area.w, plot.py(value));
    ctx.stroke();
    ctx.setLineDash([]);
  }
  for (const { name, a } of lines) if (a) stroke(plot, ctx, a, start, { colour: COLOURS.lineA, width: name === "v" ? 2 : 1.4, dash: name === "v" ? [] : [2, 3] });
  for (const { name, b } of lines) if (b) rings(plot, ctx, b, start, name);
  if (crosses.length) {
    ctx.beginPath();
    for (const [i, v] of crosses) {
      if (!Number.isFinite(v)) continue;
      const x = plot.px(start + i), y = plot.py(v), r = 6;
      ctx.moveTo(x - r, y - r); ctx.lineTo(x + r, y + r); ctx.moveTo(x + r, y - r); ctx.lineTo(x - r, y + r);
    }
    Object.assign(ctx, { strokeStyle: COLOURS.onlyA, lineWidth: 2.5 });
    ctx.stroke();
  }
  ctx.restore();
  ctx.save();
  Object.assign(ctx, { fillStyle: "#3d4850", textAlign: "left", textBaseline: "middle" });
  let last = Infinity;
  for (const [value, name] of known.slice().sort((x, y) => x[0] - y[0])) {
    const y = plot.py(value);
    if (y < area.y || y > area.y + area.h || last - y < 12) continue;
    ctx.fillText(name, area.x + area.w + 5, y);
    last = y;
  }
};
