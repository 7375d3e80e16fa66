// A chart on a canvas that zooms: by mouse, by buttons, by keys.  The parts that draw are raster.js and potentials.js.
const COLOURS = {
  // Okabe and Ito: told apart with any colour vision; the symbols differ as well.
  same: "#4a555e", crowd: "#8d99a3", onlyA: "#d55e00", onlyB: "#0072b2", other: "#cc79a7", lineA: "#0072b2", lineB: "#e69f00", band: "#eef1f4",
};
const FONT = "12px system-ui, -apple-system, Segoe UI, Roboto, Arial, sans-serif";
const EDGE = { left: 70, right: 34, top: 10, bottom: 40 };

const make = (tag, content, className) => {
  const node = document.createElement(tag);
  if (content !== undefined) node.textContent = content;
  if (className) node.className = className;
  return node;
};
const shown = (v) => (v === null ? "not recorded" : Number.isFinite(v) ? v.toLocaleString("en", { maximumSignificantDigits: 7 }) : "not finite");

const niceStep = (span, most, whole) => {
  const rough = span / Math.max(1, most), power = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough) || power * 10;
  return whole ? Math.max(1, Math.round(step)) : step;
};
const ticks = (low, high, most, whole) => {
  const step = niceStep(high - low, most, whole), found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) found.push(i * step);
  return found;
};
const tickText = (v) => (v === 0 ? "0" : Math.abs(v) >= 1e7 || Math.abs(v) < 1e-4 ? v.toExponential(1) : Number(v.toPrecision(6)).toLocaleString("en"));

class Plot {
  // paint(plot, ctx): draws in CSS pixels.  about(x, y): text for the mouse.  marks(): [[x, y, text]] to step through.
  constructor(home, { label, height, xLabel, yLabel, yTick, yWhole, paint, about, marks, chosen }) {
    Object.assign(this, { label, height, xLabel, yLabel, yTick, yWhole, paint, about, marks, chosen, at: -1 });
    this.canvas = make("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.style.height = `${height}px`;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-roledescription", "chart that zooms");
    this.canvas.setAttribute("aria-describedby", "keys");
    this.buttons = make("div", undefined, "buttons");
    this.said = make("p", "", "said");
    this.said.setAttribute("aria-live", "polite");
    home.append(this.canvas, this.buttons, this.said);
    const button = (sign, name, act) => {
      const b = make("button", sign);
      b.type = "button";
      b.setAttribute("aria-label", `${name}: ${label}`);
      b.title = name;
      b.addEventListener("click", act);
      this.buttons.append(b);
      return b;
    };
    button("+", "Zoom in", () => this.zoom(0.5));
    button("−", "Zoom out", () => this.zoom(2));
    button("All", "Show all", () => this.reset());
    this.steppers = [button("‹ difference", "Previous difference", () => this.step(-1)), button("difference ›", "Next difference", () => this.step(1))];
    this.listen();
    new ResizeObserver(() => this.redraw()).observe(this.canvas);
  }

  show(full, view) {
    this.full = full;
    this.at = -1;
    this.steppers.forEach((b) => { b.hidden = !this.marks().length; });
    this.set(view || full, true);
  }

  set(view, silent) {
    const fit = (low, high, min, max, least) => {
      const span = Math.min(max - min, Math.max(least, high - low));
      const start = Math.min(Math.max(low + (high - low - span) / 2, min), max - span);
      return [start, start + span];
    };
    const f = this.full;
    const [x0, x1] = fit(view.x0, view.x1, f.x0, f.x1, Math.min(4, f.x1 - f.x0));
    const [y0, y1] = fit(view.y0, view.y1, f.y0, f.y1, this.yWhole ? Math.min(3, f.y1 - f.y0) : (f.y1 - f.y0) / 500);
    this.view = { x0, x1, y0, y1 };
    this.canvas.dataset.view = [x0, x1, y0, y1].map((v) => Number(v.toPrecision(9))).join(" ");
    const steps = `steps ${Math.ceil(x0)} to ${Math.floor(x1)}`;
    this.canvas.setAttribute("aria-label", `${this.label}, ${steps}`);
    if (!silent) this.said.textContent = `${steps}${this.yWhole ? `, ${Math.round(y1 - y0)} neurons` : ""}`;
    this.redraw();
  }

