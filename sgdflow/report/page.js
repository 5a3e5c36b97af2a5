"use strict";
// Everything from the data is shown through textContent: it is never markup.

const data = JSON.parse(document.getElementById("data").textContent);
const nodes = data.graph.nodes;
const order = [...data.graph.inputs, ...Object.keys(nodes)];
const successors = {};
for (const [name, node] of Object.entries(nodes))
  for (const before of node.predecessors) (successors[before] ??= []).push(name);

let calls = null;  // read when the first prompt is asked for: they are most of the file
function callsOf(step) {
  calls ??= JSON.parse(document.getElementById("calls").textContent);
  return calls.steps[step];
}

function reader(source) {
  return (number) => {
    const entry = source().texts[number];
    return typeof entry === "string" ? entry : entry.map((line) => source().texts[line]).join("\n");
  };
}
const text = reader(() => data);
const callText = reader(() => calls);

function make(tag, kind, ...content) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.append(...content.filter((part) => part !== null));
  return made;
}

function block(words) {
  return make("pre", "text", words);
}

function folded(summary, kind, fill) {
  const made = make("details", kind, make("summary", "", ...[summary].flat()));
  made.addEventListener("toggle", () => {
    if (made.open && made.children.length === 1) made.append(...fill());
  });
  return made;
}

function unfolded(summary, fill) {
  const made = folded(summary, "calls", fill);
  made.open = true;
  return made;
}

function link(name) {
  if (!(name in nodes)) return name;
  const made = make("button", "link", name);
  made.type = "button";
  made.addEventListener("click", () => show(name));
  return made;
}

function links(names) {
  return (names ?? []).flatMap((name, i) => (i ? [", ", link(name)] : [link(name)]));
}

function many(items, count, build) {
  const box = make("div", "", ...items.slice(0, count).map(build));
  if (items.length > count) {
    const more = make("button", "", `Show more (${items.length - count})`);
    more.type = "button";
    more.addEventListener("click", () => more.replaceWith(many(items.slice(count), count, build)));
    box.append(more);
  }
  return box;
}

