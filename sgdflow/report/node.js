// What the panel shows of a node: its parameters and its gradients.

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
    proposed.told === null ? null : block(text(proposed.told)),
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

function values(names, found) {
  return names.filter((name) => name in found).flatMap((name) =>
    [make("h4", "", name), block(text(found[name]))]);
}

function arrived(name, sampled) {
  const own = Object.values(nodes[name].parameters);
  return [name, ...own].flatMap((variable) => (sampled.gradients[variable] ?? [])
    .filter(([source]) => variable === name || source === name)
    .map(([source, number, asks]) => ({ variable, source, words: text(number), asks })));
}

function gradient(name, found, sampled) {
  const writer = nodes[found.source];
  const to = found.variable === name ? "" : ` for ${found.variable}`;
  const parts = [
    make("h4", "", `from ${found.source}${to}${found.asks ? "" : ": nothing to change"}`),
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

function trial(name, sampled) {
  if (!(name in sampled.trials)) return [];
  const [written, before, after, verdict] = sampled.trials[name];
  const words = verdict === "untested"
    ? "could not be tried out" : `${verdict}, score ${score(before)} → ${score(after)}`;
  return [
    make("h4", "", `Tried out: ${name} as the gradients ask, what follows run again: ${words}`),
    block(text(written)),
  ];
}

function joined(name, sampled) {
  if (!(name in sampled.joined)) return [];
  const [source, number] = sampled.joined[name];
  return [make("h4", "", `What the gradients of ${source} were summed up to`), block(text(number))];
}

function passesOn(name, sampled) {
  const before = [...nodes[name].predecessors, ...Object.values(nodes[name].parameters)];
  return before.some((variable) => (sampled.gradients[variable] ?? [])
    .some(([source]) => source === name));
}

function example(name, step, sampled, index) {
  const found = arrived(name, sampled);
  const asking = found.filter((one) => one.asks).length;
  const title = [`${text(sampled.example)} `, make("small", "",
    `score ${score(sampled.score)} · ${count(found.length, "gradient")}, ${asking} asking for a change`)];
  const sources = [...new Set(found.map((one) => one.source).filter((s) => s in nodes && s !== name))];
  return folded(title, "", () => [
    ...found.flatMap((one) => gradient(name, one, sampled)),
    ...joined(name, sampled),
    ...trial(name, sampled),
    ...Object.entries(sampled.failures).map(([variable, number]) =>
      make("p", "small", `Failed, ${variable}: ${text(number)}`)),
    folded(`What ${name} was given and gave`, "calls",
      () => values([...nodes[name].predecessors, name], sampled.values)),
    exchanges(`Prompt and reply of ${name}`, step.step, (c) => of(c.examples[index], "forward", name)),
    ...sources.map((source) => exchanges(`Prompt and reply that wrote the gradient from ${source}`,
      step.step, (c) => of(c.examples[index], "backward", source))),
    exchanges(`Prompt and reply that wrote ${name} for the trial`, step.step,
      (c) => of(c.examples[index], "trials", name)),
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
    const asking = all.filter((one) => one.asks).length;
    const title = [make("strong", "", `Step ${step.step} `), make("small", "",
      `${count(step.learned, "example")} · ${count(all.length, "gradient")}, ${asking} asking for a change`)];
    const cut = step.learned - step.sampled.length;
    return folded(title, "", () => [
      many(step.sampled.map((one, i) => [one, i]), 25, ([one, i]) => example(name, step, one, i)),
      cut ? make("p", "small", `${count(cut, "example")}: ${leftOut("steps.jsonl")}`) : "",
    ]);
  })];
}
