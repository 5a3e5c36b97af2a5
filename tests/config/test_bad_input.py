"""Mistakes in what a user declares: one clear message, before anything is computed or recorded.

The tables are the reference of what is said: each mistake with the exact message, one line each.
"""
# ruff: noqa: E501

from __future__ import annotations

import asyncio
import copy
import os
import re
import subprocess
import sys
from collections.abc import Coroutine, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from forks import forked

from sgdflow.cli.app import run_untraced
from sgdflow.cli.main import USAGE
from sgdflow.config.compose import compose
from sgdflow.config.paths import conf_folder, prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.errors import ConfigError, ScoringFailed
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder
from sgdflow.runs.run import evaluate, optimise
from sgdflow.tracking import NullTracker

SHIPPED = prompt_folders(Path(os.devnull))[0]

# Files that the tables refer to; all of them stand in the working directory.
FILES: Mapping[str, str] = {
    "t.csv": "q,a\n1,2\n3,4\n5,6\n7,8\n",
    "empty.csv": "q,a\n",
    "t.xls": "",
    "list.yaml": "[a]",
    "broken.yaml": "a: [1",
    "nothing.yaml": "",
    "other.yaml": "desk.instruktion: Add.\nweight.instruction: W\nzone.instruction: Z\n",
    "types.yaml": (
        "weight.instruction: [W, 1]\nzone.instruction: Z\n"
        "service.instruction: S\ndesk.instruction: null\n"
    ),
    "run/config.yaml": "",
    "broken_module.py": "1 / 0\n",
    "needs_more.py": "import not_installed_anywhere\n",
    "scorer.py": "def score(output, target):\n    raise KeyError('Zone')\n",
    "wants.py": "def score(prediction, inputs):\n    return 1\n",
    "raises.py": "def graph():\n    raise KeyError('x')\n",
    "prompts/wrong.jinja": "Order:\n{{ ordr }}\n{% if false %}{{ hint }}{% endif %}",
    "prompts/deep.jinja": "{% include 'part.jinja' %}",
    "prompts/part.jinja": "A\n\n{{ parameters.tone }}",
    "prompts/syntax.jinja": "A\n{% for %}",
}
FORWARD = "It has: instruction, mark, node, order, parameters, predecessors, reply, system."
LOOKED = "Looked in: {cwd}/prompts, {shipped}."
MODULES = "Modules are looked for in {cwd} and among the installed packages."
HAS_OWN = "Every variable needs a name of its own."
FROZEN = "{value: x, frozen: true}"
ALL_FROZEN = "\n".join(
    f"graph.nodes.{node}.parameters.instruction: {FROZEN}"
    for node in ("weight", "zone", "service", "desk")
)
LAYERED = (
    "graph: {_target_: sgdflow.library.graphs.layered, name: l, inputs: [order], depth: 2, width: 2, "
    "skip: false, hidden: h, final: f"
)
TABLE = ("graph=hints", "task=table", "task.inputs={question: q}", "task.target=a")

