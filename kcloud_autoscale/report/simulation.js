const steps = data.demand.length;
const moment = step => clock(data.start_seconds + (data.first_step + step) * data.step_seconds, !data.start_seconds, data.step_seconds);
const ours = data.policies[0];
let other = data.policies.find(policy => policy.name === data.beside && policy !== ours) || data.policies[1] || null;

el("title").textContent = `${data.trace}: ${data.policies.length} ${data.policies.length === 1 ? "policy" : "policies"} on the same demand`;
el("subtitle").textContent = data.subtitle;
facts(el("facts"), data.facts);

(function policies() {
  headRow(el("policies"), data.columns);
  data.policies.forEach((policy, index) => {
    const row = make("tr", index ? {} : { class: "ours" });
    policy.cells.forEach(cell => row.append(make("td", {}, cell)));
    el("policies").append(row);
    if (policy.note) el("notes").append(make("p", {}, `${policy.name}: ${policy.note}`));
  });
  data.notes.forEach(note => el("notes").append(make("p", {}, `${note}.`)));
})();

let view = [0, steps];
const served = policy => policy.ready.map(ready => ready * data.capacity_per_replica);
const capacity = new Map(data.policies.map(policy => [policy, served(policy)]));

function draw() {
  const svg = el("chart"), [from, to] = view;
  let most = 0;
  for (let i = from; i < to; i++) {
    most = Math.max(most, data.demand[i] || 0, capacity.get(ours)[i]);
    if (other) most = Math.max(most, capacity.get(other)[i]);
    if (ours.planned) most = Math.max(most, ours.planned[i] || 0);
  }
  const top = ceiling(most, 1.04), { levels, left } = levelAxis(svg, top);
  const size = board(svg, svg.clientHeight || 340, left), columns = Math.max(50, Math.floor(size.inner));
  const x = i => left + (i - from) / (to - from) * size.inner;
  const y = value => size.height - pad.bottom - Math.min(value, top) / top * (size.height - pad.top - pad.bottom);
  levelLines(svg, size, levels, y);
  timeLabels(svg, size, from, to, x, moment);
  if (ours.planned) {
    svg.append(make("path", { d: bandPath(ours.median, ours.planned, from, to, columns, x, y), fill: "var(--band)", opacity: .28 }));
  }
  if (other) svg.append(make("path", { d: linePath(capacity.get(other), from, to, columns, x, y, true), fill: "none", stroke: "var(--other)", "stroke-width": 1.3, opacity: .9 }));
  svg.append(make("path", { d: linePath(capacity.get(ours), from, to, columns, x, y, true), fill: "none", stroke: "var(--ours)", "stroke-width": 1.8 }));
  svg.append(make("path", { d: linePath(data.demand, from, to, columns, x, y, false), fill: "none", stroke: "var(--demand)", "stroke-width": 1.1 }));
  svg.append(marks(ours.violations, from, to, size, x));
  pointing(svg, size, from, to, x, read);
  strip(el("overview"), data.demand, view, left, look);
  pressSpan(el("spans"), view);
}

function read(step) {
  const parts = [`${moment(step)} · step ${data.first_step + step}`, `demand ${significant(data.demand[step])}`];
  for (const policy of other ? [ours, other] : [ours]) parts.push(`${policy.name}: ${policy.ready[step]} ready of ${policy.replicas[step]}`);
  if (ours.planned && ours.planned[step] !== null) parts.push(`forecast peak ${significant(ours.median[step])} median, ${significant(ours.planned[step])} planned for`);
  parts.push(ours.reason_names[ours.reasons[step]]);
  el("reading").textContent = parts.join(" · ");
}

function look(from, to) { view = [from, to]; draw(); }

