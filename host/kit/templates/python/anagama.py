"""What a plugin in Python is written with.

A plugin is a class in src/plugin.py: a Captioner, DatasetSource, TagFilter, Evaluator or Node. Its settings are class attributes such as
`Int(100, 0, 255, "what it is for")`; in an object they are the values that the user chose. What the host offers stands in
the modules below, made from the contract in kit/wit: pictures are `images.Image`, models are under `inference`, and so on.
An exception that you raise by `refuse` is an answer; any other ends the plugin's instance, and the last line of its traceback
is what the user sees.
"""

import json
import math

import anagama_manifest
from componentize_py_types import Err, Ok
from wit_world.imports import control, files, generation, handles, http, images, inference, schema, storage, tensors, types
from wit_world.imports.images import Image, PixelFormat
from wit_world.imports.types import Annotation, ErrorKind, Tag

__all__ = [
    "Annotation", "Bool", "Captioner", "Choice", "DatasetSource", "ErrorKind", "Evaluator", "Float", "HostList", "Image", "Int",
    "Node", "PixelFormat", "Socket", "Tag", "TagFilter", "Text", "control", "drop", "files", "generation", "handles", "http",
    "images", "inference", "item", "list_all", "metric", "page", "refuse", "schema", "storage", "tagged", "tensors", "types",
]


def refuse(message, kind=ErrorKind.INVALID_INPUT):
    """Raises an error that the host shows as this plugin's answer."""
    raise Err(types.Error(kind, message, None, None))


def tagged(*names):
    """An annotation of tags without scores."""
    return Annotation(None, [Tag(name, None, None) for name in names], None)


def drop(reason):
    """The verdict that leaves a picture out."""
    from wit_world.exports import tag_filter

    return tag_filter.Verdict_Drop(reason)


def item(id, *, file=None, url=None, data=None, image=None, annotation=None, origin=None, license=None, digest=None):
    """A picture of a source: a file (folder, path), an address, the bytes of a file, or an image. The host reads the first two."""
    from wit_world.exports import dataset_source as wit

    media = [
        wit.Media_File(file) if file is not None else None,
        wit.Media_Url(url) if url is not None else None,
        wit.Media_Bytes(data) if data is not None else None,
        wit.Media_Image(image) if image is not None else None,
    ]
    given = [m for m in media if m is not None]
    if len(given) != 1:
        raise TypeError("an item is one of file, url, data and image")
    return wit.Item(id, given[0], annotation or tagged(), origin, license, digest)


def page(items, next=None, total=None):
    """Some items of a source; `next` is where the next page begins, or None at the end."""
    from wit_world.exports import dataset_source as wit

    return wit.Page(list(items), next, total)


def metric(name, description, low, high, *, higher_is_better=True, per_sample=True):
    """Something that an evaluator measures."""
    return (name, higher_is_better, float(low), float(high), per_sample, description)


def list_all(root, path):
    """All that is in a folder that the user granted."""
    found, more = [], True
    while more:
        part = files.list_dir(root, path, found[-1].path if found else None, 1000)
        found += part
        more = len(part) == 1000
    return found


# ---- settings ----


class _Setting:
    """One setting: a hint for the user, a widget for the menu, and which values are good."""

    required = False

    def __init__(self, hint):
        self.hint = hint

    def problem(self, value):
        return f"expected {self.expected()}, found {json.dumps(value)}"

    def input(self, name):
        return schema.Input(name, self.socket(), self.widget(), self.required, False, False, self.hint)


class Int(_Setting):
    def __init__(self, default, low, high, hint=None, step=1):
        super().__init__(hint)
        self.default, self.low, self.high, self.step = default, low, high, step

    def expected(self):
        return f"{self.low} to {self.high}"

    def value(self, given):
        number = _number(given, int)
        return int(number) if number is not None and self.low <= int(number) <= self.high else None

    def socket(self):
        return schema.Socket_Int()

    def widget(self):
        return schema.Widget_Int(schema.IntWidget(self.default, self.low, self.high, self.step, False))