# Overrides; YAML in which a dotted key stands for the value there; what is said, line by line.
Case = tuple[Sequence[str], str, Sequence[str]]
DECLARED: Mapping[str, Case] = {
    # The graph.
    "cycle": (
        (),
        "graph.nodes.weight.predecessors: [order, desk]",
        ["graph tariff: nodes: there is a cycle: weight -> desk -> weight. Remove one of these predecessors."],
    ),
    "cycle of one": (
        (),
        "graph.nodes.zone.predecessors: [order, zone]",
        ["graph tariff: nodes: there is a cycle: zone -> zone. Remove one of these predecessors."],
    ),
    "unknown predecessor": (
        (),
        "graph.nodes.desk.predecessors: [weigth, zone, service]",
        ["graph tariff: nodes.desk.predecessors: there is no variable 'weigth'. Did you mean 'weight'? Variables: order, weight, zone, service, desk."],
    ),
    "no output": (
        (),
        "graph: {name: g, inputs: [order], nodes: {a: {predecessors: [order]}}}",
        ["graph.output: is required and missing."],
    ),
    "unknown output": (
        (),
        "graph.output: dsk",
        ["graph tariff: output: 'dsk' is not a node. Did you mean 'desk'? Nodes: weight, zone, service, desk."],
    ),
    "output is an input": (
        (),
        "graph.output: order",
        ["graph tariff: output: 'order' is not a node. Nodes: weight, zone, service, desk."],
    ),
    "unreachable output": (
        (),
        "graph.nodes: {desk: {predecessors: []}}",
        ["graph tariff: output: no path leads from an input to 'desk'."],
    ),
    "node without a path to the output": (
        (),
        "graph.nodes.extra: {predecessors: [order, zone]}",
        ["graph tariff: nodes.extra: no path leads from it to the output 'desk'. Make it a predecessor of a node that has one, or remove it."],
    ),
    "no nodes": (
        (),
        "graph.nodes: {}",
        ["graph tariff: nodes: there is none. Declare at least one node."],
    ),
    "no inputs": (
        (),
        "graph.inputs: []",
        ["graph.inputs: list should have at least 1 item (got [])."],
    ),
    "input twice": (
        (),
        "graph.inputs: [order, order]",
        [f"graph tariff: 'order' is twice in inputs. {HAS_OWN}"],
    ),
    "input and node of one name": (
        (),
        "graph.inputs: [order, desk]",
        [
            f"graph tariff: 'desk' is an input and a node. {HAS_OWN}",
            "graph.inputs: task 'tariff' has no desk. It has: order, question.",
        ],
    ),
    "parameter and node of one name": (
        (),
        "graph.parameters.zone: x\ngraph.nodes.desk.parameters.zones: {shared: zone}",
        ["graph tariff: parameters: 'zone' is also the name of a variable."],
    ),
    "parameter and input of one name": (
        (),
        "graph.parameters.order: x\ngraph.nodes.desk.parameters.orders: {shared: order}",
        ["graph tariff: parameters: 'order' is also the name of a variable."],
    ),
    "shared parameter named like a node's own": (
        (),
        "graph.parameters: {desk.instruction: x}\ngraph.nodes.zone.parameters.t: {shared: desk.instruction}",
        ["graph.parameters: 'desk.instruction' cannot name a parameter: it is not a plain name."],
    ),
    "predecessor twice": (
        (),
        "graph.nodes.desk.predecessors: [weight, zone, service, weight]",
        ["graph tariff: nodes.desk.predecessors: 'weight' is listed more than once."],
    ),
    "reserved node name": (
        (),
        "graph.nodes.gradients: {predecessors: [order]}",
        ["graph tariff: 'gradients' cannot name a variable: it is reserved for templates. Use letters, digits and _."],
    ),
    "reserved parameter name": (
        (),
        "graph.nodes.desk.parameters.output: x",
        ["graph tariff: nodes.desk.parameters: 'output' cannot name a parameter: it is reserved for templates."],
    ),
    "node name that is no name": (
        (),
        "graph.nodes.my-node: {predecessors: [order]}",
        ["graph tariff: 'my-node' cannot name a variable: it is not a plain name. Use letters, digits and _."],
    ),
    "node name that YAML reads as false": (
        (),
        "graph.nodes: {no: {predecessors: [order]}}\ngraph.output: no",
        [
            "graph.nodes: the name False is no text; write it in quotes.",
            "graph.output: input should be a valid string (got False).",
        ],
    ),
    "parameter named like a predecessor": (
        (),
        "graph.nodes.desk.parameters.zone: x",
        ["graph tariff: nodes.desk.parameters: 'zone' is also a predecessor; templates could not tell them apart."],
    ),
    "parameter of another type": (
        (),
        "graph.nodes.desk.parameters: {a: [x, 1], b: true, c: null, d: [], e: {value: [x, \"y\\nz\"]}}",
        [
            "graph.nodes.desk.parameters.a: item 2 of the list should be a text that says something (got ['x', 1]).",
            "graph.nodes.desk.parameters.b: should be a text or a number (got True).",
            "graph.nodes.desk.parameters.c: should be a text or a number (got None).",
            "graph.nodes.desk.parameters.d: should hold an item, or be a text (got []).",
            "graph.nodes.desk.parameters.e.value: item 2 of the list has several lines; an item is one line (got ['x', 'y\\nz']).",
        ],
    ),
    "parameter with two values": (
        (),
        "graph.nodes.desk.parameters.t: {value: x, shared: y}",
        ["graph.nodes.desk.parameters.t: needs either a value or shared: NAME (got {'value': 'x', 'shared': 'y'})."],
    ),
    "unknown shared parameter": (
        (),
        "graph.parameters.tone: x\ngraph.nodes.desk.parameters: {t: {shared: tone}, u: {shared: tonne}}",
        ["graph.nodes.desk.parameters.u.shared: graph.parameters has no 'tonne'. Did you mean 'tone'? It has: tone."],
    ),
    "unused shared parameter": (
        (),
        "graph.parameters.tone: x",
        ["graph.parameters.tone: no node uses it (nodes.NODE.parameters.NAME.shared: tone)."],
    ),
    "shared parameter without a value": (
        (),
        "graph.parameters.tone: {shared: other}\ngraph.nodes.desk.parameters.t: {shared: tone}",
        ["graph.parameters.tone: needs a value of its own."],
    ),
    "parameter used twice by a node": (
        (),
        "graph.parameters.tone: x\ngraph.nodes.desk.parameters: {t: {shared: tone}, u: {shared: tone}}",
        ["graph tariff: nodes.desk.parameters: the parameter 'tone' is used more than once."],
    ),
    "graph that is no mapping": (
        (),
        "graph: tariff",
        ["graph: input should be a mapping (got 'tariff')."],
    ),
    "generated graph with a wrong size": (
        (),
        LAYERED + "}\ngraph.depth: 0",
        ["graph: depth and width are at least 1, not 0 and 2"],
    ),
    "generated graph with a size that is no number": (
        (),
        LAYERED + "}\ngraph.depth: two",
        ["graph: depth and width are whole numbers, not 'two' and 2"],
    ),
    "generated graph with an unknown key": (
        (),
        LAYERED + ", hight: 3}",
        ["graph: sgdflow.library.graphs.layered(name=..., inputs=..., depth=..., width=..., skip=..., hidden=..., final=..., hight=...): got an unexpected keyword argument 'hight'. It takes: name, inputs, depth, width, skip, hidden, final."],
    ),
    "generated graph that is none": (
        (),
        "graph: {_target_: os.getcwd}",
        ["graph: os.getcwd returned str, not a mapping."],
    ),
    "generated graph that fails": (
        (),
        "graph: {_target_: raises.graph}",
        ["graph: raises.graph raised KeyError: 'x' (raises.py, line 2)."],
    ),
    # Templates.
    "template missing": (
        (),
        "graph.nodes.desk.forward: {prompt: forward/nod.jinja}",
        [f"graph.nodes.desk.forward: there is no template 'forward/nod.jinja'. Did you mean 'forward/node.jinja'? {LOOKED}"],
    ),
    "template with variables that the node does not have": (
        (),
        "graph.nodes.zone.forward: {prompt: wrong.jinja}",
        [
            f"graph.nodes.zone.forward: prompts/wrong.jinja, line 3: uses 'hint', which node 'zone' does not have. {FORWARD}",
            f"graph.nodes.zone.forward: prompts/wrong.jinja, line 2: uses 'ordr', which node 'zone' does not have. Did you mean 'order'? {FORWARD}",
        ],
    ),
    "template with a parameter that the node does not have": (
        (),
        "graph.nodes.zone.forward: {prompt: deep.jinja}",
        ["graph.nodes.zone.forward: prompts/part.jinja, line 3: there is no 'tone' here. There are: instruction. (for node 'zone')"],
    ),
    "template that many nodes share": (
        (),
        "graph.forward: {prompt: forward/nod.jinja}",
        [f"graph.forward: there is no template 'forward/nod.jinja'. Did you mean 'forward/node.jinja'? {LOOKED}"],
    ),
    "mistake in a template that many nodes share": (
        (),
        "graph.forward: {prompt: wrong.jinja}",
        [
            f"graph.forward: prompts/wrong.jinja, line 3: uses 'hint', which node 'weight' does not have. {FORWARD} The same for zone, service.",
            f"graph.forward: prompts/wrong.jinja, line 2: uses 'ordr', which node 'weight' does not have. Did you mean 'order'? {FORWARD} The same for zone, service.",
            "graph.nodes.desk.forward: prompts/wrong.jinja, line 3: uses 'hint', which node 'desk' does not have. It has: instruction, mark, node, parameters, predecessors, reply, service, system, weight, zone.",
            "graph.nodes.desk.forward: prompts/wrong.jinja, line 2: uses 'ordr', which node 'desk' does not have. It has: instruction, mark, node, parameters, predecessors, reply, service, system, weight, zone.",
        ],
    ),
    "template with a mistake in its syntax": (
        (),
        "graph.nodes.zone.forward: {prompt: syntax.jinja}",
        ["graph.nodes.zone.forward: prompts/syntax.jinja, line 2: Expected an expression, got 'end of statement block'"],
    ),
    "templates of the method": (
        (),
        "method.loss.prompt: wrong.jinja\nmethod.update.prompt: no.jinja\nmethod.backward.prompt: syntax.jinja",
        [
            "method.backward: prompts/syntax.jinja, line 2: Expected an expression, got 'end of statement block'",
            "method.loss: prompts/wrong.jinja, line 3: uses 'hint', which the loss does not have. Did you mean 'inputs'? It has: inputs, mark, output, reading, score, target.",
            "method.loss: prompts/wrong.jinja, line 2: uses 'ordr', which the loss does not have. It has: inputs, mark, output, reading, score, target.",
            f"method.update: there is no template 'no.jinja'. Did you mean 'wrong.jinja'? {LOOKED}",
        ],
    ),
    "reply format of a node": (
        (),
        "graph.nodes.zone.forward: {reply: {format: numbered}}",
        ["graph.nodes.zone.forward: prompts/forward/node.jinja: the reply format 'numbered' cannot carry a single text; use tagged or json."],
    ),
    "reply formats of the method": (
        (),
        "method.backward.reply.format: text\nmethod.update.reply.format: numbered",
        [
            "method.backward: prompts/backward/joint.jinja: the reply format 'text' cannot carry one text for each of weight, zone, service; use tagged or json.",
            "method.update: prompts/optimizer/rewrite.jinja: the reply format 'numbered' cannot carry a single text; use tagged or json.",
        ],
    ),
    "local blame with a call for each edge": (
        (),
        "method.backward: {local: true, calls: edge}",
        ["method.backward: local: true tells apart, in one call, what a node lacks itself and what its predecessors do; it does not go together with calls: edge. Take one of them out."],
    ),
    "a gain that no score can have": (
        (),
        "method.gate.tolerance: 1",
        ["method.gate.tolerance: input should be less than 1 (got 1)."],
    ),
    "no targets": (
        (),
        "method.backward.targets: 0",
        ["method.backward.targets: input should be greater than or equal to 1 (got 0)."],
    ),
    "local blame with gradients of parameters": (
        (),
        "method.backward: {local: true, of_parameters: true}",
        ["method.backward: local: true tells apart, in one call, what a node lacks itself and what its predecessors do; it does not go together with of_parameters: true. Take one of them out."],
    ),
    "a tree of few examples": (
        (),
        "method.aggregation.examples: tree\nmethod.sample.count: 3",
        ["method.aggregation.examples: a tree of 3 examples has groups of one (method.sample.count=3). Set method.sample.count=4 or more, or method.aggregation.examples=collect."],
    ),
    "a tree of narrow successors": (
        (),
        "method.aggregation.successors: tree",
        ["method.aggregation.successors: a tree has groups of one: no node of graph 'tariff' gets gradients from 4 successors or more, 1 at most. Set method.aggregation.successors=collect."],
    ),
    "a tree of small groups": (
        (),
        "method.aggregation.examples: {largest: 3, role: nobody, prompt: aggregation/sum.jinja}",
        ["method.aggregation.examples.largest: input should be greater than or equal to 4 (got 3)."],
    ),
    "a tree by nobody": (
        (),
        "method.aggregation.examples: {role: nobody}",
        ["method.aggregation.examples.role: llm.models has no 'nobody'. It has: forward, backward, optimizer, judge."],
    ),
    "a tree for a rule that goes by the whole": (
        ("method=optoprime",),
        "method.aggregation.examples: tree",
        ["method.aggregation.examples: the rule whole is not shown the evidence of single parameters, so that there is nothing to sum up for it. Set method.aggregation.examples=collect."],
    ),
    "a tree without gradients": (
        (),
        "method.aggregation.examples: tree\nmethod.backward: null",
        ["method.aggregation.examples: there are no gradients to sum up (method.backward is null). Set method.aggregation.examples=collect."],
    ),
    "legs whose shares do not add up": (
        ("method=sequence",),
        "method.sequence.then.share: 0.6",
        ["method.sequence: the shares of first, then add up to 0.9; they have to add up to 1."],
    ),
    "keys that are a leg's": (
        ("method=sequence",),
        "method.gate.rule: always\nmethod.sample.count: 7\nmethod.stop.patience: 2",
        [
            "method.gate: is a leg's, and nobody's here. Set method.sequence.NAME.method.gate.",
            "method.sample: is a leg's, and nobody's here. Set method.sequence.NAME.method.sample.",
            "method.stop.patience: a leg loses patience, and not the whole. Set method.sequence.NAME.method.stop.patience.",
        ],
    ),
    "a number without an end": (
        (),
        "graph.nodes.desk.parameters.count: {value: 1, min: 0, max: .inf}",
        ["graph.nodes.desk.parameters.count.max: input should be a finite number (got inf)."],
    ),
    "more tests of a step than the examples can carry": (
        (),
        "method.gate.rule: paired\nmethod.aggregation.examples: cluster\nmethod.proposals.fallback: false\nmethod.stop.steps: 5\nmethod.lazy: false\ntask.splits.train: 6",
        [
            "method.gate.level: 0.05 can never be reached with 6 examples: the first of 15 tests has 0.015 of it and needs 7 examples on which it is better by 1, and none on which it is worse. Give the gate more examples (task.splits.train), take fewer steps, or set a higher level.",
        ],
    ),
    "legs without a budget": (
        ("method=sequence",),
        "method.stop.budget.calls: null",
        ["method.sequence: there is no budget to share. Set method.stop.budget.calls, or another of its limits."],
    ),
    "a leg with a budget of its own": (
        ("method=sequence",),
        "method.sequence.first.method.stop.budget.calls: 10\nmethod.sequence.then.method.sample.count: 0\nmethod.sequence.then.share: 2",
        ["method.sequence.then.share: input should be less than or equal to 1 (got 2)."],
    ),
    "legs that cannot be": (
        ("method=sequence",),
        "method.sequence.first.method.stop.budget.calls: 10\nmethod.sequence.then.method.sample.count: 0\nmethod.sequence.then.method.update.parameters: [desk.instruktion]",
        [
            "method.sequence.then.method.update.parameters: graph 'tariff' has no parameter 'desk.instruktion'. Did you mean 'desk.instruction'? It has: weight.instruction, zone.instruction, service.instruction, desk.instruction.",
            "method.sequence.first.method.stop.budget: a leg has its share of method.stop.budget. Take it out, and set method.sequence.first.share.",
            "method.sequence.then.method.sample.count: 0 leaves the rule rewrite nothing to go by.",
        ],
    ),
    "a leg that searches": (
        ("method=sequence", "method@method.sequence.first.method=copro"),
        "method.sequence.then.method.backward.role: nobody",
        [
            "method.sequence.first.method.update.rule: search goes round the parameters from the first step of a run on, and can be no leg. Take another method.",
            "method.sequence.then.method.backward.role: llm.models has no 'nobody'. It has: forward, backward, optimizer, judge.",
        ],
    ),
    "a guard in a leg": (
        ("method=sequence",),
        "method.sequence.then.method.gate.guard: 3",
        ["method.sequence.then.method.gate.guard: 3 examples would guard nothing. Set method.sequence.then.method.gate.first=sampled or method.sequence.then.method.gate.examples=sampled, or method.sequence.then.method.gate.guard=0."],
    ),
    "a contrast with nobody": (
        (),
        "method.update.contrast: 2",
        ["method.update.contrast: one candidate (method.pool.keep=1) has none to be compared with. Set method.pool.keep=2 or more, or method.update.contrast=0."],
    ),
    "groups of one example": (
        (),
        "method.aggregation.examples: cluster\nmethod.sample.count: 1",
        ["method.aggregation.examples: one example makes one group (method.sample.count=1). Set method.sample.count=2 or more, or method.aggregation.examples=collect."],
    ),
    "one group": (
        (),
        "method.aggregation.examples: {rule: cluster, count: 1, fallback: cut, largest: 8}",
        [
            "method.aggregation.examples.count: input should be greater than or equal to 2 (got 1).",
            "method.aggregation.examples.fallback: input should be 'collect' or 'skip' (got 'cut').",
            "method.aggregation.examples.largest: there is no such key. There are: prompt, role, reply, attempts, rule, count, fallback.",
        ],
    ),
    "no such rule for examples": (
        (),
        "method.aggregation.examples: {rule: clusters}",
        ["method.aggregation.examples.rule: there is no 'clusters'. Did you mean 'cluster'? There are: tree, cluster."],
    ),
    "groups by nobody": (
        (),
        "method.aggregation.examples: {rule: cluster, role: nobody}",
        ["method.aggregation.examples.role: llm.models has no 'nobody'. It has: forward, backward, optimizer, judge."],
    ),
    "groups of more than a prompt shows": (
        (),
        "method.aggregation.examples: cluster\nmethod.sample.count: 65",
        ["method.aggregation.examples: a step may have 65 pieces of work of one parameter (method.sample.count=65, and each node that uses it), more than the 64 that one prompt can put into groups. Lower method.sample.count, or set method.aggregation.examples=tree."],
    ),
    "groups for a rule that goes by the whole": (
        ("method=optoprime",),
        "method.aggregation.examples: cluster",
        ["method.aggregation.examples: the rule whole is not shown the evidence of single parameters, so that there is nothing to group for it. Set method.aggregation.examples=collect."],
    ),
    "groups without gradients": (
        (),
        "method.aggregation.examples: cluster\nmethod.backward: null",
        ["method.aggregation.examples: there are no gradients to group (method.backward is null). Set method.aggregation.examples=collect."],
    ),
    "causes of a review": (
        (),
        "method.update.critique: {causes: 3}",
        ["method.update.critique: prompts/optimizer/critique.jinja does not ask for causes (critique.causes=3). Set method.update.critique.prompt=optimizer/causes.jinja, or method.update.critique.causes=null."],
    ),
    "a review of causes": (
        (),
        "method.update.critique: {prompt: optimizer/causes.jinja}",
        ["method.update.critique: prompts/optimizer/causes.jinja asks for causes, and none are declared. Set method.update.critique.causes=3, or method.update.critique.prompt=optimizer/critique.jinja."],
    ),
    "one cause": (
        (),
        "method.update.critique: {prompt: optimizer/causes.jinja, causes: 1}",
        ["method.update.critique.causes: input should be greater than or equal to 2 (got 1)."],
    ),
    "groups and causes": (
        (),
        "method.aggregation.examples: cluster\nmethod.update.critique: {prompt: optimizer/causes.jinja, causes: 3}",
        ["method.aggregation.examples: cluster and method.update.critique.causes both tell apart what each proposal is to mend. Set method.aggregation.examples=collect, or method.update.critique.causes=null."],
    ),
    "trials where no value can be blamed": (
        (),
        "method.backward.verify.examples: 2\nmethod.update.parameters: [desk.instruction]",
        ["method.backward.verify: graph 'tariff' has no value that could be replaced: no node before 'desk' is computed by a model and can be blamed. Take it out."],
    ),
    "trials of no example": (
        (),
        "method.backward.verify.examples: 0",
        ["method.backward.verify.examples: input should be greater than or equal to 1 (got 0)."],
    ),
    "trials of gradients that are dealt out": (
        (),
        "method.backward.verify.examples: 2\nmethod.shuffle: true",
        ["method.shuffle: gradients that are dealt to other examples cannot be tried out. Set method.backward.verify=null."],
    ),
    "trials at a node": (
        (),
        "graph.nodes.desk.backward: {verify: {examples: 1}}",
        ["graph.nodes.desk.backward: verify belongs to the method, not to a node: set method.backward.verify."],
    ),
    "right work at a node": (
        (),
        "graph.nodes.desk.backward: {successes: 2}",
        ["graph.nodes.desk.backward: successes belongs to the method, not to a node: set method.backward.successes."],
    ),
    # Python callables.
    "module that cannot be found": (
        (),
        "graph.nodes.desk.forward: {_target_: my_tools.add}",
        [f"graph.nodes.desk.forward._target_: cannot import 'my_tools' (No module named 'my_tools'). {MODULES}"],
    ),
    "module that needs another": (
        (),
        "task.score: {_target_: needs_more.score}",
        [f"task.score._target_: cannot import 'needs_more' (No module named 'not_installed_anywhere'). {MODULES}"],
    ),
    "module that fails": (
        (),
        "task.score: {_target_: broken_module.score}",
        ["task.score._target_: importing 'broken_module' raised ZeroDivisionError: division by zero (broken_module.py, line 1)."],
    ),
    "callable that does not exist": (
        (),
        "task.score: {_target_: sgdflow.data.scoring.nmber}",
        ["task.score._target_: 'sgdflow.data.scoring' has no 'nmber'. Did you mean 'number'?"],
    ),
    "callable that is none": (
        (),
        "graph.nodes.desk.forward: {_target_: add}\ntask.score: {_target_: math.pi}",
        [
            "graph.nodes.desk.forward._target_: 'add' is not a dotted path such as package.module.name.",
            "task.score._target_: 'math.pi' cannot be called.",
        ],
    ),
    "callables that take something else": (
        (),
        """
        graph.nodes.zone.forward: {_target_: sgdflow.library.tools.calculate}
        graph.nodes.desk.backward: {_target_: sgdflow.library.tools.calculate}
        task.score: {_target_: sgdflow.library.tools.calculate}
        """,
        [
            "graph.nodes.zone.forward: sgdflow.library.tools.calculate(order, instruction=...): got an unexpected keyword argument 'instruction'.",
            "graph.nodes.desk.backward: sgdflow.library.tools.calculate(operands, output, gradient): too many positional arguments.",
            "task.score: sgdflow.library.tools.calculate(output, target): too many positional arguments. A scorer may take: output, target, inputs, values.",
        ],
    ),
    "callables of the method that take something else": (
        (),
        """
        method.loss: {_target_: sgdflow.library.tools.calculate}
        method.aggregation.successors: {_target_: sgdflow.data.scoring.number}
        method.aggregation.examples: {_target_: sgdflow.data.scoring.number, target: 1, digits: 2}
        """,
        [
            "method.aggregation.successors: sgdflow.data.scoring.number(gradients): missing a required argument: 'target'.",
            "method.loss: sgdflow.library.tools.calculate(output, target): too many positional arguments.",
            "method.aggregation.examples: sgdflow.data.scoring.number(items, target=..., digits=...): got an unexpected keyword argument 'digits'. It takes: output, target.",
        ],
    ),
    # The method.
    "calls: node without neighbors": (
        (),
        "method.backward.neighbors: false",
        ["method.backward: calls: node shows all predecessors at once, so neighbors: false means nothing there. Use calls: edge."],
    ),
    "calls: node without neighbors at a node": (
        (),
        "graph.nodes.desk.backward: {calls: node, neighbors: false}",
        ["graph.nodes.desk.backward: calls: node shows all predecessors at once, so neighbors: false means nothing there. Use calls: edge."],
    ),
    "unknown parameter to optimise": (
        (),
        "method.update.parameters: [desk.instruktion, tone]",
        [
            "method.update.parameters: graph 'tariff' has no parameter 'desk.instruktion'. Did you mean 'desk.instruction'? It has: weight.instruction, zone.instruction, service.instruction, desk.instruction.",
            "method.update.parameters: graph 'tariff' has no parameter 'tone'. It has: weight.instruction, zone.instruction, service.instruction, desk.instruction.",
        ],
    ),
    "frozen parameter to optimise": (
        (),
        f"method.update.parameters: [zone.instruction]\ngraph.nodes.zone.parameters.instruction: {FROZEN}",
        ["method.update.parameters: graph 'tariff' declares 'zone.instruction' as frozen."],
    ),
    "nothing to optimise": (
        (),
        ALL_FROZEN,
        ["method 'semantic' has nothing to optimise: graph 'tariff' has no parameter that is not frozen. Declare one under graph.nodes.NODE.parameters, or set method.stop.steps=0 to score the graph as it is."],
    ),
    "nothing chosen to optimise": (
        (),
        "method.update.parameters: []",
        ["method 'semantic' has nothing to optimise: method.update.parameters is empty. Name a parameter, or set method.stop.steps=0 to score the graph as it is."],
    ),
    "number to rewrite": (
        (),
        "graph.nodes.zone.parameters.instruction: 3",
        ["method.update: parameter 'zone.instruction' is 3; a rewrite needs a text. Declare min and max or choices, so that a model can write it; freeze it (frozen: true), or write it as text."],
    ),
    # Keys and types, anywhere, all at once.
    "unknown keys": (
        (),
        """
        graph.node: {}
        graph.nodes.desk.predecesors: [zone]
        graph.nodes.zone.parameters.instruction: {valu: x}
        task.splits.trian: 10
        method.steps: 3
        method.stop.stepz: 3
        llm.api_key: sk-secret
        llm.models.forward: {model: x/y, temprature: 0}
        seeds: 1
        """,
        [
            "graph.nodes.zone.parameters.instruction.valu: there is no such key. Did you mean 'value'?",
            "graph.nodes.desk.predecesors: there is no such key. Did you mean 'predecessors'?",
            "graph.node: there is no such key. Did you mean 'nodes'?",
            "task.splits.trian: there is no such key. Did you mean 'train'?",
            "method.stop.stepz: there is no such key. Did you mean 'steps'?",
            "method.steps: there is no such key. Did you mean 'stop'?",
            "llm.models.forward.temprature: there is no such key. There are: model, api_base, endpoint, api_key_env, parameters, sees.",
            "llm.api_key: there is no such key. Did you mean 'api_key_env'?",
            "seeds: there is no such key. Did you mean 'seed'?",
        ],
    ),
    "a misspelt key that is called like one further up": (
        (),
        "task.split: {train: 24, validation: 12, test: null}",
        ["task.split: there is no such key. Did you mean 'splits'?"],
    ),
    "a key that may be misspelt or stand too deep": (
        (),
        "task.split: train",
        ["task.split: there is no such key. Did you mean 'splits'? Or it stands one place further up: split."],
    ),
    "wrong types": (
        (),
        """
        graph.inputs: order
        graph.nodes.zone: null
        graph.nodes.desk: {predecessors: zone, forward: 5}
        task.score: 5
        task.splits.train: -1
        method.batch: 0
        method.stop.steps: true
        method.stop.patience: false
        method.sample.count: many
        method.aggregation: {successors: sun, examples: sum}
        method.gate: {rule: strikt, tolerance: hot}
        method.stop.score: 2
        method.update.parameters: desk.instruction
        llm.models.forward: null
        llm.limits.concurrency: 0
        tracking: null
        parameters: 5
        split: dev
        seed: 1.5
        """,
        [
            "graph.inputs: input should be a list, such as [order] (got 'order').",
            "graph.nodes.zone: input should be a mapping, such as {predecessors: [question]} (got None).",
            "graph.nodes.desk.predecessors: input should be a list, such as [zone] (got 'zone').",
            "graph.nodes.desk.forward: input should be a mapping (got 5).",
            "seed: input should be a valid integer, got a number with a fractional part (got 1.5).",
            "task.score: input should be a valid string (got 5). A score is a name (like_target), {rubric: TEXT}, {objectives: {NAME: {score: ...}}} or {_target_: MODULE.FUNCTION} (docs/scoring.md).",
            "task.splits.train: input should be greater than or equal to 0 (got -1).",
            "method.batch: input should be greater than or equal to 1 (got 0).",
            "method.sample.count: input should be a valid integer, unable to parse string as an integer (got 'many').",
            "method.aggregation.successors: input should be 'collect', 'distinct', 'sum' or 'tree' (got 'sun'). Did you mean 'sum'?",
            "method.aggregation.examples: input should be 'collect', 'distinct', 'tree' or 'cluster' (got 'sum').",
            "method.update.parameters: input should be a list, such as [desk.instruction] (got 'desk.instruction').",
            "method.gate.rule: input should be 'strict', 'not_worse', 'always' or 'paired' (got 'strikt'). Did you mean 'strict'?",
            "method.gate.tolerance: input should be a valid number, unable to parse string as a number (got 'hot').",
            "method.stop.steps: should be a number (got True).",
            "method.stop.patience: should be a number (got False).",
            "method.stop.score: input should be less than or equal to 1 (got 2).",
            "llm.models.forward: input should be a valid string (got None).",
            "llm.limits.concurrency: input should be greater than or equal to 1 (got 0).",
            "tracking: input should be a mapping (got None).",
            "parameters: input should be a valid string (got 5).",
            "split: input should be 'train', 'validation' or 'test' (got 'dev').",
        ],
    ),
    # The task.
    "data file missing": (
        (*TABLE, "task.path=no.csv"),
        "",
        ["task.path: there is no file 'no.csv'. Expected: a .jsonl, .json, .csv, .tsv, .parquet file. Looked in: {cwd}."],
    ),
    "data folder missing": (
        ("graph=hints", "task=bbh", "task.path=nowhere"),
        "",
        ["task.path: there is no folder 'nowhere'. Expected: a BIG-Bench Hard folder with one <task>.json a task. Looked in: {cwd}."],
    ),
    "data file of an unknown kind": (
        (*TABLE, "task.path=t.xls"),
        "",
        ["task.data: t.xls: cannot read '.xls' files. Known: .jsonl, .json, .csv, .tsv, .parquet."],
    ),
    "data file without rows": (
        (*TABLE, "task.path=empty.csv"),
        "",
        ["task.data: empty.csv: the file holds no rows."],
    ),
    "unknown scorer": (
        (),
        "task.score: nmber",
        ["task.score: there is no scorer 'nmber'. Did you mean 'number'? There are: number, code, option, yes_no, true_false, date, exact, text, any_of, like_target. One of your own is named with task.score._target_=MODULE.FUNCTION."],
    ),
    "judge without a model or a scale": (
        (),
        "task.score: {rubric: Be kind., role: jury, scale: [5, 1]}",
        ["task.score.scale: should be two numbers, the lower one first, such as [0, 1] or [1, 5] (got [5, 1])."],
    ),
    "judge that no model plays": (
        (),
        "task.score: {rubric: Be kind., role: jury}",
        ["task.score.role: llm.models has no 'jury'. It has: forward, backward, optimizer, judge."],
    ),
    "misspelt key of a judge": (
        (),
        "task.score: {rubric: Be kind., skale: [1, 5]}",
        ["task.score.skale: there is no such key. Did you mean 'scale'?"],
    ),
    "judge's template": (
        (),
        "task.score: {rubric: Be kind., prompt: wrong.jinja}",
        [
            "task.score: prompts/wrong.jinja, line 3: uses 'hint', which the judge does not have. Did you mean 'inputs'? It has: highest, inputs, lowest, mark, output, reply, rubric, target, values.",
            "task.score: prompts/wrong.jinja, line 2: uses 'ordr', which the judge does not have. It has: highest, inputs, lowest, mark, output, reply, rubric, target, values.",
        ],
    ),
    "several scores": (
        (),
        "task.score: {objectives: {a: {score: nmber}, b: {score: {_target_: scorer.scor}}}}",
        [
            "task.score.objectives.a.score: there is no scorer 'nmber'. Did you mean 'number'? There are: number, code, option, yes_no, true_false, date, exact, text, any_of, like_target. One of your own is named with task.score.objectives.a.score._target_=MODULE.FUNCTION.",
            "task.score.objectives.b.score._target_: 'scorer' has no 'scor'. Did you mean 'score'?",
        ],
    ),
    "no weight": (
        (),
        "task.score: {objectives: {a: {score: number, weight: 0}}}",
        ["task.score.objectives.a.weight: input should be greater than 0 (got 0)."],
    ),
    "tests that are not there": (
        (),
        "task.score: {_target_: sgdflow.library.scores.passes, folder: tests/nowhere, seconds: 0, file: ../x.py, command: [pytestt, -q]}",
        [
            "task.score.seconds: should be a whole number from 1 on (got 0).",
            "task.score.file: should be the name of a file within the folder (got '../x.py').",
            "task.score.folder: there is no folder 'tests/nowhere' with the tests. A relative path starts in {cwd}.",
            "task.score.command: there is no program 'pytestt' (looked for on PATH).",
        ],
    ),
    "tests in the place of the output": (
        (),
        "task.score: {objectives: {a: {score: {_target_: sgdflow.library.scores.passes_target, tests: solution.py, command: unittest}}}}",
        [
            "task.score.objectives.a.score.tests: 'solution.py' is the file of the output, too; name another one.",
            "task.score.objectives.a.score.command: should be a list of words, such as [python, -m, unittest] (got 'unittest').",
        ],
    ),
    "two forms of score": (
        (),
        "task.score: {_target_: scorer.score, rubric: Be kind.}",
        ["task.score: has _target_ (scorer.score) and rubric, and an output is scored in one way. Take one of them out, on the command line with '~task.score._target_'; or weigh both: task.score={objectives: {NAME: {score: ...}, OTHER: {score: ...}}} (docs/scoring.md) (got {'_target_': 'scorer.score', 'rubric': 'Be kind.'})."],
    ),
    "two forms of score among objectives": (
        (),
        "task.score: {objectives: {a: {score: {rubric: Be kind., cost: [1, 2]}}}}",
        ["task.score.objectives.a.score: has rubric and cost, and an output is scored in one way. Take one of them out, on the command line with '~task.score.objectives.NAME.score.rubric'; or weigh both: task.score={objectives: {NAME: {score: ...}, OTHER: {score: ...}}} (docs/scoring.md) (got {'rubric': 'Be kind.', 'cost': [1, 2]})."],
    ),
    "bounds of what is not there": (
        (),
        """
        graph.nodes.desk.forward: {rounds: 3}
        graph.nodes.zone.forward: {most: 3}
        """,
        [
            "graph.nodes.zone.forward: has most, which means nothing without each; take it out, or declare each. What it does not say itself is that of graph.forward.",
            "graph.nodes.desk.forward: has rounds, which means nothing without tools; take it out, or declare tools. What it does not say itself is that of graph.forward.",
        ],
    ),
    "what is a role's, and forms that are others": (
        (),
        """
        graph.nodes.desk.model: openai/x
        graph.nodes.desk.temperature: 0.5
        graph.nodes.zone.forward: {max_tokens: 9, images: order, tools: {add: my.tools.add}}
        """,
        [
            "graph.nodes.zone.forward.tools.add: input should be a mapping, such as {_target_: my.tools.add} (got 'my.tools.add').",
            "graph.nodes.zone.forward.images: input should be a list, such as [order] (got 'order').",
            "graph.nodes.zone.forward.max_tokens: there is no such key. It is that of a role: llm.models.ROLE.parameters.max_tokens.",
            "graph.nodes.desk.model: there is no such key. A node names a role (forward: {role: NAME}), and llm.models.NAME says its model.",
            "graph.nodes.desk.temperature: there is no such key. It is that of a role (llm.models.ROLE.parameters.temperature), or a parameter of the node (parameters: {temperature: {value: 0.2, min: 0, max: 1, step: 0.1}}).",
        ],
    ),
    "keys of a node that stand elsewhere": (
        (),
        """
        graph.nodes.zone.instruction: Sort it.
        graph.nodes.zone.inputs: [order]
        graph.nodes.zone.forward: my.tools.zone
        graph.nodes.desk.prompt: forward/mine.jinja
        graph.nodes.desk.backward: backward/mine.jinja
        """,
        [
            "graph.nodes.zone.forward: input should be a mapping, such as {_target_: my.tools.zone} (got 'my.tools.zone').",
            "graph.nodes.zone.instruction: there is no such key. It is a parameter of the node: parameters: {instruction: TEXT}.",
            "graph.nodes.zone.inputs: there is no such key. A node is given its predecessors: predecessors: [NAME, ...].",
            "graph.nodes.desk.backward: input should be a mapping, such as {prompt: backward/mine.jinja} (got 'backward/mine.jinja').",
            "graph.nodes.desk.prompt: there is no such key. It stands below forward: graph.nodes.desk.forward.prompt.",
        ],
    ),
    "model of a judge": (
        (),
        "task.score: {rubric: Be kind., model: openai/x}",
        [
            "task.score.model: there is no such key. A judge names a role (role: NAME), and llm.models.NAME says its model."
        ],
    ),
    "tests that stand nowhere": (
        (),
        "task.score: {_target_: sgdflow.library.scores.passes}",
        ["task.score.folder: should be the folder with the tests, such as tests/double (it is not set)."],
    ),
    "no words for a short one": (
        (),
        "task.score: {_target_: sgdflow.library.scores.short, words: sixty}",
        ["task.score.words: should be a whole number from 1 on (got 'sixty')."],
    ),
    "tools among votes of the graph": (
        (),
        """
        graph.forward.samples: 3
        graph.nodes.desk.forward: {tools: {calculate: {_target_: sgdflow.library.tools.calculate}}}
        """,
        ["graph.nodes.desk.forward: has tools and samples, which do not go together; choose one. What it does not say itself is that of graph.forward."],
    ),
    "cost alone": (
        (),
        "task.score: {cost: [0.001, 0.01]}",
        ["task.score: an answer that took nothing would be the best one. Weigh it beside another score: 'task.score={objectives: {right: {score: like_target, weight: 3}, spare: {score: {cost: [0.001, 0.01]}}}}'."],
    ),
    "bounds of cost and latency": (
        (),
        """
        task.score:
          objectives:
            right: {score: number}
            cheap: {score: {cost: [0.01, 0.001]}}
            quick: {score: {latency: 3}}
            quicker: {score: {latency: [1, 2], unit: s}, field: total}
        """,
        [
            "task.score.objectives.cheap.score.cost: should be two numbers from 0 on, such as [0.001, 0.01]: up to the first it scores 1, from the second on 0 (got [0.01, 0.001]).",
            "task.score.objectives.quick.score.latency: should be two numbers from 0 on, such as [2, 20]: up to the first it scores 1, from the second on 0 (got 3).",
            "task.score.objectives.quicker.score.unit: there is no such key. There are: latency.",
        ],
    ),
    "cost of a field": (
        (),
        "task.score: {objectives: {right: {score: number}, cheap: {score: {cost: [0, 1]}, field: total}}}",
        ["task.score.objectives.cheap: what an example took is no field's; leave 'field' out (got {'score': {'cost': [0, 1]}, 'field': 'total'})."],
    ),
    "cost that nobody knows": (
        ("llm=vllm", "llm.check=false"),
        "task.score: {objectives: {right: {score: number}, cheap: {score: {cost: [0, 1]}}}}",
        ["task.score.objectives.cheap.score.cost: nobody knows the price of hosted_vllm/model (llm.models.forward), which graph.nodes: weight, zone, service, desk ask. Say it, in dollars for a million tokens: '+llm.prices={hosted_vllm/model: {prompt: 0.1, completion: 0.4}}'."],
    ),
    "no score": (
        (),
        "task.score: {objectives: {}}",
        ["task.score.objectives: mapping should have at least 1 item (got {})."],
    ),
    "scorer that wants more than there is": (
        (),
        "task.score: {_target_: wants.score}",
        ["task.score: wants.score(inputs=...): missing a required argument: 'prediction'. A scorer may take: output, target, inputs, values."],
    ),
    "no targets for a scorer": (
        ("graph=hints", "task=table", "task.inputs={question: q}", "task.target=null", "task.path=t.csv"),
        "task.splits: {train: 2, validation: 0, test: null}",
        ["task.target: no example has a target, and task.score compares with one. Name its column, or score without (task.score.rubric=TEXT; docs/scoring.md)."],
    ),
    "column missing": (
        (*TABLE, "task.path=t.csv", "task.target=aa"),
        "",
        ["task.data: t.csv, line 1: no column 'aa'. Did you mean 'a'? Columns: q, a."],
    ),
    "input that the task does not have": (
        ("graph=hints", "task=table", "task.inputs={query: q}", "task.target=a", "task.path=t.csv"),
        "task.splits: {train: 2, validation: 0, test: null}",
        ["graph.inputs: task 'table' has no question. It has: query."],
    ),
    "empty split": (
        (*TABLE, "task.path=t.csv"),
        "task.splits: {train: 4, validation: 0, test: null}",
        ["task.splits.test is empty; a run needs at least one example."],
    ),
    "no training examples": (
        (),
        "task.splits.train: 0",
        ["task.splits.train is empty; a run needs at least one example."],
    ),
    "split that is too large": (
        (),
        "task.splits: {train: 200, validation: 50, test: null}",
        ["task.splits.validation asks for 50 examples, but there are 40 (of 240 in all, train takes 200)."],
    ),
    "task data that raises": (
        (),
        "task.data.parts: 99",
        ["task.data: sgdflow.simulation.tariff.orders raised ValueError: parts is 99; the tariff has 1 to 30 parts."],
    ),
    "more parts of an order than there are": (
        (),
        "task.data.most: 4",
        ["task.data: sgdflow.simulation.tariff.orders raised ValueError: most is 4; an order of this tariff has 1 to 3 parts."],
    ),
    "task data of an unknown family": (
        (),
        "task.data.family: summ",
        ["task.data: sgdflow.simulation.tariff.orders raised ValueError: family is 'summ'; there are sum, product."],
    ),
    "task data that is none": (
        (),
        "task.data: {_target_: os.getcwd}",
        ["task.data: os.getcwd returned str, not Pools."],
    ),
    "task data with an unknown key": (
        (),
        "task.data: {_target_: sgdflow.data.gsm8k, folder: x}",
        ["task.data: sgdflow.data.gsm8k(folder=...): got an unexpected keyword argument 'folder'. It takes: path."],
    ),
    # Models.
    "key missing": (
        ("llm=openai",),
        "",
        ["llm.models.forward (and backward, optimizer): the model openai/gpt-4o-mini needs the environment variable OPENAI_API_KEY, which is not set. Set it, or choose another llm (llm=simulated needs none)."],
    ),
    "key of one model missing": (
        (),
        "llm.models.optimizer: {model: a/b, api_key_env: MY_KEY}",
        ["llm.models.optimizer: the model a/b needs the environment variable MY_KEY, which is not set. Set it, or choose another llm (llm=simulated needs none)."],
    ),
    "key in the configuration": (
        (),
        "llm.models.critic: {model: x/y, parameters: {api_key: sk-secret}}\nseed: 1\nparameters: no.yaml",
        [
            "llm.models.critic: The parameters of x/y hold an api_key. Keys do not belong into a configuration: set an environment variable and name it in api_key_env.",
            "parameters: there is no file no.yaml. Looked in: {cwd}.",
        ],
    ),
    "unknown roles": (
        (),
        """
        graph.forward: {role: forwrd}
        graph.nodes.zone.forward: {role: planner}
        graph.nodes.desk.backward: {role: critic}
        method.backward.role: teacher
        method.update.role: optimiser
        """,
        [
            "graph.forward.role: llm.models has no 'forwrd'. Did you mean 'forward'? It has: forward, backward, optimizer, judge.",
            "graph.nodes.zone.forward.role: llm.models has no 'planner'. It has: forward, backward, optimizer, judge.",
            "graph.nodes.desk.backward.role: llm.models has no 'critic'. It has: forward, backward, optimizer, judge.",
            "method.backward.role: llm.models has no 'teacher'. It has: forward, backward, optimizer, judge.",
            "method.update.role: llm.models has no 'optimiser'. Did you mean 'optimizer'? It has: forward, backward, optimizer, judge.",
        ],
    ),
    "role of trials": (
        (),
        "method.backward.verify: {role: nobody}",
        ["method.backward.verify.role: llm.models has no 'nobody'. It has: forward, backward, optimizer, judge."],
    ),
    "role that only a node's own backward function has": (
        (),
        """
        llm.models: {forward: simulated/worlds, optimizer: simulated/worlds}
        method.backward.role: optimizer
        graph.nodes.desk.backward: {attempts: 2}
        """,
        ["graph.nodes.desk.backward.role: llm.models has no 'backward'. It has: forward, optimizer."],
    ),
    # Parameters to start from.
    "parameters missing": ((), "parameters: no.yaml", ["parameters: there is no file no.yaml. Looked in: {cwd}."]),
    "parameters missing in a run": (
        (),
        "parameters: run",
        ["parameters: there is no file run/parameters.yaml. Looked in: {cwd}."],
    ),
    "parameters that are no YAML": (
        (),
        "parameters: broken.yaml",
        [
            "parameters: broken.yaml cannot be read: line 2: did not find expected ',' or ']'."
        ],
    ),
    "parameters that are a list": (
        (),
        "parameters: list.yaml",
        ["parameters: list.yaml holds no mapping of names to texts."],
    ),
    "parameters that are nothing": (
        (),
        "parameters: nothing.yaml",
        ["parameters: nothing.yaml holds no mapping of names to texts."],
    ),
    "parameters of another graph": (
        (),
        "parameters: other.yaml",
        [
            "parameters: other.yaml: graph 'tariff' has no parameter 'desk.instruktion'. Did you mean 'desk.instruction'?",
            "parameters: other.yaml: 'service.instruction' is missing.",
            "parameters: other.yaml: 'desk.instruction' is missing.",
        ],
    ),
    "parameters of other types": (
        (),
        "parameters: types.yaml",
        [
            "parameters: types.yaml: 'weight.instruction' is ['W', 1], not a text, a number or a list of texts, each a line.",
            "parameters: types.yaml: 'desk.instruction' is None, not a text, a number or a list of texts, each a line.",
        ],
    ),
    # Mistakes of different kinds are told together.
    "everything at once": (
        ("llm=openai",),
        """
        graph.nodes.desk.predecessors: [weigth, zone, service]
        graph.nodes.zone.forward: {role: planner}
        task.score: {_target_: sgdflow.data.scoring.nmber}
        task.splits.train: 999
        """,
        [
            "graph tariff: nodes.desk.predecessors: there is no variable 'weigth'. Did you mean 'weight'? Variables: order, weight, zone, service, desk.",
            "graph.nodes.zone.forward.role: llm.models has no 'planner'. It has: forward, backward, optimizer, judge.",
            "llm.models.forward (and backward, optimizer): the model openai/gpt-4o-mini needs the environment variable OPENAI_API_KEY, which is not set. Set it, or choose another llm (llm=simulated needs none).",
            "task.score._target_: 'sgdflow.data.scoring' has no 'nmber'. Did you mean 'number'?",
            "task.splits.train asks for 999 examples, but there are 240 (of 240 in all).",
        ],
    ),
    "method, parameters and data at once": (
        (),
        """
        method.update.parameters: [tone]
        method.loss.prompt: loss/expect.jinja
        parameters: no.yaml
        task.splits.train: 0
        """,
        [
            "method.update.parameters: graph 'tariff' has no parameter 'tone'. It has: weight.instruction, zone.instruction, service.instruction, desk.instruction.",
            f"method.loss: there is no template 'loss/expect.jinja'. Did you mean 'loss/expected.jinja'? {LOOKED}",
            "parameters: there is no file no.yaml. Looked in: {cwd}.",
            "task.splits.train is empty; a run needs at least one example.",
        ],
    ),
}  # fmt: skip


