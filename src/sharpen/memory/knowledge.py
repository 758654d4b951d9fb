"""What is known, as a graph: concepts, claims about them, causes, hierarchies, the steps of every critique.

In: facts with evidence, critiques, a question. Out: facts that help with the question, walks through a critique. Must
not know which database holds the graph, or who asks.

The SQL store is the truth: a fact is a Memory record, a critique is a Critique record, and `rebuild` makes the graph of
them again. Only claims are ever shown to a model, and as quoted data: a step of a critique is a model's own words.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence

from sharpen.config import Config
from sharpen.graphs.graph_store import Edge, EdgeKind, GraphStore, Node, NodeKind, Scalar
from sharpen.graphs.opening import open_graph
from sharpen.memory.compose import Count, block, estimated_tokens, harmless, quoted
from sharpen.memory.facts import Fact, Propose, Reading, named, read
from sharpen.memory.keep import passages
from sharpen.memory.recall import Bm25
from sharpen.memory.search import Found
from sharpen.memory.words import words
from sharpen.records import Critique, Memory, Trace, content_hash
from sharpen.store import ERASED, Store

_BRIDGE = 3  # a claim, the concept it shares with the first, a claim about that: edges from a concept of the question
_SEEDS = 8  # chosen: concepts of a question that are followed
_SPREAD = 200  # chosen: claims looked at per concept
_FOLLOWED = 0.5  # chosen: what a claim gets of the score of the claim that led to it
_LOOKUP_FACTS = 6
_LOOKUP_CHARS = 1_500  # chosen: what fits beside a question in a small model's context
_FACT_SHARE = 0.5  # chosen: of a prompt's budget; recalled passages have the rest
NOTHING = "nothing is known on this"


class Knowledge:
    """One tenant's knowledge. Raises: StoreError when the graph's database fails."""

    def __init__(self, store: Store, graph: GraphStore, tenant: str = "default") -> None:
        self._store = store
        self._graph = graph
        self._tenant = tenant
        self._names: dict[str, str] | None = None  # a concept's name -> its node's id
        self._claims: list[Node] = []
        self._index = Bm25()

    @classmethod
    def of(cls, config: Config, store: Store) -> Knowledge:
        """Open the knowledge that the configuration names. Raises: ConfigError, StoreError, MissingExtra."""
        tenant = config.memory.tenant
        return cls(store, open_graph(config.graphs, config.home, tenant), tenant)

    # -- learning ------------------------------------------------------------------------------------------------------

    def read(self, propose: Propose, text: str, evidence: str) -> Reading:
        """Take facts out of a text, passage by passage, and learn the valid ones."""
        total = Reading()
        for passage in passages(text):
            reading = read(propose, passage, evidence)
            total.facts += reading.facts
            total.dropped += reading.dropped
        self.learn(total.facts)
        return total

    def read_new(self, propose: Propose) -> Reading:
        """Read the kept documents and the exchanges that no fact rests on yet."""
        facts = [memory for memory in self._store.find(Memory, subjects=["fact"]) if memory.tenant == self._tenant]
        known = {evidence for memory in facts for evidence in memory.evidence}
        documents = self._store.find(Memory, subjects=["document"])
        texts = [(one.id, one.reply) for one in documents if one.tenant == self._tenant]
        for trace in self._store.find(Trace):
            said = [*(message.content for message in trace.messages if message.role == "user"), trace.reply or ""]
            texts.append((trace.id, "\n\n".join(said)))
        total = Reading()
        for record_id, text in texts:
            if record_id not in known and ERASED not in text:
                reading = self.read(propose, text, record_id)
                total.facts += reading.facts
                total.dropped += reading.dropped
        return total

    def learn(self, facts: Iterable[Fact]) -> list[Memory]:
        """Write facts to the store, then to the graph. The same fact twice is one; an erased one stays erased."""
        kept = {memory.id: memory for memory in (_memory(fact, self._tenant) for fact in facts)}
        there = {memory.id: memory for memory in self._store.find(Memory, ids=list(kept))}
        self._store.append(*(memory for name, memory in kept.items() if name not in there))
        now = [there.get(name, memory) for name, memory in kept.items()]
        self._draw([memory for memory in now if memory.reply != ERASED])
        return now

    def add_critiques(self, critiques: Iterable[Critique]) -> None:
        """Write the steps of critiques as trees that `walk` follows."""
        for critique in critiques:
            nodes, edges = _tree(critique)
            self._graph.upsert_nodes(nodes)
            self._graph.upsert_edges(edges)

    def rebuild(self) -> tuple[int, int]:
        """Make the graph again from the store; return its nodes and edges. Killed half way, run it again."""
        self._graph.clear()
        facts = self._store.find(Memory, subjects=["fact"])
        self._draw([memory for memory in facts if memory.tenant == self._tenant and memory.reply != ERASED])
        self.add_critiques(self._store.find(Critique))
        self._names = None
        return self._graph.count()

    def close(self) -> None:
        """Give the graph's files and connections back."""
        self._graph.close()

    # -- asking --------------------------------------------------------------------------------------------------------

    def facts(self, question: str, k: int) -> list[Memory]:
        """Return up to `k` facts that help with a question, best first.

        Facts about the things it names come first by their words; facts about what those lead to follow them.
        """
        names = self._load()
        scores = {position: score for position, score in self._index.search(question, len(self._claims)) if score > 0}
        by_id = {self._claims[position].id: score for position, score in scores.items()}
        total: dict[str, float] = dict(by_id)
        for seed in self._seeds(question, names, by_id):
            near: defaultdict[str, float] = defaultdict(float)  # a concept -> the score of the claim that led there
            for found in self._graph.neighbours(seed, kinds=[EdgeKind.ABOUT], hops=_BRIDGE, limit=_SPREAD):
                name, before = found.node.id, found.edge.target
                if found.node.kind == NodeKind.CONCEPT:
                    near[name] = max(near[name], total.get(found.edge.source, 0.0))
                else:
                    own = by_id.get(name, 0.0) + (1.0 if found.hops == 1 else 0.0)
                    total[name] = max(total.get(name, 0.0), own + _FOLLOWED * near[before])
        best = sorted(total, key=lambda name: (-total[name], name))[: max(k, 0)]
        return self._from_store(best)

    def lookup(self, text: str) -> str:
        """Return what is known about a text, as lines of quoted data: a tool for a model. Bounded in size."""
        lines, size = [], 0
        for memory in self.facts(text, _LOOKUP_FACTS):
            line = f"{harmless(memory.reply)} [{memory.evidence[0]}]"
            size += len(line) + 1
            if size > _LOOKUP_CHARS:
                break
            lines.append(line)
        return "\n".join(lines) or NOTHING

    def with_recalled(
        self, question: str, recalled: Sequence[Found], budget_tokens: int, count: Count = estimated_tokens
    ) -> list[Memory | Found]:
        """Return one note of facts for half of the budget, then what recall found: ready for `compose.with_memories`.

        What frames the notes is paid for once, by neither half; the facts share one note, whose title costs as much as
        a fact. The note is made for this prompt and is not kept.
        """
        note: Memory | None = None
        for fact in self.facts(question, 4 * _LOOKUP_FACTS):
            longer = _joined(note, fact) if note else fact
            frame = count(block([fact], budget_tokens, count)) - count(quoted(fact))
            if frame > 0 and count(quoted(longer)) <= (budget_tokens - frame) * _FACT_SHARE:
                note = longer
        return [note, *recalled] if note else [*recalled]

    def walk(self, critique_id: str) -> list[tuple[int, Node]]:
        """Return the steps of a critique, each behind the step it follows from, with its depth from 0."""
        walked: list[tuple[int, Node]] = []
        left = [(-1, critique_id)]
        while left:
            depth, at = left.pop()
            node = self._graph.get(at)
            if node is None or (node.kind == NodeKind.STEP) == (depth < 0):  # no such critique, or a step's own id
                continue
            if depth >= 0:
                walked.append((depth, node))
            after = self._graph.neighbours(at, kinds=[EdgeKind.FOLLOWS], directions=["in"], limit=_SPREAD)
            ordered = sorted((found.node for found in after), key=lambda one: int(one.properties["place"] or 0))
            left += [(depth + 1, one.id) for one in reversed(ordered)]
        return walked

    def before(self, name: str, hops: int = 4) -> list[str]:
        """Return the names of the concepts that come before this one: what it is, and what it is made of."""
        start = concept_id(name)
        wider = self._graph.neighbours(start, kinds=[EdgeKind.IS_A], directions=["out"], hops=hops)
        parts = self._graph.neighbours(start, kinds=[EdgeKind.PART_OF], directions=["in"], hops=hops)
        return list(dict.fromkeys(found.node.text for found in (*wider, *parts)))

    def mentioned(self, text: str) -> list[str]:
        """Return the names of the known concepts that a text mentions, the longest first."""
        names, said = self._load(), words(named(text))
        found = [name for name in names if _within(words(name), said)]
        return sorted(found, key=lambda name: (-len(name), name))

    def _seeds(self, question: str, names: dict[str, str], by_id: dict[str, float]) -> list[str]:
        seeds = [names[name] for name in self.mentioned(question)]
        if not seeds:  # it names nothing that is known: begin at what the best claims are about
            for claim in sorted(by_id, key=lambda name: (-by_id[name], name))[:2]:
                about = self._graph.neighbours(claim, kinds=[EdgeKind.ABOUT], directions=["out"])
                seeds += [found.node.id for found in about]
        return list(dict.fromkeys(seeds))[:_SEEDS]

    def _from_store(self, claim_ids: Sequence[str]) -> list[Memory]:
        """Read the facts from the store, so that a stale graph shows nothing erased and nothing of another tenant."""
        found = {memory.id: memory for memory in self._store.find(Memory, ids=list(claim_ids))}
        ours = [found[name] for name in claim_ids if name in found]
        return [memory for memory in ours if memory.tenant == self._tenant and memory.reply != ERASED]

    def _load(self) -> dict[str, str]:
        if self._names is None:
            self._names = {named(node.text): node.id for node in self._graph.nodes(NodeKind.CONCEPT)}
            self._claims, self._index = list(self._graph.nodes(NodeKind.CLAIM)), Bm25()
            self._index.add([claim.text for claim in self._claims])
        return self._names

    def _draw(self, memories: Sequence[Memory]) -> None:
        nodes, edges = list[Node](), list[Edge]()
        for memory in memories:
            fact = json.loads(memory.reason or "{}")
            subject, object_ = concept_id(fact["subject"]), concept_id(fact["object"])
            nodes += [
                Node(subject, NodeKind.CONCEPT, fact["subject"]),
                Node(object_, NodeKind.CONCEPT, fact["object"]),
                Node(memory.id, NodeKind.CLAIM, memory.reply, {"relation": fact["relation"]}),
                Node(memory.evidence[0], NodeKind.EVIDENCE),
            ]
            edges += [
                Edge(memory.id, EdgeKind.ABOUT, subject),
                Edge(memory.id, EdgeKind.ABOUT, object_),
                Edge(memory.id, EdgeKind.RESTS_ON, memory.evidence[0]),
            ]
            if fact["relation"] != "states":
                edges.append(Edge(subject, EdgeKind(fact["relation"]), object_))
        self._graph.upsert_nodes(nodes)
        self._graph.upsert_edges(edges)
        self._names = None