class Float(_Setting):
    def __init__(self, default, low, high, hint=None, step=0.01):
        super().__init__(hint)
        self.default, self.low, self.high, self.step = default, low, high, step

    def expected(self):
        return f"{self.low} to {self.high}"

    def value(self, given):
        number = _number(given, float)
        return float(number) if number is not None and self.low <= number <= self.high else None

    def socket(self):
        return schema.Socket_Float()

    def widget(self):
        return schema.Widget_Float(schema.FloatWidget(self.default, self.low, self.high, self.step, None))


class Bool(_Setting):
    def __init__(self, default, hint=None):
        super().__init__(hint)
        self.default = default

    def expected(self):
        return "true or false"

    def value(self, given):
        return given if isinstance(given, bool) else None

    def socket(self):
        return schema.Socket_Boolean()

    def widget(self):
        return schema.Widget_Boolean(schema.BooleanWidget(self.default, None, None))


class Text(_Setting):
    def __init__(self, default="", hint=None, multiline=False):
        super().__init__(hint)
        self.default, self.multiline = default, multiline

    def expected(self):
        return "a text"

    def value(self, given):
        return given if isinstance(given, str) else None

    def socket(self):
        return schema.Socket_Text()

    def widget(self):
        return schema.Widget_Text(schema.TextWidget(self.default, self.multiline, None))


class Choice(_Setting):
    """One of several words; the first is the default."""

    def __init__(self, *options, hint=None):
        super().__init__(hint)
        self.options, self.default = list(options), options[0]

    def expected(self):
        return "one of " + ", ".join(self.options)

    def value(self, given):
        return given if given in self.options else None

    def socket(self):
        return schema.Socket_Text()

    def widget(self):
        return schema.Widget_Combo(schema.ComboWidget(self.options, self.default, False))


class HostList(Text):
    """A name from a list of the host's: "models/taggers", or "folder" and "file" for paths that the user grants."""

    required = True

    def __init__(self, list, hint=None):
        super().__init__("", hint)
        self.list = list

    def widget(self):
        return schema.Widget_HostList(self.list)


class Socket(_Setting):
    """An input of a node that is linked: "image", "mask", "latent", "tensor", "annotations" …, or another type by its name."""

    required = True

    def __init__(self, kind, hint=None, required=True):
        super().__init__(hint)
        self.kind, self.required, self.default = kind, required, None

    def socket(self):
        return _socket(self.kind)

    def widget(self):
        return schema.Widget_None_()


def _socket(kind):
    known = getattr(schema, "Socket_" + kind.capitalize(), None)
    return known() if known and kind != "named" else schema.Socket_Named(kind)


def _number(given, type):
    """A number, or a text that is one of this type, as workflows have them."""
    if isinstance(given, str):
        try:
            given = type(given)
        except ValueError:
            return None
    return given if isinstance(given, (int, float)) and math.isfinite(given) else None


# ---- kinds ----