@pytest.fixture
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory as a user has it."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@cache
def composed(*overrides: str) -> Mapping[str, Any]:
    return compose(overrides)


def changed(config: Mapping[str, Any], yaml_text: str) -> Mapping[str, Any]:
    """Return the configuration with other values at the dotted keys of a YAML text."""
    result: dict[str, Any] = copy.deepcopy(dict(config))
    for path, value in (yaml.safe_load(yaml_text) or {}).items():
        *above, last = path.split(".")
        at = result
        for key in above:
            at[key] = at[key] if isinstance(at.get(key), dict) else {}
            at = at[key]
        at[last] = value
    return result


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.parametrize("case", DECLARED)
def test_mistake_is_told_before_anything_is_done(case: str, working: Path) -> None:
    overrides, patch, told = DECLARED[case]
    before = files_below(working)
    with pytest.raises(ConfigError) as refused:
        prepare(changed(composed(*overrides), patch), Prompts(prompt_folders(working)), {})
    lines = [
        line.format(cwd=working, shipped=SHIPPED) if "{cwd}" in line else line for line in told
    ]
    assert str(refused.value).split("\n") == lines
    assert files_below(working) == before


ACCEPTED: Mapping[str, str] = {
    "nothing changed": "",
    "constant node": "graph.nodes.rates: {predecessors: []}\ngraph.nodes.desk.predecessors: [rates, weight, zone, service]",
    "frozen, but not to be optimised": f"{ALL_FROZEN}\nmethod.stop.steps: 0",
    "a number that is not to be optimised": "graph.nodes.zone.parameters.instruction: 3\nmethod.update.parameters: [desk.instruction]",
    "edge calls without neighbors": "method.backward: {calls: edge, neighbors: false, prompt: backward/edge.jinja}",
    "no validation examples": "task.splits.validation: 0",
}  # fmt: skip


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_looks_like_a_mistake_but_is_none(case: str, working: Path) -> None:
    prepare(changed(composed(), ACCEPTED[case]), Prompts(prompt_folders(working)), {})


