// What every report shares: numbers and times in words, tables, and charts over time in plain SVG.
const data = JSON.parse(document.getElementById("data").textContent);
const el = id => document.getElementById(id);
const pad = { right: 10, top: 8, bottom: 22 };

const make = (tag, attributes = {}, text) => {
  const node = ["svg", "path", "line", "rect", "circle", "text", "g"].includes(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
};

const number = (value, digits = 1) => {
  if (value === null || value === undefined) return "–";
  // At least two digits, and of millions no decimals.
  if (value && Math.abs(value) < 10 ** (1 - digits)) return significant(Number(value.toPrecision(2)));
  if (Math.abs(value) >= 1e6) return significant(value);
  return value.toLocaleString("en-US", { maximumFractionDigits: digits, minimumFractionDigits: digits });
};
const percent = (value, digits = 2) => value === null || value === undefined ? "–" : number(100 * value, digits) + " %";
const significant = value => value === null ? "unknown" : inNotation(value, value);

const FULL = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 4 });
const COMPACT = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 4, notation: "compact" });

function inNotation(value, like) {
  // Four digits, written as suits `like`: 1,234 or 0.001234, 1.234M from a million on, 1.234e-7 where zeros would lead.
  const size = Math.abs(like), million = 999950; // which is one in four digits
  if (value && (size >= 1e15 || size < 1e-4)) return Number(value.toPrecision(4)).toExponential().replace("+", "");
  return (size >= million ? COMPACT : FULL).format(value);
}

function clock(seconds, relative, stepSeconds) {
  // Days of a trace without dates are counted from one. Seconds are named where steps are not whole minutes.
  const text = new Date((relative ? seconds % 86400 : seconds) * 1000).toISOString(), end = stepSeconds % 60 ? 19 : 16;
  return relative ? `day ${Math.floor(seconds / 86400) + 1} ${text.slice(11, end)}` : text.slice(0, end).replace("T", " ");
}

function facts(holder, rows) {
  for (const [value, label] of rows) {
    const fact = make("div", { class: "fact" });
    // A percent sign stays with its number.
    fact.append(make("b", {}, value), make("span", { class: "soft" }, label.replaceAll(" %", "\u00a0%")));
    holder.append(fact);
  }
}

function headRow(table, names, text = []) {
  const head = make("tr");
  // On a phone the words of a row go below its numbers.
  const last = text.includes(names[names.length - 1]);
  if (last) { table.classList.add("worded"); table.style.setProperty("--numbers", names.length - 2); }
  names.forEach(name => head.append(make("th", text.includes(name) ? { class: "text" } : {}, name)));
  table.append(head);
}

function extremes(values, from, to, columns) {
  // Smallest and largest of each pixel column, so that no spike is lost.
  const out = [], width = Math.max(1, (to - from) / columns);
  for (let column = 0; column < columns && from + column * width < to; column++) {
    const a = Math.floor(from + column * width), b = Math.max(a + 1, Math.min(to, Math.floor(from + (column + 1) * width)));
    let low = Infinity, high = -Infinity;
    for (let i = a; i < b; i++) if (values[i] !== null) { low = Math.min(low, values[i]); high = Math.max(high, values[i]); }
    out.push(low === Infinity ? null : [a, low, high]);
  }
  return out;
}

function linePath(values, from, to, columns, x, y, stepped) {
  let path = "", pen = false;
  if (to - from <= columns) {
    for (let i = from; i < to; i++) {
      if (values[i] === null) { pen = false; continue; }
      const at = `${x(i).toFixed(1)},${y(values[i]).toFixed(1)}`;
      path += pen ? (stepped ? `H${x(i).toFixed(1)}V${y(values[i]).toFixed(1)}` : `L${at}`) : `M${at}`;
      if (stepped || to - from < 400) path += `H${x(i + 1).toFixed(1)}`;
      pen = true;
    }
    return path;
  }
  for (const each of extremes(values, from, to, columns)) {
    if (!each) { pen = false; continue; }
    const px = x(each[0]).toFixed(1);
    path += `${pen ? "L" : "M"}${px},${y(each[2]).toFixed(1)}L${px},${y(each[1]).toFixed(1)}`;
    pen = true;
  }
  return path;
}

function bandPath(low, high, from, to, columns, x, y) {
  let path = "";
  const lows = extremes(low, from, to, columns), highs = extremes(high, from, to, columns);
  const width = Math.max(1, (to - from) / columns);
  // A column lasts until the next one begins, as a step does.
  const begin = column => x(Math.min(to, Math.floor(from + column * width))).toFixed(1), end = column => begin(column + 1);
  let run = [];
  const flush = () => {
    if (run.length) {
      path += "M" + run.map(i => `${begin(i)},${y(highs[i][2]).toFixed(1)}H${end(i)}`).join("L");
      path += "L" + run.reverse().map(i => `${end(i)},${y(lows[i][1]).toFixed(1)}H${begin(i)}`).join("L") + "Z";
    }
    run = [];
  };
  lows.forEach((each, i) => { if (each && highs[i]) run.push(i); else flush(); });
  flush();
  return path;
}

function ceiling(most, room) {
  // Of an axis; the smallest and the largest numbers there are have no fifth and no double.
  return most ? Math.min(Number.MAX_VALUE, Math.max(1e-300, most * room)) : 1;
}

function niceTicks(top, count) {
  const raw = top / count, power = 10 ** Math.floor(Math.log10(raw));
  const unit = [1, 2, 2.5, 5, 10].map(m => m * power).find(u => u >= raw);
  const ticks = [];
  for (let value = 0; value <= top; value += unit) ticks.push(value);
  return ticks;
}

