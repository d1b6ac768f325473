const colour = model => data.models[model] === "last-value" ? "var(--base)" : `var(--m${model % 9})`;
const level = index => String(data.levels[index]);
const drawings = data.drawings;
let scope = data.scopes[0], model = 0, chosen = data.judged, when = "hours", view = null, shown = 20;
// Series stand in the order of their drawings, after the scope of all of them.
const seriesOf = which => data.scopes.indexOf(which) - (data.series > 1 ? 1 : 0);

function keys(holder) {
  holder.replaceChildren();
  data.models.forEach((name, index) => holder.append(key(name, index)));
}

function key(name, index) {
  const found = make("span", { class: "key dot" });
  found.append(make("i", { style: `background:${colour(index)}` }), name);
  return found;
}

function options(select, names, picked, change) {
  names.forEach((name, index) => select.append(make("option", { value: index, ...(index === picked ? { selected: "" } : {}) }, name)));
  select.onchange = () => change(Number(select.value));
}

function modelRow(cells, index) {
  const row = make("tr", index ? {} : { class: "ours" });
  const first = make("td");
  first.append(key(cells[0], index));
  row.append(first, ...cells.slice(1).map(cell => make("td", {}, cell)));
  return row;
}

function scores() {
  const table = el("scores"), wanted = data.columns.map((_, index) => scope.cells.some(cells => cells[index] !== ""));
  const kept = cells => cells.filter((_, index) => wanted[index]);
  table.replaceChildren();
  headRow(table, kept(data.columns));
  scope.cells.forEach((cells, index) => table.append(modelRow(kept(cells), index)));
  el("windows").textContent = `${scope.windows.toLocaleString("en-US")} windows`;
}

const TABLES = [
  ["coverage", which => which.coverages, value => percent(value, 1)],
  ["loss relative to last value", which => which.ratios, value => number(value, 3)],
  ["pinball loss, load per second", which => which.losses, value => value === null ? "–" : significant(value)],
];
let what = 0;
function levels() {
  const table = el("levels"), [, values, words] = TABLES[what], rows = values(scope);
  table.replaceChildren();
  if (!rows) {
    table.append(make("caption", { class: "soft" }, "Loads of different series do not add up: choose one."));
    return;
  }
  headRow(table, ["model", ...data.levels.map(String)]);
  rows.forEach((row, index) => table.append(modelRow([data.models[index], ...row.map(words)], index)));
}

function drawn() { return drawings[Math.max(0, seriesOf(scope))]; }

function chart() {
  const svg = el("chart"), each = drawn();
  el("whose").textContent = each ? told(each) : `Drawn are the ${drawings.length} series on which ${data.models[0]} loses most; this is none of them.`;
  for (const id of ["chart", "overview", "reading", "spans"]) el(id).style.display = each ? "" : "none";
  if (!each) return;
  const steps = each.peak.length, said = each.models[model];
  if (!view) view = [0, steps];
  const [from, to] = view;
  let most = 0;
  for (let i = from; i < to; i++) most = Math.max(most, each.peak[i] || 0, each.demand[i] || 0, said.judged[i] || 0);
  const top = ceiling(most, 1.06), { levels, left } = levelAxis(svg, top);
  const size = board(svg, svg.clientHeight || 320, left), columns = Math.max(50, Math.floor(size.inner));
  const x = i => left + (i - from) / (to - from) * size.inner;
  const y = value => size.height - pad.bottom - Math.min(value, top) / top * (size.height - pad.top - pad.bottom);
  const moment = step => clock(each.start_seconds + step * each.spacing_seconds, data.relative, each.spacing_seconds);
  levelLines(svg, size, levels, y);
  timeLabels(svg, size, from, to, x, moment);
  const line = (values, stroke, width, opacity = 1) => svg.append(make("path", { d: linePath(values, from, to, columns, x, y, false), fill: "none", stroke, "stroke-width": width, opacity }));
  svg.append(make("path", { d: bandPath(said.judged, said.high, from, to, columns, x, y), fill: "var(--band)", opacity: .13 }));
  svg.append(make("path", { d: bandPath(said.median, said.judged, from, to, columns, x, y), fill: "var(--band)", opacity: .32 }));
  line(each.demand, "var(--soft)", .8, .6);
  line(each.peak, "var(--demand)", 1.1);
  svg.append(marks(said.misses, from, to, size, x));
  pointing(svg, size, from, to, x, step => {
    const misses = said.misses.includes(step);
    el("reading").textContent = each.peak[step] === null ? `${moment(step)} · no window judged`
      : [`${moment(step)} · demand ${significant(each.demand[step])}`, `peak that came ${significant(each.peak[step])}`,
        `${data.models[model]}: ${significant(said.median[step])} median, ${significant(said.judged[step])} at 0.95, ${significant(said.high[step])} at 0.99`,
        misses ? "above 0.95" : ""].filter(Boolean).join(" · ");
  });
  strip(el("overview"), each.peak, view, left, look);
  pressSpan(el("spans"), view);
}

