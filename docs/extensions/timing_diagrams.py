"""Timing diagrams: recordings of scenes as WaveJSON, drawn as SVG when the site is built."""

import inspect
import json
from pathlib import Path

import wavedrom
from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from timing_scenes import SCENES, record

from pagewalk.hdl import mmu
from pagewalk.hdl.shapes import InvalidateOp, MemoryOp
from pagewalk.model.x86 import Entry

COLOURS = {"req": "3", "rsp": "5", "invalidate": "4"}
"""WaveDrom's codes of coloured boxes: what is asked, what is answered, what is invalidated."""


def wavejson(recording):
    """Return a recording as WaveJSON: a group for each port, and the events that happen."""
    scene = recording.scene
    signals = [{"name": "clk", "wave": "p" + "." * (len(recording.rows) - 1)}]
    for port in scene.ports:
        signals += [{}, [port, *stream(recording, f"{port}.req", request_label),
                         *stream(recording, f"{port}.rsp", response_label, ready=False)]]
    if scene.config.get("invalidation") == "pulse":
        signals += [{}, ["invalidate", bit(recording, "invalidate.strobe"),
                         payload(recording, "invalidate", operation_label, valid="strobe"),
                         bit(recording, "invalidate_busy")]]
    elif "invalidate" in scene.script:
        signals += [{}, ["invalidate", *stream(recording, "invalidate", operation_label)]]
    if recording.transfers("memory.req"):
        signals += [{}, ["memory", *stream(recording, "memory.req", access_label, ready=False),
                         *stream(recording, "memory.rsp", entry_label, ready=False)]]
    names = [name for name in recording.rows[0] if name.startswith("events.")]
    events = [bit(recording, name) for name in names if any(row[name] for row in recording.rows)]
    signals += [{}, ["events", *events]]
    return {"signal": signals, "config": {"hscale": 2}, "head": {"tick": 0}}


def stream(recording, name, label, *, ready=True):
    """Return the rows of a stream: valid, ready if it is of interest, and the payload."""
    rows = [bit(recording, f"{name}.valid")]
    rows += [bit(recording, f"{name}.ready")] if ready else []
    return [*rows, payload(recording, name, label)]


def bit(recording, name):
    """Return the wave of one bit."""
    values = [row[name] for row in recording.rows]
    wave = "".join("." if cycle and value == values[cycle - 1] else str(value)
                   for cycle, value in enumerate(values))
    return {"name": name.removeprefix("events."), "wave": wave}


def payload(recording, name, label, valid="valid"):
    """Return the wave of a payload: a box for each transfer, nothing where there is none."""
    wave, texts, held = "", [], False
    colour = next(code for part, code in COLOURS.items() if name.endswith(part))
    for cycle, row in enumerate(recording.rows):
        is_valid, ready = row[f"{name}.{valid}"], row.get(f"{name}.ready", 1)
        if is_valid and not held:
            wave += colour
            texts.append(label(recording, row[f"{name}.payload"]))
        elif not is_valid and (not cycle or wave.rstrip(".")[-1:] != "x"):
            wave += "x"
        else:
            wave += "."
        held = is_valid and not ready
    return {"name": name, "wave": wave, "data": texts}


def request_label(recording, request):
    """Return the kind and the address of a request."""
    size = f", {request['size']} bytes" if request.get("size") else ""
    return f"{'RWF'[request['kind']]} {request['vaddr']:#x}{size}"


def response_label(recording, response):
    """Return the address of an answer, or its error code."""
    if response["fault"]:
        return f"fault {response['error_code']:#x}"
    second = response.get("second", {"paddr": 0})["paddr"]
    return f"{response['paddr']:#x}{f', {second:#x}' if second else ''}"


def operation_label(recording, operation):
    """Return the name of an invalidating operation."""
    return InvalidateOp(operation["op"]).name


def access_label(recording, request):
    """Return the level of the entry, and the flags that an update sets in it."""
    level = recording.levels[request["address"]]
    if request["op"] == MemoryOp.READ.value:
        return level
    changed = request["expected"] ^ request["desired"]
    flags = [name for name, flag in (("A", Entry.A), ("D", Entry.D)) if changed & flag]
    return f"{level}: {', '.join(flags)}"


def entry_label(recording, response):
    """Return the entry as it was."""
    return "exchanged" if response["exchanged"] else f"{response['data']:#x}"


def caption(recording):
    """Return in words what was measured: when each request was accepted and answered."""
    parts = []
    for port in recording.scene.ports:
        parts += [f"accepted in cycle {start}, answered in cycle {end}"
                  for start, end in recording.accesses(port)]
    return f"Recorded: {'; '.join(parts)}."


class TimingContract(SphinxDirective):
    """What the docstring of the MMU promises, up to its parameters, as a quotation."""

    def run(self):
        """Return the nodes in place of the directive."""
        self.env.note_dependency(mmu.__file__)
        promise, *_ = inspect.getdoc(mmu.Mmu).split("\nParameters\n")
        return [nodes.block_quote("", *self.parse_text_to_nodes(promise))]


class Diagram(nodes.General, nodes.Element):
    """A diagram in the tree of a page: ``name`` and ``svg``."""


class TimingDiagram(SphinxDirective):
    """The diagram of the scene that is the argument."""

    required_arguments = 1

    def run(self):
        """Return the nodes in place of the directive."""
        for source in [Path(__file__), *Path(mmu.__file__).parent.glob("*.py")]:
            self.env.note_dependency(str(source))
        name = self.arguments[0]
        recording = record(SCENES[name])
        drawing = wavedrom.render(json.dumps(wavejson(recording)))
        text = caption(recording)
        return [Diagram(name=name, svg=drawing.tostring(), caption=text),
                nodes.paragraph("", "", nodes.emphasis("", text))]


def visit(self, node):
    """Write the drawing beside the images of the site and show it."""
    folder = Path(self.builder.outdir) / self.builder.imagedir
    folder.mkdir(exist_ok=True)
    (folder / f"timing-{node['name']}.svg").write_text(node["svg"], encoding="utf-8")
    source = f"{self.builder.imgpath}/timing-{node['name']}.svg"
    self.body.append(f'<div class="timing"><img src="{source}" alt="{node["caption"]}"></div>')
    raise nodes.SkipNode


def skip(self, node):
    """Show nothing, where there are no pictures."""
    raise nodes.SkipNode


def setup(app):
    """Register with Sphinx."""
    app.add_node(Diagram, html=(visit, None), text=(skip, None))
    app.add_directive("timing-contract", TimingContract)
    app.add_directive("timing-diagram", TimingDiagram)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