function count(number, word) {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

function score(found) {
  return found === null || found === undefined ? "not scored" : (found[0] ?? found).toFixed(3);
}

// Prompts and replies

function exchange(call) {
  const [prompt, completion] = call.tokens;
  return [
    ...call.messages.flatMap(([role, content]) => [make("h4", "", role), block(callText(content))]),
    make("h4", "", `reply (${prompt} + ${completion} tokens)`),
    block(callText(call.reply)),
    ...call.malformed.map((reason) => make("p", "small", `Asked again: ${callText(reason)}`)),
  ];
}

function leftOut(file) {
  return `Left out here, as there are too many; see ${file} in the run directory.`;
}

function of(example, side, node) {
  return example && (example[side][node] ?? []);
}

function exchanges(title, step, find) {
  return folded(title, "calls", () => {
    const found = callsOf(step);
    if (!found) return [make("p", "small", "The run directory has no calls of this step.")];
    const made = find(found);
    if (made === undefined) return [make("p", "small", leftOut("calls.jsonl"))];
    return made.length ? made.flatMap(exchange) : [make("p", "small", "No call was made.")];
  });
}

// Parameters

function difference(parts) {
  const tags = { "+": "ins", "-": "del" };
  const made = block("");
  for (const [op, number] of parts) {
    const words = text(number);
    made.append(op in tags ? make(tags[op], "", words) : words);
  }
  return made;
}

function verdict(accepted) {
  const word = accepted ? "accepted" : "rejected";
  return make("span", `gate ${word}`, word);
}

function scoresOf(step) {
  const { train, candidate, validation } = step.scores;
  const words = [`train ${score(train)}`, `candidate ${score(candidate)}`];
  if (validation) words.push(`validation ${score(validation)}`);
  return words.join(" · ");
}

function tried(name, step) {
  const found = step.tried.filter((one) => name in one.changes);
  if (!found.length) return null;
  return folded(`What the update rule tried and scored (${found.length})`, "calls", () =>
    found.flatMap((one) => [make("h4", "", `score ${score(one.score)}`), block(text(one.changes[name]))]));
}

function version(name, proposed, step) {
  return make("div", `version ${step.accepted ? "accepted" : "rejected"}`,
    make("p", "", make("strong", "", `Step ${step.step} `), verdict(step.accepted), " ",
      text(step.reason)),
    make("p", "", make("small", "", scoresOf(step))),
    difference(proposed.parts),
    tried(name, step),
    exchanges("Prompt and reply that wrote it", step.step, (c) => c.updates[name] ?? []));
}

function skipped(name, step) {
  return make("div", "version skipped",
    make("p", "", make("strong", "", `Step ${step.step} `), `no new text: ${text(step.skipped[name])}`));
}

function textsOf(name) {
  const parameter = data.parameters[name];
  const proposed = new Map(parameter.proposed.map((one) => [one.step, one]));
  const touched = data.steps.filter((step) => proposed.has(step.step) || name in step.skipped);
  const users = Object.keys(nodes).filter((n) => Object.values(nodes[n].parameters).includes(name));
  const about = [];
  if (parameter.frozen) about.push("frozen");
  if (users.length > 1) about.push(`shared by ${users.join(", ")}`);
  return [
    make("h3", "", name, about.length ? ` (${about.join("; ")})` : ""),
    make("h4", "", data.ended ? "Final text: the best that was accepted" : "Best text so far"),
    block(text(parameter.final)),
    parameter.known ? null : make("p", "small",
      "The text it began with came from a file and is not part of this run directory."),
    touched.length ? make("h4", "", "What each step proposed, against the text it would replace") : null,
    many(touched, 20, (step) => proposed.has(step.step)
      ? version(name, proposed.get(step.step), step) : skipped(name, step)),
  ];
}

// Gradients

function asks(words) {
  return !words.toLowerCase().includes(data.dismissive.toLowerCase());
}

function values(names, found) {
  return names.filter((name) => name in found).flatMap((name) =>
    [make("h4", "", name), block(text(found[name]))]);
}

function arrived(name, sampled) {
  const own = Object.values(nodes[name].parameters);
  return [name, ...own].flatMap((variable) => (sampled.gradients[variable] ?? [])
    .filter(([source]) => variable === name || source === name)
    .map(([source, number]) => ({ variable, source, words: text(number) })));
}

function gradient(name, found, sampled) {
  const writer = nodes[found.source];
  const to = found.variable === name ? "" : ` for ${found.variable}`;
  const parts = [
    make("h4", "", `from ${found.source}${to}${asks(found.words) ? "" : ": nothing to change"}`),
    block(found.words),
  ];
  if (writer) parts.push(unfolded(`Written from what ${found.source} was given, gave and was told`, () => [
    ...values(writer.predecessors, sampled.values),
    make("h4", "", `${found.source}, its output`),
    block(found.source in sampled.values ? text(sampled.values[found.source]) : "(no value)"),
    ...(sampled.gradients[found.source] ?? []).flatMap(([source, number]) =>
      [make("h4", "", `gradient of ${found.source}, from ${source}`), block(text(number))]),
  ]));
  return parts;
}

function passesOn(name, sampled) {
  const before = [...nodes[name].predecessors, ...Object.values(nodes[name].parameters)];
  return before.some((variable) => (sampled.gradients[variable] ?? [])
    .some(([source]) => source === name));
}

function example(name, step, sampled, index) {
  const found = arrived(name, sampled);
  const asking = found.filter((one) => asks(one.words)).length;
  const title = [`${text(sampled.example)} `, make("small", "",
    `score ${score(sampled.score)} · ${count(found.length, "gradient")}, ${asking} asking for a change`)];
  const sources = [...new Set(found.map((one) => one.source).filter((s) => s in nodes && s !== name))];
  return folded(title, "", () => [
    ...found.flatMap((one) => gradient(name, one, sampled)),
    ...Object.entries(sampled.failures).map(([variable, number]) =>
      make("p", "small", `Failed, ${variable}: ${text(number)}`)),
    folded(`What ${name} was given and gave`, "calls",
      () => values([...nodes[name].predecessors, name], sampled.values)),
    exchanges(`Prompt and reply of ${name}`, step.step, (c) => of(c.examples[index], "forward", name)),
    ...sources.map((source) => exchanges(`Prompt and reply that wrote the gradient from ${source}`,
      step.step, (c) => of(c.examples[index], "backward", source))),
    passesOn(name, sampled) ? exchanges(`Prompt and reply that traced ${name} back`, step.step,
      (c) => of(c.examples[index], "backward", name)) : null,
    name === data.graph.output ? exchanges("Prompt and reply that wrote the feedback", step.step,
      (c) => c.examples[index]?.loss) : null,
  ].filter((part) => part !== null));
}

function gradients(name) {
  const steps = data.steps.filter((step) => step.learned);
  if (!steps.length) return [make("p", "small", "No step learned from an example.")];
  return [many(steps, 50, (step) => {
    const all = step.sampled.flatMap((sampled) => arrived(name, sampled));
    const asking = all.filter((one) => asks(one.words)).length;
    const title = [make("strong", "", `Step ${step.step} `), make("small", "",
      `${count(step.learned, "example")} · ${count(all.length, "gradient")}, ${asking} asking for a change`)];
    const cut = step.learned - step.sampled.length;
    return folded(title, "", () => [
      many(step.sampled.map((one, i) => [one, i]), 25, ([one, i]) => example(name, step, one, i)),
      cut ? make("p", "small", `${count(cut, "example")}: ${leftOut("steps.jsonl")}`) : "",
    ]);
  })];
}

// The panel

const panel = document.getElementById("panel");
const body = document.getElementById("panel-body");
const marks = [...document.querySelectorAll("[data-node]")];
let before = null;

function show(name) {
  const node = nodes[name];
  if (panel.hidden) before = document.activeElement;
  document.getElementById("panel-title").textContent = name;
  const place = make("p", "small", "Given ", ...links(node.predecessors));
  if (successors[name]) place.append("; gives to ", ...links(successors[name]));
  if (name === data.graph.output) place.append("; its output is the answer");
  if (node.code) place.append("; computed by Python code");
  body.replaceChildren(
    place,
    ...Object.values(node.parameters).flatMap(textsOf).filter((part) => part !== null),
    make("h3", "", "Gradients by step and example"),
    ...gradients(name),
  );
  for (const mark of marks) mark.setAttribute("aria-expanded", mark.dataset.node === name);
  panel.hidden = false;
  document.body.classList.add("open");
  panel.scrollTop = 0;
  document.getElementById("panel-title").focus();
  window.history.replaceState(null, "", `#node=${encodeURIComponent(name)}`);
}

function hide() {
  if (panel.hidden) return;
  const shown = marks.find((mark) => mark.getAttribute("aria-expanded") === "true");
  panel.hidden = true;
  document.body.classList.remove("open");
  for (const mark of marks) mark.setAttribute("aria-expanded", false);
  window.history.replaceState(null, "", "#");
  (shown ?? before)?.focus();
}

for (const mark of marks) {
  mark.setAttribute("aria-expanded", false);
  mark.setAttribute("aria-controls", "panel");
  mark.addEventListener("click", () => show(mark.dataset.node));
  mark.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    show(mark.dataset.node);
  });
}
document.getElementById("close").addEventListener("click", hide);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

// The worst examples

function worst(one) {
  const change = one.final === null ? "failed" : `${score(one.initial)} → ${score(one.final)}`;
  const worse = one.initial !== null && one.final !== null && one.final < one.initial;
  const title = [`${text(one.example)} `,
    make("small", "", `${one.split} · ${change}${worse ? " · worse than before" : ""}`)];
  return folded(title, "", () => [
    ...Object.entries(one.failures).map(([variable, number]) =>
      make("p", "small", `Failed, ${variable}: ${text(number)}`)),
    ...values(order, one.values),
  ]);
}

const list = document.getElementById("worst");
if (data.examples.length) {
  list.append(many(data.examples, 10, worst));
  if (data.examples_left_out)
    list.append(make("p", "small", `${data.examples_left_out} more stand in examples.jsonl.`));
} else {
  list.append(make("p", "", data.ended
    ? "Every example scored 1 with the final parameters."
    : "The examples are written when the run ends."));
}

const wanted = decodeURIComponent((location.hash.match(/^#node=(.*)$/) ?? [])[1] ?? "");
if (Object.hasOwn(nodes, wanted)) show(wanted);
