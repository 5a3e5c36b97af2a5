"""Templates: found, checked and rendered; the only place that knows Jinja."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    FileSystemLoader,
    PrefixLoader,
    Template,
    TemplateError,
    TemplateNotFound,
    UndefinedError,
    nodes,
)
from jinja2.exceptions import SecurityError

from sgdflow.errors import PromptError, did_you_mean, listed
from sgdflow.llm import Message
from sgdflow.prompting.absent import Absent
from sgdflow.prompting.marks import MARK, mark_for, marked_tags
from sgdflow.prompting.sandbox import Sandbox, one_rendering
from sgdflow.prompting.sources import Source, endless
from sgdflow.prompting.turns import Role, Unsaid, extended, stand_alone, turns, unsent
from sgdflow.prompting.values import alike, as_text, is_short, named, quoted, rest, some

SHIPPED_PREFIX = "sgdflow"
FULL = "full"
"""Names the templates as they are."""
_TEXT = "utf-8-sig"
T = TypeVar("T")


@dataclass(frozen=True)
class Prompts:
    """The templates of some folders; a template in an earlier folder hides a later one.

    The shipped templates, the last folder, can always be reached as `sgdflow/NAME`.
    """

    folders: tuple[Path, ...]

    def in_words(self, words: str) -> Prompts:
        """Return the same templates, where those in the folder `words` hide others of their name.

        "full" is all as it is. Raises PromptError where no template folder has such a folder.
        """
        if words == FULL:
            return self
        own = tuple(folder / words for folder in self.folders if (folder / words).is_dir())
        if not own:
            looked = listed(str(folder) for folder in self.folders)
            raise PromptError(
                f"method.words: there is no folder '{words}' of templates. Looked in: {looked}. "
                "full takes the templates as they are; short comes with sgdflow."
            )
        return replace(self, folders=(*own, *self.folders))

    @cached_property
    def _environment(self) -> Sandbox:
        folders: list[BaseLoader] = [FileSystemLoader(one, _TEXT) for one in self.folders]
        shipped = PrefixLoader({SHIPPED_PREFIX: folders[-1]})
        environment = Sandbox(
            loader=ChoiceLoader([*folders, shipped]),
            undefined=Absent,
            autoescape=False,
            keep_trailing_newline=False,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=as_text,
            auto_reload=False,
        )
        environment.filters |= {"quoted": quoted, "named": named, "some": some, "rest": rest}
        environment.filters["alike"] = alike
        environment.tests["short"] = is_short
        return environment

    def mark(self, name: str, variables: Mapping[str, Any], reply: str = "") -> str:
        """Return what a template's tags need so that no value can be taken for one of them.

        Nor for the tag of the reply, but where the graph itself has it, in the prompt of a node: an
        instruction that shows a reply shows the one that is asked for.
        """
        parameters = variables.get("parameters")
        named = parameters if isinstance(parameters, Mapping) else {}
        declared: Any = ()
        if "system" in variables:  # what a node is asked; its place holds no values
            texts = [text for text in named.values() if isinstance(text, str)]
            declared = (texts, variables.get("node"), variables["system"])
        return mark_for(variables, {*self._once(self._tags, name), *named}, reply, declared)

    def messages(self, name: str, variables: Mapping[str, Any]) -> tuple[Message, ...]:
        """Render a chat: its blocks are turns, in order; without any the whole is the user's."""
        try:
            if MARK not in variables:
                variables = {**variables, MARK: self.mark(name, variables)}
            texts = self._blocks(name, self._load(name), variables)
        except PromptError:
            raise
        except (UndefinedError, SecurityError) as error:
            message = str(error.message).rstrip(".")
            raise PromptError(f"{self._where(error, name)}: {message}.") from error
        except TemplateError as error:
            raise PromptError(f"{self._where(error, name)}: {error}") from error
        except RecursionError as error:
            refers = {one: self._read(one).may_refer_to for one in self.closure([name])}
            raise PromptError(f"prompts/{endless(name, refers)}") from error
        except Exception as error:  # whatever an expression of the template raises
            told = f"{type(error).__name__}: {str(error).rstrip('.')}."
            raise PromptError(f"{self._where(error, name)}: {told}") from error
        if not any(texts.values()):
            raise PromptError(f"{_shown(name)}: renders to nothing.")
        return tuple(Message(role, text) for (_, role), text in texts.items() if text)

    def _blocks(
        self, name: str, template: Template, variables: Mapping[str, Any]
    ) -> Mapping[tuple[str, Role], str]:
        try:
            with one_rendering():
                context = template.new_context(dict(variables))
                if self._once(self._stands_alone, name):  # each block would be rendered twice
                    context.blocks = Unsaid(context.blocks)
                whole = "".join(template.root_render_func(context))
                context.blocks = dict(context.blocks)
                return {
                    turn: "".join(context.blocks[turn[0]][0](context)).strip()
                    for turn in turns(tuple(context.blocks))
                } or {("", "user"): whole.strip()}
        except Exception:
            # Raises it again, with the lines of the templates in place of compiled ones.
            self._environment.handle_exception()

    def text(self, name: str, variables: Mapping[str, Any]) -> str:
        """Render a template that is no chat."""
        return self.messages(name, variables)[-1].content

    def problems(self, name: str, sample: Mapping[str, Any], owner: str) -> Iterator[str]:
        """Yield what is wrong with a template whose `owner` has variables like these.

        Names are checked in every branch; what else a template does with the values is
        found by rendering it once with the sample.
        """
        try:
            self._read(name)
        except TemplateNotFound:
            yield (
                f"there is no template '{name}'.{self._meant(name)} "
                f"Looked in: {listed(str(folder) for folder in self.folders)}."
            )
            return
        except UnicodeDecodeError:
            yield f"{_shown(name)}: is not UTF-8 text."
            return
        unknown = list(self._unknown(name, {*sample, MARK}, owner, seen=set()))
        unknown = unknown or self._once(self._unsent, name)
        yield from unknown
        if not unknown:
            try:
                self.messages(name, sample)
            except PromptError as error:
                yield f"{error} (for {owner})"

    def mentioned(self, name: str) -> frozenset[str]:
        """Return the variables that a template, or one that it may refer to, speaks of."""
        return frozenset(v for one in self.closure([name]) for v in self._read(one).variables)

    def _tags(self, name: str) -> frozenset[str]:
        """Return the tags that a template, or one it may refer to, marks."""
        return marked_tags(self.closure([name]).values())

    def _stands_alone(self, name: str) -> bool:
        """Return whether what stands beside a template's turns is nothing without them."""
        try:
            return stand_alone(self._chain(name), self.closure([name]).values())
        except (TemplateError, UnicodeDecodeError):  # rendering it tells
            return False

    def _once(self, find: Callable[[str], T], name: str) -> T:
        """Return what is to be found out about a template once."""
        key = find.__name__, name
        if key not in self._known:
            self._known[key] = find(name)
        found: T = self._known[key]
        return found

    @cached_property
    def _known(self) -> dict[tuple[str, str], Any]:
        return {}

    def source(self, name: str) -> str:
        """Return the text of a template file."""
        return self._read(name).text

    def names(self) -> tuple[str, ...]:
        """Return all templates there are."""
        return tuple(name for name in self._all if not name.startswith(f"{SHIPPED_PREFIX}/"))

    @cached_property
    def _all(self) -> Sequence[str]:
        return self._environment.list_templates(extensions=["jinja"])

    def _meant(self, name: str) -> str:
        """Return words for the template that is meant; those of sgdflow's own keep their prefix."""
        own = name.startswith(f"{SHIPPED_PREFIX}/")
        return did_you_mean(name, set(self._all).difference(self.names()) if own else self.names())

    def closure(self, names: Iterable[str]) -> Mapping[str, str]:
        """Return the texts of these templates and of all that they may include or extend."""
        found: dict[str, str] = {}
        wanted = list(names)
        while wanted:
            if (name := wanted.pop(0)) in found:
                continue
            try:
                source = self._read(name)
            except TemplateNotFound:  # `include ... ignore missing`
                continue
            found[name] = source.text
            wanted += source.may_refer_to
            if source.computes_names:
                wanted += self.names()
        return dict(sorted(found.items()))

    def _load(self, name: str) -> Template:
        try:
            return self._environment.get_template(name)
        except TemplateNotFound as error:
            raise PromptError(f"there is no template '{error.name}'.") from error

    def _read(self, name: str) -> Source:
        """Return a template's source; raises TemplateNotFound."""
        if name not in self._sources:
            loader = self._environment.loader
            assert loader is not None
            text = loader.get_source(self._environment, name)[0]
            self._sources[name] = Source(self._environment, name, text)
        return self._sources[name]

    @cached_property
    def _sources(self) -> dict[str, Source]:
        return {}

    def _unknown(
        self, name: str, variables: Collection[str], owner: str, seen: set[str]
    ) -> Iterator[str]:
        """Yield what a template, or one it refers to, uses without having it."""
        seen.add(name)
        source = self._read(name)
        if source.mistake:
            yield f"{_shown(name)}{source.mistake}"
            return
        for variable in sorted(source.variables.keys() - set(variables)):
            yield (
                f"{_shown(name)}, line {source.variables[variable]}: uses '{variable}', which "
                f"{owner} does not have."
                f"{did_you_mean(variable, variables)} It has: {listed(sorted(variables))}."
            )
        # A template that is included also sees what the including one defines around it.
        for other, line in source.references:
            if other in seen:
                continue
            try:
                self._read(other)
            except TemplateNotFound:
                yield (
                    f"{_shown(name)}, line {line}: there is no template '{other}'."
                    f"{self._meant(other)}"
                )
            else:
                yield from self._unknown(other, {*variables, *source.defined}, owner, seen)

    def _unsent(self, name: str) -> list[str]:
        """Return what of a template no model would be shown."""
        return list(unsent(self._chain(name)))

    def _chain(self, name: str) -> Sequence[tuple[str, nodes.Template]]:
        """Return a template and, as far as they are named, those that it extends."""
        chain = extended(name, lambda one: self._read(one).tree)
        return [(_shown(one), tree) for one, tree in chain]

    def _where(self, error: Exception, name: str) -> str:
        """Return the innermost template line of an error that carries none itself."""
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            for folder in self.folders:
                path = Path(frame.filename)
                if path.is_relative_to(folder):
                    return f"{_shown(path.relative_to(folder).as_posix())}, line {frame.lineno}"
        return _shown(name)


def _shown(name: str) -> str:
    return f"prompts/{name}"