  reset() { this.set(this.full); }

  zoom(factor, at) {
    const { x0, x1, y0, y1 } = this.view, [x, y] = at || [(x0 + x1) / 2, (y0 + y1) / 2];
    const v = { x0: x - (x - x0) * factor, x1: x + (x1 - x) * factor, y0, y1 };
    if (this.yWhole) { v.y0 = y - (y - y0) * factor; v.y1 = y + (y1 - y) * factor; }
    this.set(v);
  }

  pan(dx, dy) {
    const { x0, x1, y0, y1 } = this.view, w = x1 - x0, h = y1 - y0;
    this.set({ x0: x0 + dx * w, x1: x1 + dx * w, y0: y0 + dy * h, y1: y1 + dy * h });
  }

  step(by) {
    const all = this.marks();
    if (!all.length) return;
    this.at = this.at < 0 ? (by > 0 ? 0 : all.length - 1) : (this.at + by + all.length) % all.length;
    const [x, y, about] = all[this.at], w = Math.min(this.view.x1 - this.view.x0, 80), h = this.yWhole ? Math.min(this.view.y1 - this.view.y0, 60) : this.view.y1 - this.view.y0;
    this.set({ x0: x - w / 2, x1: x + w / 2, ...(this.yWhole ? { y0: y - h / 2, y1: y + h / 2 } : { y0: this.view.y0, y1: this.view.y1 }) }, true);
    this.said.textContent = `difference ${this.at + 1} of ${all.length}: ${about}`;
    if (this.chosen) this.chosen(x, y);
  }

  area() {
    const width = this.canvas.clientWidth;
    return { x: EDGE.left, y: EDGE.top, w: Math.max(10, width - EDGE.left - EDGE.right), h: this.height - EDGE.top - EDGE.bottom };
  }
  px(x) { const a = this.area(), v = this.view; return a.x + ((x - v.x0) / (v.x1 - v.x0)) * a.w; }
  py(y) { const a = this.area(), v = this.view; return a.y + a.h - ((y - v.y0) / (v.y1 - v.y0)) * a.h; }
  from(event) {
    const box = this.canvas.getBoundingClientRect(), a = this.area(), v = this.view;
    const u = (event.clientX - box.left - a.x) / a.w, w = 1 - (event.clientY - box.top - a.y) / a.h;
    return { x: v.x0 + u * (v.x1 - v.x0), y: v.y0 + w * (v.y1 - v.y0), inside: u >= 0 && u <= 1 && w >= 0 && w <= 1 };
  }

  listen() {
    const c = this.canvas, tip = document.getElementById("tip");
    let start = null;
    c.addEventListener("pointerdown", (e) => { const p = this.from(e); if (p.inside && e.button === 0) { start = { ...p, pan: e.shiftKey, px: e.clientX, py: e.clientY, view: this.view }; c.setPointerCapture(e.pointerId); } });
    c.addEventListener("pointermove", (e) => {
      const p = this.from(e), text = p.inside && !start && this.about(p.x, p.y);
      tip.hidden = !text;
      if (text) { tip.textContent = text; tip.style.left = `${Math.max(4, Math.min(e.pageX + 12, document.documentElement.clientWidth - tip.offsetWidth - 8))}px`; tip.style.top = `${e.pageY + 14}px`; }
      if (!start) return;
      if (start.pan) {
        const a = this.area(), v = start.view, dx = ((start.px - e.clientX) / a.w) * (v.x1 - v.x0), dy = ((e.clientY - start.py) / a.h) * (v.y1 - v.y0);
        this.set({ x0: v.x0 + dx, x1: v.x1 + dx, y0: v.y0 + dy, y1: v.y1 + dy }, true);
      } else { this.band = [start, p]; this.redraw(); }
    });
    const end = (e) => {
      const p = this.from(e), s = start;
      start = this.band = null;
      if (!s || s.pan || e.type === "pointercancel") return this.redraw();
      if (Math.hypot(e.clientX - s.px, e.clientY - s.py) < 6) { if (this.chosen) this.chosen(s.x, s.y); return this.redraw(); }
      const tall = this.yWhole && Math.abs(e.clientY - s.py) > 12;
      const y = tall ? { y0: Math.min(s.y, p.y), y1: Math.max(s.y, p.y) } : { y0: this.view.y0, y1: this.view.y1 };
      return this.set({ x0: Math.min(s.x, p.x), x1: Math.max(s.x, p.x), ...y });
    };
    c.addEventListener("pointerup", end);
    c.addEventListener("pointercancel", end);
    c.addEventListener("pointerleave", () => { tip.hidden = true; });
    c.addEventListener("dblclick", () => this.reset());
    c.addEventListener("wheel", (e) => { if (!e.ctrlKey && !e.metaKey) return; e.preventDefault(); const p = this.from(e); this.zoom(e.deltaY > 0 ? 1.25 : 0.8, [p.x, p.y]); }, { passive: false });
    const keys = {
      ArrowLeft: () => this.pan(-0.15, 0), ArrowRight: () => this.pan(0.15, 0), ArrowUp: () => this.pan(0, 0.15), ArrowDown: () => this.pan(0, -0.15),
      "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2), "0": () => this.reset(), Home: () => this.reset(),
      n: () => this.step(1), p: () => this.step(-1),
    };
    c.addEventListener("keydown", (e) => { if (keys[e.key] && !e.ctrlKey && !e.altKey && !e.metaKey) { e.preventDefault(); keys[e.key](); } });
  }