class _Plugin:
    """What all kinds share."""

    id = anagama_manifest.ID
    title = ""
    category = "plugins"
    authors = []
    license = None
    #: Raise it when results change although the settings do not: the host then forgets its cache.
    revision = 0
    #: Equal inputs and seed give equal results, so the host may cache.
    deterministic = True
    outputs = {}
    _settings = {}

    def __init_subclass__(cls):
        own = {name: value for name, value in vars(cls).items() if isinstance(value, _Setting)}
        cls._settings = {**cls._settings, **own}

    def start(self):
        """Called once with the settings in place. Load models here."""

    @classmethod
    def _open(cls, config):
        given, problems, new = json.loads(config), [], cls()
        if not isinstance(given, dict):
            refuse(f"settings: expected a JSON object, found {config}")
        for name in given:
            if name not in cls._settings:
                problems.append(f"`{name}`: unknown setting; known are {', '.join(cls._settings) or 'none'}")
        for name, setting in cls._settings.items():
            if name in given:
                value = setting.value(given[name])
                if value is None:
                    problems.append(f"`{name}`: {setting.problem(given[name])}")
            else:
                value = setting.default
                if setting.required:
                    problems.append(f"`{name}`: required input is missing")
            setattr(new, name, value)
        if problems:
            refuse("settings: " + "; ".join(problems))
        new.start()
        return new

    @classmethod
    def _node(cls, role):
        return schema.Node(
            id=cls.id,
            role=role,
            display_name=cls.title or cls.__name__,
            category=cls.category,
            description=(cls.__doc__ or "").strip(),
            inputs=[setting.input(name) for name, setting in cls._settings.items()],
            outputs=[schema.Output(name, _socket(kind), False, None) for name, kind in cls.outputs.items()],
            output_node=False,
            deterministic=cls.deterministic,
            revision=cls.revision,
            experimental=False,
            deprecated=False,
            aliases=[],
            strict=True,
            behaviour=schema.Behaviour(False, False, [], [], None, False, False, 0, False),
        )


class Captioner(_Plugin):
    """Pictures in, captions and tags out. Write `caption`."""

    #: Largest batch that it profits from; 1: no batching.
    batch = 1

    def caption(self, image, known):
        """The annotation of one picture; `known` is what is known of it already."""
        raise NotImplementedError

    def caption_all(self, batch):
        """One answer for each request, in order: an error of one is no error of the others."""
        return [self._one(request) for request in batch]

    def _one(self, request):
        with request.image as image:
            try:
                return Ok(self.caption(image, request.known))
            except Err as refusal:
                return refusal


class TagFilter(_Plugin):
    """Rewrites annotations, or leaves pictures out. Write `apply`."""

    #: 1: `apply` alone. 2: `observe` sees every picture first.
    passes = 1

    def observe(self, request):
        """Sees a request (id, subset, annotation) before anything is applied."""

    def apply(self, request):
        """The annotation to go on with, or `drop("why")`."""
        raise NotImplementedError


class DatasetSource(_Plugin):
    """Where pictures come from, page by page. Write `page`."""

    def page(self, after, limit):
        """What `page()` makes: at most `limit` items after a position that an earlier page named, None at the start. Another
        instance may go on from there."""
        raise NotImplementedError


class Evaluator(_Plugin):
    """Scores pictures, one by one and as a set. Write `add` and, for metrics of the whole set, `finish`."""

    #: What it measures: a list of `metric()`s.
    metrics = []

    def reference(self, image):
        """Sees each picture of the data set before the first `add`."""

    def add(self, sample):
        """Scores by metric of a sample (id, image, prompt, reference, seed, extra)."""
        return {}

    def finish(self):
        """Scores by metric of the whole set; afterwards it starts anew."""
        return {}


class Node(_Plugin):
    """Any other node. Its inputs are its settings and `Socket`s; write `run`, which finds them as attributes."""

    #: Types of the outputs by name: {"image": "image"}.
    outputs = {}

    def run(self):
        """The outputs by name: numbers, texts, images, tensors, annotations, handles or None."""
        raise NotImplementedError


# ---- what the host calls ----


def glue(plugin):
    """The classes that the component exports, made from those in a module."""
    kinds = {
        Captioner: (schema.Role.CAPTIONER, "Captioner", _captioner),
        DatasetSource: (schema.Role.DATASET_SOURCE, "DatasetSource", _dataset_source),
        TagFilter: (schema.Role.TAG_FILTER, "TagFilter", _tag_filter),
        Evaluator: (schema.Role.EVALUATOR, "Evaluator", _evaluator),
        Node: (schema.Role.NODE, "Node", _run_node),
    }
    parts = []
    for value in vars(plugin).values():
        for kind, (role, name, make) in kinds.items():
            if isinstance(value, type) and issubclass(value, kind) and value is not kind:
                parts.append((value, role, name, make))
    if not parts:
        raise TypeError("src/plugin.py has no class of a plugin kind: " + ", ".join(kind.__name__ for kind in kinds))
    made = {name: make(part) for part, _, name, make in parts}
    return {"Describe": _describe([(part, role) for part, role, _, _ in parts]), **made}