function told(each) {
  const stand = seriesOf(scope) < 0 ? `${data.scopes[1].name}, where ${data.models[0]} loses most. ` : "";
  return stand + (each.together > 1 ? `A point is the most of ${each.together} cutoffs.` : "");
}

function look(from, to) { view = [from, to]; chart(); }

function honest() {
  const svg = el("honest"), size = board(svg, 300), low = -.9, high = 3.2;
  const x = score => size.left + (score - low) / (high - low) * size.inner;
  const y = score => size.height - pad.bottom - (score - low) / (high - low) * (size.height - pad.top - pad.bottom);
  let freeUp = Infinity, freeRight = -Infinity; // the next label must not touch the one before
  data.level_scores.forEach((score, index) => {
    const words = percent(data.levels[index], data.levels[index] > .99 ? 1 : 0).replace(" ", "\u2009");
    svg.append(make("line", { x1: x(low), x2: x(high), y1: y(score), y2: y(score), stroke: "var(--rule)" }));
    svg.append(make("line", { x1: x(score), x2: x(score), y1: y(low), y2: y(high), stroke: "var(--rule)" }));
    if (y(score) < freeUp) {
      svg.append(make("text", { x: size.left - 6, y: y(score) + 4, "text-anchor": "end" }, words));
      freeUp = y(score) - 12;
    }
    if (x(score) > freeRight) {
      svg.append(make("text", { x: x(score), y: size.height - 6, "text-anchor": "middle" }, words));
      freeRight = x(score) + 36;
    }
  });
  svg.append(make("line", { x1: x(low), y1: y(low), x2: x(high), y2: y(high), stroke: "var(--soft)", "stroke-dasharray": "4 4" }));
  const order = data.models.map((_, index) => index).reverse();
  for (const index of order) {
    const at = scope.coverage_scores[index].map((score, i) => [x(data.level_scores[i]), y(Math.max(low, Math.min(high, score)))]);
    svg.append(make("path", { d: "M" + at.map(point => point.map(v => v.toFixed(1)).join(",")).join("L"), fill: "none", stroke: colour(index), "stroke-width": index ? 1.3 : 2 }));
    at.forEach(([cx, cy], i) => {
      const dot = make("circle", { cx, cy, r: 3.2, fill: colour(index) });
      dot.append(title(`${data.models[index]}: ${percent(scope.coverages[index][i], 2)} at ${level(i)}`));
      svg.append(dot);
    });
  }
}

function title(words) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", "title");
  node.textContent = words;
  return node;
}

function bars() {
  const svg = el("bars"), tall = 34, height = data.models.length * tall + 26;
  svg.setAttribute("height", height);
  const values = scope.ratios.map(row => row[chosen]), labels = values.map(value => number(value, 3));
  const size = board(svg, height), left = 10, right = size.width - 16 - widest(svg, labels);
  const top = Math.max(1.05, ...values.map(value => value || 0));
  const x = value => left + value / top * (right - left);
  values.forEach((value, index) => {
    const at = index * tall;
    svg.append(make("text", { x: left, y: at + 12, class: "strong" }, data.models[index]));
    svg.append(make("rect", { x: left, y: at + 17, width: value === null ? 0 : Math.max(1, x(value) - left), height: 11, rx: 3, fill: colour(index) }));
    svg.append(make("text", { x: (value === null ? left : x(value)) + 6, y: at + 27 }, labels[index]));
  });
  svg.append(make("line", { x1: x(1), x2: x(1), y1: 14, y2: height - 22, stroke: "var(--soft)", "stroke-dasharray": "4 4" }));
  // Where others lose much more its line stands so far left that the words would begin outside.
  const words = "last value", middle = Math.max(x(1), widest(svg, [words]) / 2);
  svg.append(make("text", { x: middle, y: height - 8, "text-anchor": "middle" }, words));
}