def test_message_does_not_repeat_a_whole_configuration(working: Path) -> None:
    """A list in place of a mapping is the usual mistake, and such lists are long."""
    nodes = [{"name": f"n{i}", "parameters": {"instruction": "x" * 500}} for i in range(20)]
    raw = {**composed(), "graph": {**composed()["graph"], "nodes": nodes}}
    with pytest.raises(ConfigError) as refused:
        prepare(raw, Prompts(prompt_folders(working)), {})
    start = "graph.nodes: input should be a mapping, such as {answer: {predecessors: [question]}} "
    start += "(got [{'name': 'n0', 'parameters'"
    assert str(refused.value).startswith(start)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("command", ["optimise", "evaluate"])
def test_scoring_that_fails_ends_the_run_with_its_reason(command: str, working: Path) -> None:
    """No score can be had, which only running can tell: then it says so at once."""
    few = "task.splits: {train: 2, validation: 0, test: 2}\ntask.score: {_target_: scorer.score}"
    raw = changed(composed("tracking=none"), few)
    ready = prepare(raw, Prompts(prompt_folders(working)), {})
    llm, folder = ScriptedLLM(lambda *_: "<output>7</output>"), RunFolder(working / "run")
    work: Coroutine[Any, Any, dict[str, Any]] = evaluate(ready, llm, folder)
    if command == "optimise":
        work.close()
        work = optimise(ready, raw, llm, NullTracker(), folder)
    with pytest.raises(ScoringFailed, match=r"task\.score: example .* raised KeyError: 'Zone'"):
        asyncio.run(work)