def concept_id(name: str) -> str:
    """Return the id of the concept of this name; spellings that differ in case or blanks are one."""
    return f"concept:{named(name)}"


def _memory(fact: Fact, tenant: str) -> Memory:
    said = fact.model_dump(include={"subject", "relation", "object"})
    return Memory(
        id=f"mem_{content_hash(('fact', tenant, fact.model_dump()), 32)}",
        type="fact",
        messages=(),
        reply=fact.quote,
        evidence=(fact.evidence,),
        tenant=tenant,
        reason=json.dumps(said, sort_keys=True),
    )


def _joined(note: Memory, fact: Memory) -> Memory:
    """Return both facts as one note."""
    evidence = tuple(dict.fromkeys((*note.evidence, *fact.evidence)))
    return note.model_copy(update={"reply": f"{note.reply}\n{fact.reply}", "evidence": evidence})


def _tree(critique: Critique) -> tuple[list[Node], list[Edge]]:
    """Return a critique's steps as nodes and edges. Where no step names a parent, each follows from the one before."""
    root = critique.id
    is_chain = all(step.parent is None for step in critique.steps)
    nodes = [Node(root, NodeKind.EVIDENCE, critique.method), Node(critique.trace_id, NodeKind.EVIDENCE)]
    edges = [Edge(root, EdgeKind.RESTS_ON, critique.trace_id)]
    for place, step in enumerate(critique.steps):
        said: dict[str, Scalar] = {"place": place, "name": step.name, "tokens": step.tokens, "score": step.score}
        nodes.append(Node(_step_id(root, place), NodeKind.STEP, step.output, said | {"error": step.error}))
        parent = place - 1 if is_chain else step.parent
        # A parent that comes later would close a circle, and one that is not there cannot be followed.
        known = parent is not None and 0 <= parent < place
        edges.append(Edge(_step_id(root, place), EdgeKind.FOLLOWS, _step_id(root, parent or 0) if known else root))
    return nodes, edges


def _step_id(critique_id: str, place: int) -> str:
    return f"{critique_id}/step/{place}"


def _within(name: Sequence[str], said: Sequence[str]) -> bool:
    """Tell whether the words of a name stand together in what was said."""
    return any(said[start : start + len(name)] == name for start in range(len(said) - len(name) + 1))
