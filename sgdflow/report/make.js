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
  const part = (one) => (typeof one === "string" ? one : whole(one));
  const whole = (number) => {
    const entry = source().texts[number];
    return typeof entry === "string" ? entry : entry.map(part).join("");
  };
  return whole;
}
const text = reader(() => data);
const callText = reader(() => calls);

// What moves a cursor, hides or turns round other letters, as sgdflow.errors.spelt_out has it.
const UNSEEN =
  /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]/gu;

function spelt(letter) {
  const code = letter.codePointAt(0).toString(16);
  return code.length < 3 ? `\\x${code.padStart(2, "0")}` : `\\u${code.padStart(4, "0")}`;
}

function make(tag, kind, ...content) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  const shown = (part) => (typeof part === "string" ? part.replace(UNSEEN, spelt) : part);
  made.append(...content.filter((part) => part !== null).map(shown));
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