# The real command line, in a process of its own.

COMMANDS = ", ".join(re.findall(r"^  ([a-z]+) {2,}", USAGE, re.MULTILINE))
GRAPHS = ", ".join(sorted(path.stem for path in (conf_folder() / "graph").glob("*.yaml")))


COMMAND_LINES: Mapping[str, tuple[Sequence[str], str]] = {
    "unknown command": (
        ["optimise"],
        f"There is no command 'optimise'. Did you mean 'optimize'? Commands: {COMMANDS}.",
    ),
    "unknown group option": (
        ["optimize", "graph=hintz"],
        f"graph: there is no 'hintz'. Did you mean 'hints'? There are: {GRAPHS}. "
        f"Looked in: {conf_folder()}/graph.",
    ),
    "unknown group option of the UI": (
        ["ui", "tracking=wandb"],
        "tracking: there is no 'wandb'. There are: mlflow, none. "
        f"Looked in: {conf_folder()}/tracking; one of your own is found in "
        "{cwd}/conf/tracking/wandb.yaml.",
    ),
    "unknown key": (
        ["optimize", "method.stop.stepz=3"],
        "method.stop.stepz: there is no such key. Did you mean 'method.stop.steps'?",
    ),
    "several keys and types": (
        ["evaluate", "seed=x", "split=dev", "+method.gate.toleranze=0.1"],
        "seed: input should be a valid integer, unable to parse string as an integer (got 'x').\n"
        "method.gate.toleranze: there is no such key. Did you mean 'tolerance'?\n"
        "split: input should be 'train', 'validation' or 'test' (got 'dev').",
    ),
    "required keys missing": (
        ["optimize", "graph=hints", "task=table"],
        "task.path: is required and missing. It names the file of the examples: task.path=qa.csv.\n"
        "task.inputs: is required and missing. It lists the columns that the graph takes: task.inputs=[question].\n"
        "task.target: is required and missing. It names the column of the expected answers: task.target=answer.",
    ),
    "cycle": (
        ["graph", "graph.nodes.weight.predecessors=[desk]"],
        "graph tariff: nodes: there is a cycle: weight -> desk -> weight. "
        "Remove one of these predecessors.",
    ),
    "data missing": (
        ["optimize", "graph=hints", "task=bbh", "task.path=nowhere"],
        "task.path: there is no folder 'nowhere'. "
        "Expected: a BIG-Bench Hard folder with one <task>.json a task. Looked in: {cwd}.",
    ),
    "key missing": (
        ["optimize", "llm=anthropic"],
        "llm.models.forward (and backward, optimizer): the model anthropic/claude-haiku-4-5 needs "
        "the environment variable ANTHROPIC_API_KEY, which is not set. Set it, or choose another "
        "llm (llm=simulated needs none).",
    ),
    "template": (
        ["optimize", "+graph.nodes.zone.forward.prompt=wrong.jinja", "method.stop.steps=0"],
        "graph.nodes.zone.forward: prompts/wrong.jinja, line 3: uses 'hint', which node 'zone' "
        f"does not have. {FORWARD}\n"
        "graph.nodes.zone.forward: prompts/wrong.jinja, line 2: uses 'ordr', which node 'zone' "
        f"does not have. Did you mean 'order'? {FORWARD}",
    ),
    "scoring callable": (
        ["evaluate", "task.score._target_=sgdflow.library.tools.calculate"],
        "task.score: sgdflow.library.tools.calculate(output, target): too many positional arguments. A scorer may take: output, target, inputs, values.",
    ),
    "nothing to evaluate": (
        ["evaluate", "split=validation", "task.splits.validation=0"],
        "split: the validation split has no examples (task.splits.validation).",
    ),
}


