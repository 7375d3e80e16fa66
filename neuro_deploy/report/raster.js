// Spikes of both runs over each other: cells in grey where they agree, a symbol for each kind of difference.
const KINDS = [
  { key: "onlyA", shape: "up" }, { key: "onlyB", shape: "down" }, { key: "other", shape: "diamond" },
];
const MOST_SYMBOLS = 4000;

const symbol = (ctx, shape, x, y, r) => {
  ctx.moveTo(x, y - r);
  if (shape === "up") { ctx.moveTo(x, y - r); ctx.lineTo(x + r, y + r * 0.8); ctx.lineTo(x - r, y + r * 0.8); }
  if (shape === "down") { ctx.moveTo(x, y + r); ctx.lineTo(x + r, y - r * 0.8); ctx.lineTo(x - r, y - r * 0.8); }
  if (shape === "diamond") { ctx.lineTo(x + r, y); ctx.lineTo(x, y + r); ctx.lineTo(x - r, y); }
  ctx.closePath();
};

// cells: a, b (rows * columns), rows, columns.  compared: false where values of two kinds of numbers are only shown.
const survey = (cells, compared) => {
  const found = [], counts = { same: 0, onlyA: 0, onlyB: 0, other: 0 };
  let top = 1;
  for (let i = 0; i < cells.a.length; i++) {
    const a = cells.a[i], b = cells.b[i];
    if (a === 0 && b === 0) continue;
    top = Math.max(top, Math.abs(a) || 0, Math.abs(b) || 0);
    if (a === b || !compared) { counts.same++; continue; }
    const kind = b === 0 ? 0 : a === 0 ? 1 : 2;
    counts[KINDS[kind].key]++;
    found.push([Math.floor(i / cells.columns), i % cells.columns, kind]);
  }
  return { found, counts, top, compared };
};

const packColour = (hex) => {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  return new Uint32Array(new Uint8ClampedArray([r, g, b, 255]).buffer)[0];
};

const paintRaster = (plot, ctx, area, ratio, cells, start, seen) => {
  const v = plot.view, w = Math.round(area.w * ratio), h = Math.round(area.h * ratio);
  const image = ctx.createImageData(w, h), pixels = new Uint32Array(image.data.buffer);
  const sx = w / (v.x1 - v.x0), sy = h / (v.y1 - v.y0), grey = packColour(Math.max(sx, sy) < 2.5 * ratio ? COLOURS.crowd : COLOURS.same);
  const t0 = Math.max(0, Math.floor(v.x0 - start)), t1 = Math.min(cells.rows - 1, Math.ceil(v.x1 - start));
  const n0 = Math.max(0, Math.floor(v.y0)), n1 = Math.min(cells.columns - 1, Math.ceil(v.y1));
  const most = Math.min(0.86, Math.max(0.5, 1 - 1 / Math.min(sx, sy))), cap = 22 * ratio;
  for (let t = t0; t <= t1; t++) {
    for (let n = n0; n <= n1; n++) {
      const i = t * cells.columns + n, value = cells.a[i] || cells.b[i];
      if (value === 0 || (seen.compared && cells.a[i] !== cells.b[i])) continue;
      const part = 0.4 + 0.6 * Math.sqrt(Math.min(1, Math.abs(value) / seen.top));
      const wide = Math.max(1, Math.min(cap, sx * most)), high = Math.max(1, Math.min(cap, sy * most));
      const cw = Math.max(1, Math.min(wide, 5 * high) * part), ch = Math.max(1, Math.min(high, 5 * wide) * part);
      const cx = (t + start - v.x0) * sx, cy = h - (n - v.y0) * sy;
      const left = Math.max(0, Math.round(cx - cw / 2)), right = Math.min(w, Math.max(left + 1, Math.round(cx + cw / 2)));
      const top = Math.max(0, Math.round(cy - ch / 2)), bottom = Math.min(h, Math.max(top + 1, Math.round(cy + ch / 2)));
      for (let y = top; y < bottom; y++) pixels.fill(grey, y * w + left, y * w + right);
    }
  }
  const sheet = plot.sheet || (plot.sheet = document.createElement("canvas"));
  sheet.width = w;
  sheet.height = h;
  sheet.getContext("2d").putImageData(image, 0, 0);
  ctx.drawImage(sheet, area.x, area.y, area.w, area.h);
  paintDifferences(plot, ctx, start, seen, Math.min(sx, sy) / ratio);
};

const paintDifferences = (plot, ctx, start, seen, cell) => {
  const v = plot.view;
  const visible = seen.found.filter(([t, n]) => t + start >= v.x0 && t + start <= v.x1 && n >= v.y0 && n <= v.y1);
  const r = visible.length > MOST_SYMBOLS ? 1.5 : Math.min(8, Math.max(4, cell * 0.5));
  KINDS.forEach(({ key, shape }, kind) => {
    ctx.beginPath();
    for (const [t, n, k] of visible) {
      if (k !== kind) continue;
      const x = plot.px(t + start), y = plot.py(n);
      if (r < 2) ctx.rect(x - r, y - r, 2 * r, 2 * r);
      else symbol(ctx, shape, x, y, r);
    }
    ctx.lineWidth = r < 2 ? 0 : 1.5;
    ctx.strokeStyle = "#fff";
    if (r >= 2) ctx.stroke();
    ctx.fillStyle = COLOURS[key];
    ctx.fill();
  });
};

const legend = (entries) => {
  const list = make("ul", undefined, "legend");
  for (const { colour, shape, name } of entries) {
    const item = make("li"), icon = document.createElement("canvas");
    icon.width = icon.height = 28;
    icon.setAttribute("aria-hidden", "true");
    const ctx = icon.getContext("2d");
    ctx.scale(2, 2);
    ctx.fillStyle = ctx.strokeStyle = colour;
    ctx.lineWidth = 2;
    ctx.beginPath();
    if (shape === "square") ctx.rect(4, 4, 6, 6);
    else if (shape === "line" || shape === "dots") { if (shape === "dots") ctx.setLineDash([2, 2]); ctx.moveTo(0, 7); ctx.lineTo(14, 7); }
    else if (shape === "ring") ctx.arc(7, 7, 4, 0, 7);
    else if (shape === "ringed") { ctx.moveTo(7, 2); ctx.lineTo(12, 7); ctx.lineTo(7, 12); ctx.lineTo(2, 7); ctx.closePath(); }
    else if (shape === "cross") { ctx.moveTo(3, 3); ctx.lineTo(11, 11); ctx.moveTo(11, 3); ctx.lineTo(3, 11); }
    else symbol(ctx, shape, 7, 7, 5);
    if (["line", "dots", "ring", "ringed", "cross"].includes(shape)) ctx.stroke();
    else ctx.fill();
    item.append(icon, make("span", name));
    list.append(item);
  }
  return list;
};
