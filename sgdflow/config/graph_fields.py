"""Fields of nodes among predecessors: `triage.department` becomes a variable of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sgdflow.config import schema
from sgdflow.errors import ConfigError, did_you_mean, listed
from sgdflow.prompting.schemas import Schema, schema_of


def with_fields(conf: schema.GraphConf) -> schema.GraphConf:
    """Return the graph with a node for each field that is named; raises ConfigError.

    The nodes stand behind the one whose field they are.
    """
    problems: list[str] = []
    wanted: dict[str, dict[str, schema.NodeConf]] = {}
    for where, name in _named(conf):
        owner, _, field = name.partition(".")
        if not field or name in conf.nodes or owner not in {*conf.nodes, *conf.inputs}:
            continue  # what is no variable is told with all others
        made = _field(conf, owner, field)
        if isinstance(made, str):
            problems.append(f"{where}: {made}")
        else:
            wanted.setdefault(owner, {})[name] = made
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    if not wanted:
        return conf
    nodes: dict[str, schema.NodeConf] = {}
    for owner in conf.inputs:
        nodes |= wanted.get(owner, {})
    for owner, node in conf.nodes.items():
        nodes |= {owner: node, **wanted.get(owner, {})}
    return conf.model_copy(update={"nodes": nodes})


def _named(conf: schema.GraphConf) -> Iterator[tuple[str, str]]:
    for name, node in conf.nodes.items():
        for predecessor in node.predecessors:
            yield f"graph.nodes.{name}.predecessors", predecessor
    yield "graph.output", conf.output


def _field(conf: schema.GraphConf, owner: str, field: str) -> schema.NodeConf | str:
    """Return the node that a field is, or why there is none."""
    if "." in field:
        return f"'{owner}.{field}': a field of a field has no name; take it apart in the template."
    optional = False
    if owner in conf.nodes and not isinstance(conf.nodes[owner].forward, schema.Target):
        found = schema_at(conf, owner)
        if found is None:
            return (
                f"'{owner}' has no field '{field}': its value is a text. Declare its fields: "
                f"graph.nodes.{owner}.forward.reply.schema."
            )
        if field not in found.names:
            return (
                f"'{owner}' has no field '{field}'.{did_you_mean(field, found.names)} "
                f"It has: {listed(found.names)}."
            )
        optional = field not in found.json.get("required", ())
    said: Mapping[str, object] = {"field": field} | ({"optional": True} if optional else {})
    raw = {"predecessors": [owner], "forward": said}
    made: schema.NodeConf = schema.validate(schema.NodeConf, raw)
    return made


def schema_at(conf: schema.GraphConf, node: str) -> Schema | None:
    """Return the schema that a node's replies keep to, None where they are texts."""
    own = conf.nodes[node].forward
    declared = conf.forward.reply.schema_
    if isinstance(own, schema.Forward) and "schema_" in own.reply.model_fields_set:
        declared = own.reply.schema_
    return None if declared is None else schema_of(declared)