def run(words: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    keep = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    environment = {name: value for name, value in keep.items() if name != "HYDRA_FULL_ERROR"}
    return forked(folder, *words, environment=environment)


def recorded(folder: Path) -> list[str]:
    found = files_below(folder)
    return [
        p.name for p in found if p.name in ("mlflow.db", "mlruns", "result.json", "steps.jsonl")
    ]


@pytest.mark.parametrize("case", COMMAND_LINES)
def test_command_line_says_what_is_wrong_and_nothing_else(case: str, working: Path) -> None:
    words, told = COMMAND_LINES[case]
    ended = run(words, working)
    assert (ended.stderr, ended.stdout) == (told.replace("{cwd}", str(working)) + "\n", "")
    assert ended.returncode == 1
    assert recorded(working) == []


@pytest.mark.parametrize("before", [None, "", "0"])
def test_a_command_leaves_the_environment_as_it_was(
    before: str | None, working: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "HYDRA_FULL_ERROR"
    monkeypatch.setenv(name, before or "")
    if before is None:
        monkeypatch.delenv(name)
    monkeypatch.chdir(working)
    monkeypatch.setattr(sys, "argv", ["sgdflow"])
    seen: list[str | None] = []
    assert run_untraced(lambda raw: seen.append(os.environ.get(name)), []) == 0
    with pytest.raises(ConfigError, match="there is no 'nosuch'"):
        run_untraced(lambda raw: None, ["task=nosuch"])
    assert (seen, os.environ.get(name)) == (["1"], before)


@pytest.mark.parametrize("words", ["graph graph=null", "optimize hydra.run.dir=t.csv/run"])
def test_what_hydra_does_not_expect_is_no_traceback_either(words: str, working: Path) -> None:
    ended = run(words.split(), working)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert 1 <= len(ended.stderr.splitlines()) <= 3
    assert recorded(working) == []


def test_jobs_of_a_multirun_say_what_is_wrong_one_by_one(working: Path) -> None:
    words = ["graph", "-m", "graph.output=dsk,desk", "tracking=none", "hydra.sweep.dir=jobs"]
    ended = run(words, working)
    assert "graph tariff: output: 'dsk' is not a node. Did you mean 'desk'?" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
    assert ended.returncode == 1
    # The job without the mistake has run.
    assert "graph tariff: order -> desk" in ended.stdout


def test_no_command_is_a_question_not_a_mistake(working: Path) -> None:
    ended = run([], working)
    assert (ended.returncode, ended.stdout) == (0, USAGE)