  redraw() {
    if (this.waiting || !this.view) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.draw(); });
  }

  draw() {
    const c = this.canvas, ratio = Math.min(3, window.devicePixelRatio || 1), a = this.area();
    if (!c.clientWidth) return;
    c.width = Math.round(c.clientWidth * ratio);
    c.height = Math.round(this.height * ratio);
    const ctx = c.getContext("2d");
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.font = FONT;
    this.axes(ctx, a);
    ctx.save();
    ctx.beginPath();
    ctx.rect(a.x, a.y, a.w, a.h);
    ctx.clip();
    this.paint(this, ctx, a, ratio);
    if (this.band) {
      const [s, e] = this.band, x = this.px(Math.min(s.x, e.x)), w = Math.abs(this.px(e.x) - this.px(s.x));
      const tall = this.yWhole && Math.abs(this.py(e.y) - this.py(s.y)) > 12;
      ctx.fillStyle = "rgba(0,114,178,.16)";
      ctx.fillRect(x, tall ? Math.min(this.py(s.y), this.py(e.y)) : a.y, w, tall ? Math.abs(this.py(e.y) - this.py(s.y)) : a.h);
    }
    ctx.restore();
    ctx.strokeStyle = "#9aa7b1";
    ctx.strokeRect(a.x - 0.5, a.y - 0.5, a.w + 1, a.h + 1);
  }

  axes(ctx, a) {
    const v = this.view, ink = "#3d4850";
    const shade = (from, to) => { const x = Math.max(a.x, this.px(from)), w = Math.min(a.x + a.w, this.px(to)) - x; if (w > 0) ctx.fillRect(x, a.y, w, a.h); };
    ctx.fillStyle = COLOURS.band;
    if (this.full.x0 < -0.5) shade(this.full.x0, -0.5);
    if (this.full.x1 > this.full.steps - 0.5) shade(this.full.steps - 0.5, this.full.x1);
    ctx.strokeStyle = "#e6eaee";
    ctx.fillStyle = ink;
    ctx.textBaseline = "top";
    ctx.textAlign = "center";
    for (const x of ticks(v.x0, v.x1, a.w / 60, true)) { const at = this.px(x); ctx.beginPath(); ctx.moveTo(at, a.y); ctx.lineTo(at, a.y + a.h); ctx.stroke(); ctx.fillText(tickText(x), at, a.y + a.h + 5); }
    ctx.fillText(this.xLabel, a.x + a.w / 2, a.y + a.h + 22);
    ctx.textBaseline = "middle";
    ctx.textAlign = "right";
    for (const y of ticks(v.y0, v.y1, a.h / 30, this.yWhole)) { const at = this.py(y); ctx.beginPath(); ctx.moveTo(a.x, at); ctx.lineTo(a.x + a.w, at); ctx.stroke(); ctx.fillText(this.yTick(y), a.x - 6, at, EDGE.left - 22); }
    ctx.save();
    ctx.translate(9, a.y + a.h / 2);
    ctx.rotate(-Math.PI / 2);
    ctx.textAlign = "center";
    ctx.fillText(this.yLabel, 0, 0);
    ctx.restore();
  }
}