function board(svg, height, left = 52) {
  // Cleared, and as wide as its place in the page.
  const width = svg.clientWidth || 900;
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  return { width, height, left, inner: width - left - pad.right };
}

function widest(svg, words) {
  // Of these labels, in this picture's type.
  const text = make("text");
  svg.append(text);
  const widths = words.map(each => { text.textContent = each; return text.getComputedTextLength(); });
  text.remove();
  return Math.max(0, ...widths);
}

function levelAxis(svg, top) {
  // All in the notation of the largest, and how much room they take beside the picture.
  const ticks = niceTicks(top, 5), like = ticks[ticks.length - 1];
  const levels = ticks.map(tick => [tick, inNotation(tick, like)]);
  return { levels, left: Math.max(36, Math.ceil(widest(svg, levels.map(([, words]) => words))) + 10) };
}

function levelLines(svg, size, levels, y) {
  for (const [tick, words] of levels) {
    svg.append(make("line", { x1: size.left, x2: size.width - pad.right, y1: y(tick), y2: y(tick), stroke: "var(--rule)" }));
    svg.append(make("text", { x: size.left - 6, y: y(tick) + 4, "text-anchor": "end" }, words));
  }
}

function timeLabels(svg, size, from, to, x, words) {
  // Of the first and the last moment at the edges, and of as many between as have room.
  const gap = 12, wide = widest(svg, [words(from), words(to)]), room = x(to) - x(from);
  const label = (step, anchor) => svg.append(make("text", { x: x(step), y: size.height - 6, "text-anchor": anchor }, words(step)));
  if (to === from) { label(from, "middle"); return; }
  label(from, "start");
  if (room < 2 * wide + gap) return;
  label(to, "end");
  const apart = Math.ceil((to - from) / Math.max(1, Math.floor(room / (1.5 * wide + gap))));
  for (let step = from + apart; x(step) + wide / 2 + gap <= x(to) - wide; step += apart) label(step, "middle");
}

function marks(steps, from, to, size, x) {
  // Short bars at the upper edge: what went wrong, and when.
  const wide = Math.max(1.5, size.inner / (to - from)).toFixed(1);
  let path = "";
  for (const step of steps) if (step >= from && step < to) path += `M${x(step).toFixed(1)},${pad.top}h${wide}v7h-${wide}Z`;
  return make("path", { d: path, fill: "var(--bad)" });
}

function pointing(svg, size, from, to, x, read) {
  const cursor = make("line", { y1: pad.top, y2: size.height - pad.bottom, stroke: "var(--hover)", "stroke-dasharray": "3 3", visibility: "hidden" });
  svg.append(cursor);
  // A finger that taps does not move.
  svg.onpointerdown = svg.onpointermove = event => {
    const box = svg.getBoundingClientRect();
    const share = (event.clientX - box.left - size.left) / size.inner;
    const step = Math.min(to - 1, Math.max(from, Math.floor(from + share * (to - from))));
    cursor.setAttribute("x1", x(step + .5)); cursor.setAttribute("x2", x(step + .5)); cursor.setAttribute("visibility", "visible");
    read(step);
  };
}

function strip(svg, values, view, left, look) {
  // The whole of it, and which part is looked at; dragging chooses another.
  const steps = values.length, size = board(svg, 56, left);
  let most = 0;
  for (const value of values) most = Math.max(most, value || 0);
  const top = ceiling(most, 1);
  const x = i => left + i / steps * size.inner, y = v => size.height - 4 - v / top * (size.height - 8);
  svg.append(make("path", { d: linePath(values, 0, steps, Math.floor(size.inner), x, y, false), fill: "none", stroke: "var(--soft)" }));
  svg.append(make("rect", { x: x(view[0]), width: Math.max(2, x(view[1]) - x(view[0])), y: 0, height: size.height, fill: "var(--band)", opacity: .18 }));
  const at = event => {
    const box = svg.getBoundingClientRect();
    return Math.round(Math.min(1, Math.max(0, (event.clientX - box.left - left) / size.inner)) * steps);
  };
  svg.style.touchAction = "none";
  svg.onpointerdown = event => {
    const start = at(event);
    svg.setPointerCapture(event.pointerId);
    svg.onpointerup = end => {
      const stop = at(end), least = Math.min(steps, 30);
      let [a, b] = [Math.min(start, stop), Math.max(start, stop)];
      if (b - a < least) { a = Math.max(0, Math.min(steps - least, Math.round((a + b - least) / 2))); b = a + least; }
      look(a, b);
    };
  };
}

function spanButtons(holder, steps, stepSeconds, look) {
  const perDay = Math.round(86400 / stepSeconds);
  const spans = [["all", steps], ["last week", 7 * perDay], ["last day", perDay], ["last 6 hours", Math.round(perDay / 4)]];
  holder.replaceChildren();
  for (const [label, span] of spans) {
    if (label !== "all" && (span >= steps || span < 10)) continue;
    const button = make("button", { "data-from": steps - span, "data-to": steps }, label);
    button.onclick = () => look(steps - span, steps);
    holder.append(button, " ");
  }
}

function pressSpan(holder, [from, to]) {
  // Whichever is looked at; a part that was dragged is none of them.
  for (const button of holder.children) {
    button.setAttribute("aria-pressed", Number(button.dataset.from) === from && Number(button.dataset.to) === to);
  }
}