function whenLost() {
  const svg = el("when"), rows = scope[when], bins = rows[0].length;
  let most = 0;
  for (const row of rows) for (const value of row) most = Math.max(most, value || 0);
  const top = ceiling(most, 1.06), { levels, left } = levelAxis(svg, top), size = board(svg, 260, left);
  const x = i => left + (bins > 1 ? i / (bins - 1) : .5) * size.inner;
  const y = value => size.height - pad.bottom - value / top * (size.height - pad.top - pad.bottom);
  levelLines(svg, size, levels, y);
  const words = i => when === "hours" ? `${String(i).padStart(2, "0")}:00` : clock(86400 * (scope.first_day + i), data.relative, 86400).replace(/ 00:00$/, "");
  timeLabels(svg, size, 0, bins - 1, x, words);
  data.models.map((_, index) => index).reverse().forEach(index => {
    let path = "", pen = false;
    rows[index].forEach((value, i) => {
      if (value === null) { pen = false; return; }
      path += `${pen ? "L" : "M"}${x(i).toFixed(1)},${y(value).toFixed(1)}`;
      pen = true;
      const dot = make("circle", { cx: x(i), cy: y(value), r: bins > 40 ? 1.5 : 2.6, fill: colour(index) });
      dot.append(title(`${data.models[index]}, ${words(i)}: ${number(value, 2)}`));
      svg.append(dot);
    });
    svg.append(make("path", { d: path, fill: "none", stroke: colour(index), "stroke-width": index ? 1.3 : 2 }));
  });
}

function seriesTable() {
  const table = el("seriesTable"), word = el("filter").value.trim().toLowerCase();
  const found = data.scopes.slice(1).filter(each => each.name.toLowerCase().includes(word));
  table.replaceChildren();
  headRow(table, ["series", "windows", ...data.models.map(name => `${name}: loss`), `${data.models[0]}: coverage of 0.95`]);
  for (const each of found.slice(0, shown)) {
    const row = make("tr", each === scope ? { class: "ours" } : {}), first = make("td"), button = make("button", { title: "Look at this series" }, each.name);
    button.onclick = () => { choose(data.scopes.indexOf(each)); el("scopeTools").scrollIntoView({ block: "center" }); };
    first.append(button);
    row.append(first, make("td", {}, each.windows.toLocaleString("en-US")), ...each.ratios.map(ratios => make("td", {}, number(ratios[data.judged], 3))),
      make("td", {}, percent(each.coverages[0][data.judged], 1)));
    table.append(row);
  }
  const listed = data.scopes.length - 1;
  el("count").textContent = `${found.length.toLocaleString("en-US")} of ${listed.toLocaleString("en-US")}`
    + (listed < data.series ? `; the others of ${data.series.toLocaleString("en-US")} are in --scores` : "");
  el("more").hidden = found.length <= shown;
}

function choose(index) {
  scope = data.scopes[index];
  el("scope").value = index;
  view = null;
  const each = drawn();
  if (each) spanButtons(el("spans"), each.peak.length, each.spacing_seconds, look);
  draw();
}

function draw() { scores(); levels(); chart(); honest(); bars(); whenLost(); if (data.series > 1) seriesTable(); }

el("title").textContent = data.title;
el("subtitle").textContent = data.subtitle;
facts(el("facts"), data.facts);
options(el("scope"), data.scopes.map(each => each.name), 0, choose);
options(el("what"), TABLES.map(([name]) => name), 0, index => { what = index; levels(); });
options(el("model"), data.models, 0, index => { model = index; chart(); });
options(el("level"), data.levels.map(String), data.judged, index => { chosen = index; bars(); });
keys(el("honestKeys"));
keys(el("whenKeys"));
for (const [id, kind] of [["byHour", "hours"], ["byDay", "days"]]) el(id).onclick = () => {
  when = kind;
  el("byHour").setAttribute("aria-pressed", when === "hours");
  el("byDay").setAttribute("aria-pressed", when === "days");
  whenLost();
};
el("filter").oninput = () => { shown = 20; seriesTable(); };
el("more").onclick = () => { shown += 100; seriesTable(); };
el("seriesCard").hidden = data.series < 2;
el("parameters").textContent = data.parameters;
choose(0);
new ResizeObserver(() => { chart(); honest(); bars(); whenLost(); }).observe(el("chart").parentElement);