def _describe(parts):
    first = parts[0][0]

    class Describe:
        def describe(self):
            nodes = [part._node(role) for part, role in parts]
            return schema.Info(
                anagama_manifest.ID, anagama_manifest.VERSION, nodes[0].display_name, nodes[0].description,
                list(first.authors), first.license, nodes, None,
            )

    return Describe


def _captioner(part):
    class Glue:
        def open(self, config):
            global _captioner_object
            _captioner_object = part._open(config)

        def max_batch(self):
            return _captioner_object.batch

        def caption(self, batch):
            return _captioner_object.caption_all(batch)

    return Glue


def _tag_filter(part):
    from wit_world.exports import tag_filter as wit

    class Glue:
        def open(self, config):
            global _filter_object
            _filter_object = part._open(config)

        def passes(self):
            return _filter_object.passes

        def observe(self, batch):
            for request in batch:
                _filter_object.observe(request)

        def apply(self, batch):
            answers = [_filter_object.apply(request) for request in batch]
            return [wit.Verdict_Keep(a) if isinstance(a, Annotation) else a for a in answers]

    return Glue


def _dataset_source(part):
    class Glue:
        def open(self, config):
            global _source_object
            _source_object = part._open(config)

        def next_page(self, from_, max_items):
            return _source_object.page(from_, max(max_items, 1))

    return Glue


def _evaluator(part):
    from wit_world.exports import evaluator as wit

    def scores(by_name):
        return [wit.Score(name, float(value)) for name, value in by_name.items()]

    class Glue:
        def open(self, config):
            global _evaluator_object
            _evaluator_object = part._open(config)
            return [wit.Metric(*metric) for metric in _evaluator_object.metrics]

        def reference(self, batch):
            for image in batch:
                with image:
                    _evaluator_object.reference(image)

        def add(self, batch):
            return [scores(_evaluator_object.add(sample)) for sample in batch]

        def finish(self):
            return scores(_evaluator_object.finish())

    return Glue


def _run_node(part):
    from wit_world.exports import node as wit

    def inner(value):
        return json.loads(value.value) if isinstance(value, wit.Value_Json) else getattr(value, "value", None)

    kinds = [
        (bool, wit.Value_Boolean), (int, wit.Value_Int), (float, wit.Value_Float), (str, wit.Value_Text), (Image, wit.Value_Image),
        (tensors.Tensor, wit.Value_Tensor), (Annotation, wit.Value_Annotation), (handles.Handle, wit.Value_Handle),
    ]

    def outer(value):
        if value is None:
            return wit.Value_None_()
        for kind, case in kinds:
            if isinstance(value, kind):
                return case(value)
        return wit.Value_Json(json.dumps(value))

    class Glue:
        def run(self, node, place, inputs):
            given, object, problems = dict(inputs), part(), []
            for name, setting in part._settings.items():
                values = given.get(name)
                value = inner(values[0]) if values else setting.default
                if values and not isinstance(setting, Socket) and (value := setting.value(value)) is None:
                    problems.append(f"`{name}`: {setting.problem(inner(values[0]))}")
                setattr(object, name, value)
            if problems:
                refuse("; ".join(problems))
            object.start()
            answer = object.run()
            outputs = [float(answer[name]) if kind == "float" else answer[name] for name, kind in part.outputs.items()]
            return wit.Returned([wit.Feed_Values([outer(value)]) for value in outputs], [], None)

        def check_lazy(self, node, place, inputs):
            return []

        def validate(self, node, inputs, types):
            return wit.Verdict_Accepted()

        def fingerprint(self, node, place, inputs):
            return None

    return Glue
