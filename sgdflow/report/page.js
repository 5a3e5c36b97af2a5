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
  const scored = one.final === null ? "failed" : `${score(one.initial)} → ${score(one.final)}`;
  const change = one.unanswered ? `${scored} · unanswered: ${one.unanswered}` : scored;
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