(function tools() {
  spanButtons(el("spans"), steps, data.step_seconds, look);
  data.policies.slice(1).forEach(policy => el("beside").append(make("option", other === policy ? { selected: "" } : {}, policy.name)));
  const name = () => { el("ourskey").textContent = ours.name + " ready"; el("otherkey").textContent = other ? other.name + " ready" : ""; };
  el("beside").onchange = () => { other = data.policies.find(policy => policy.name === el("beside").value); name(); draw(); };
  if (!other) el("beside").parentElement.hidden = el("otherkey").parentElement.hidden = true;
  if (!ours.planned) el("bandkey").hidden = true;
  name();
})();

(function why() {
  if (!data.why.length) { el("whycard").hidden = true; return; }
  const colours = ["var(--ours)", "var(--band)", "var(--other)", "var(--hover)", "var(--bad)", "var(--soft)"];
  const total = data.why.reduce((sum, each) => sum + each.replica_hours, 0) || 1;
  headRow(el("why"), ["held by", "replica-hours", "of the spare", "meaning"], ["meaning"]);
  data.why.forEach((each, index) => {
    const bar = make("span", { style: `background:${colours[index % 6]};width:${100 * each.replica_hours / total}%`, title: each.name });
    el("whybar").append(bar);
    const row = make("tr"), name = make("td");
    name.append(make("span", { class: "key" }));
    name.firstChild.append(make("i", { style: `background:${colours[index % 6]}` }), each.name);
    row.append(name, make("td", {}, number(each.replica_hours)), make("td", {}, percent(each.replica_hours / total, 1)), make("td", { class: "text soft" }, each.meaning));
    el("why").append(row);
  });
})();

let shown = 100;
const only = { changes: true, violations: false };
const told = ([stage, before, after, reason, message]) => `${stage}: ${before} → ${after} ${reason}${message ? ": " + message : ""}`;
const counts = row => row.before === row.after ? `${row.after}` : `${row.before} → ${row.after}`;
const cells = row => [moment(row.step), data.first_step + row.step, significant(data.demand[row.step]), ours.ready[row.step], counts(row)];
// All that a row shows; kept, for it is searched at every key.
const wordsOf = row => row.words ||= [...cells(row), row.reason, ...row.why.map(told)].join(" ").toLowerCase();

function log() {
  // Few keyboards have the arrow.
  const table = el("log"), word = el("filter").value.trim().toLowerCase().replace(/\s*(->|→)\s*/g, " → ");
  table.replaceChildren();
  headRow(table, ["when", "step", "demand", "ready", "replicas", "why"], ["why"]);
  const found = data.log.filter(row => (only.changes && row.before !== row.after || only.violations && row.late)
    && (!word || wordsOf(row).includes(word)));
  for (const row of found.slice(0, shown)) {
    const tr = make("tr"), why = make("td", { class: "text" }), [at, step, demand, ready, replicas] = cells(row);
    const when = make("td"), button = make("button", { title: "Look at this step" }, at);
    button.onclick = () => { const half = 60; look(Math.max(0, row.step - half), Math.min(steps, row.step + half)); el("chart").scrollIntoView({ block: "center" }); read(row.step); };
    when.append(button);
    const details = make("details"), list = make("div", { class: "soft" });
    details.append(make("summary", {}, row.reason));
    row.why.forEach(each => list.append(make("div", {}, told(each))));
    details.append(list);
    why.append(row.why.length ? details : document.createTextNode(row.reason));
    tr.append(when, make("td", {}, step), make("td", row.late ? { class: "bad", title: "more than was ready to serve it" } : {}, demand),
      make("td", {}, ready), make("td", {}, replicas), why);
    table.append(tr);
  }
  el("count").textContent = `${found.length.toLocaleString("en-US")} of ${data.log.length.toLocaleString("en-US")}`;
  el("more").hidden = found.length <= shown;
}
for (const name of ["changes", "violations"]) el(name).onclick = () => {
  only[name] = !only[name]; el(name).setAttribute("aria-pressed", only[name]); shown = 100; log();
};
el("filter").oninput = () => { shown = 100; log(); };
el("more").onclick = () => { shown += 200; log(); };
el("parameters").textContent = data.parameters;
log();
draw();
new ResizeObserver(draw).observe(el("chart").parentElement);
