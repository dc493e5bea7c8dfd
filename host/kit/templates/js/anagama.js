// What a plugin in JavaScript is written with.
//
// src/plugin.js exports by default what captioner(), datasetSource(), tagFilter(), evaluator() or node() made. Settings are
// described once, by int(), number(), bool(), text(), choice(), hostList() or socket(); in the methods `this` has the values that the user chose. What the host offers is
// imported from the contract in kit/wit, for example `import inference from "anagama:plugin/inference@0.1.0"`. What you throw
// by refuse() is an answer; any other exception ends the plugin's instance, and its message is what the user sees.

import control from "anagama:plugin/control@0.1.0";
import files from "anagama:plugin/files@0.1.0";
import handles from "anagama:plugin/handles@0.1.0";
import images from "anagama:plugin/images@0.1.0";
import tensors from "anagama:plugin/tensors@0.1.0";

/** Throws an error that the host shows as this plugin's answer. */
export function refuse(message, kind = "invalid-input") {
  throw { kind, message, retryAfterMs: null, extra: null };
}

/** An annotation of tags without scores. */
export function tagged(...names) {
  return { text: null, tags: names.map((name) => ({ name, score: null, category: null })), extra: null };
}

/** The verdict that leaves a picture out. */
export function drop(reason) {
  return { tag: "drop", val: reason };
}

/** A picture of a source: a file `[folder, path]`, an address, the bytes of a file or an image. The host reads the first two. */
export function item(id, { file, url, bytes, image, annotation = tagged(), origin = null, license = null, digest = null }) {
  const media = Object.entries({ file, url, bytes, image }).filter(([, val]) => val !== undefined);
  if (media.length !== 1) throw new TypeError("an item is one of file, url, bytes and image");
  const [[tag, val]] = media;
  return { id, media: { tag, val }, annotation, origin, license, digest };
}

/** All that is in a folder that the user granted. */
export function listAll(root, path) {
  const found = [];
  for (let more = true; more; ) {
    const part = files.listDir(root, path, found.at(-1)?.path ?? null, 1000);
    found.push(...part);
    more = part.length === 1000;
  }
  return found;
}

// ---- settings ----

const within = (low, high) => (n) => low <= n && n <= high;

export function int(fallback, { min, max, step = 1, hint = null }) {
  return {
    fallback,
    hint,
    expected: `${min} to ${max}`,
    value: (given) => checked(numeric(given, /^\s*[+-]?\d+\s*$/), (n) => Math.trunc(n), within(min, max)),
    socket: { tag: "int" },
    widget: { tag: "int", val: { default: fallback, min, max, step, seedControl: false } },
  };
}

export function number(fallback, { min, max, step = 0.01, hint = null }) {
  return {
    fallback,
    hint,
    expected: `${min} to ${max}`,
    value: (given) => checked(numeric(given, /./), (n) => n, within(min, max)),
    socket: { tag: "float" },
    widget: { tag: "float", val: { default: fallback, min, max, step, round: null } },
  };
}

export function bool(fallback, { hint = null } = {}) {
  return {
    fallback,
    hint,
    expected: "true or false",
    value: (given) => (typeof given === "boolean" ? given : undefined),
    socket: { tag: "boolean" },
    widget: { tag: "boolean", val: { default: fallback, labelOn: null, labelOff: null } },
  };
}

export function text(fallback = "", { hint = null, multiline = false } = {}) {
  return {
    fallback,
    hint,
    expected: "a text",
    value: (given) => (typeof given === "string" ? given : undefined),
    socket: { tag: "text" },
    widget: { tag: "text", val: { default: fallback, multiline, placeholder: null } },
  };
}

/** One of several words; the first is the default. */
export function choice(options, { hint = null } = {}) {
  return {
    fallback: options[0],
    hint,
    expected: `one of ${options.join(", ")}`,
    value: (given) => (options.includes(given) ? given : undefined),
    socket: { tag: "text" },
    widget: { tag: "combo", val: { options, default: options[0], multiselect: false } },
  };
}

/** A name from a list of the host's: "models/taggers", or "folder" and "file" for paths that the user grants. */
export function hostList(list, { hint = null } = {}) {
  return { ...text("", { hint }), required: true, widget: { tag: "host-list", val: list } };
}

/** An input of a node that is linked: "image", "mask", "tensor", "annotations" …, or another type by its name. */
export function socket(kind, { hint = null, required = true } = {}) {
  return { fallback: null, hint, required, linked: true, socket: socketType(kind), widget: { tag: "none" } };
}

const SOCKETS =
  "int float boolean text json image mask latent conditioning model clip vae tensor dataset annotations scores any".split(" ");

function socketType(kind) {
  return SOCKETS.includes(kind) ? { tag: kind } : { tag: "named", val: kind };
}

/** A number, or a text that looks like one, as workflows have them. */
function numeric(given, pattern) {
  if (typeof given === "string" && pattern.test(given)) given = Number(given);
  if (typeof given === "boolean") given = Number(given);
  return typeof given === "number" && Number.isFinite(given) ? given : undefined;
}

function checked(value, change, good) {
  if (value === undefined) return undefined;
  const changed = change(value);
  return good(changed) ? changed : undefined;
}

// ---- kinds ----

/** Pictures in, captions and tags out: `caption(image, known)` gives the annotation of one picture. */
export function captioner(plugin) {
  return { role: "captioner", batch: 1, ...plugin };
}

/** Rewrites annotations: `apply(request)` gives the annotation to go on with, or drop("why"); with `passes: 2`,
 * `observe(request)` sees every picture first. A request has an id, a subset and an annotation. */
export function tagFilter(plugin) {
  return { role: "tag-filter", passes: 1, ...plugin };
}

/** Where pictures come from: `page(after, limit)` gives `{ items, next, total }`, at most `limit` items after a position that an
 * earlier page named as its `next`, null at the start; another instance may go on from there. */
export function datasetSource(plugin) {
  return { role: "dataset-source", ...plugin };
}

/** Scores pictures: `metrics` are `{ name, description, low, high, higherIsBetter = true, perSample = true }`; `add(sample)` and
 * `finish()` give scores by metric, of one picture and of the whole set; `reference(image)` sees the data set first. */
export function evaluator(plugin) {
  return { role: "evaluator", ...plugin };
}

/** Any other node: `outputs` are types by name, and `run()` gives the values by name. Inputs are settings and socket()s. */
export function node(plugin) {
  return { role: "node", ...plugin };
}

// ---- what the host calls ----

/** The interfaces that the component exports. */
export function glue(plugin, id, version) {
  let object;
  const open = (config) => {
    object = opened(plugin, config);
  };
  return {
    describe: told({ describe: () => described(plugin, id, version) }),
    captioner: told({
      open,
      maxBatch: () => object.batch,
      caption: (batch) => batch.map((request) => one(object, request)),
    }),
    tagFilter: told({
      open,
      passes: () => object.passes,
      observe: (batch) => batch.forEach((request) => object.observe?.(request)),
      apply: (batch) => batch.map((request) => verdict(object.apply(request))),
    }),
    datasetSource: told({
      open,
      nextPage: (after, limit) => ({ next: null, total: null, ...object.page(after, Math.max(limit, 1)) }),
    }),
    evaluator: told({
      open(config) {
        open(config);
        return object.metrics.map((metric) => ({ higherIsBetter: true, perSample: true, ...metric }));
      },
      reference: (batch) => batch.forEach((image) => lent(image, () => object.reference?.(image))),
      add: (batch) => batch.map((sample) => lent(sample.image, () => scores(object.add(sample)))),
      finish: () => scores(object.finish?.() ?? {}),
    }),
    node: told({
      run: (name, place, inputs) => ran(plugin, Object.fromEntries(inputs)),
      checkLazy: () => [],
      validate: () => ({ tag: "accepted" }),
      fingerprint: () => null,
    }),
  };
}

function lent(image, use) {
  try {
    return use();
  } finally {
    image[Symbol.dispose]();
  }
}

function scores(byName) {
  return Object.entries(byName).map(([metric, value]) => ({ metric, value }));
}

function ran(plugin, given) {
  const object = Object.create(plugin);
  const problems = [];
  for (const [name, setting] of Object.entries(plugin.settings ?? {})) {
    const value = given[name]?.length ? inner(given[name][0]) : setting.fallback;
    object[name] = given[name]?.length && !setting.linked ? setting.value(value) : value;
    if (object[name] === undefined) problems.push(`\`${name}\`: expected ${setting.expected}, found ${JSON.stringify(value)}`);
  }
  if (problems.length) refuse(problems.join("; "));
  object.start?.();
  const answer = object.run();
  const values = ([name, kind]) => ({ tag: "values", val: [outer(answer[name], kind)] });
  const outputs = Object.entries(plugin.outputs ?? {}).map(values);
  return { outputs, nodes: [], ui: null };
}

function inner({ tag, val }) {
  return tag === "none" ? null : tag === "json" ? JSON.parse(val) : val;
}

function outer(value, kind) {
  if (value === null || value === undefined) return { tag: "none" };
  if (typeof value === "boolean") return { tag: "boolean", val: value };
  if (typeof value === "number") return { tag: kind === "int" ? "int" : "float", val: value };
  if (typeof value === "string") return { tag: "text", val: value };
  if (value instanceof images.Image) return { tag: "image", val: value };
  if (value instanceof tensors.Tensor) return { tag: "tensor", val: value };
  if (value instanceof handles.Handle) return { tag: "handle", val: value };
  if (Array.isArray(value.tags)) return { tag: "annotation", val: value };
  return { tag: "json", val: JSON.stringify(value) };
}

/** The same functions; an exception that is no answer is told to the user, with its place. */
function told(functions) {
  const telling = (f) => (given, ...more) => {
    try {
      return f(given, ...more);
    } catch (e) {
      if (e instanceof Error) control.log("error", `${e.name}: ${e.message} (${(e.stack ?? "").trim().split("\n")[0]})`);
      throw e;
    }
  };
  return Object.fromEntries(Object.entries(functions).map(([name, f]) => [name, telling(f)]));
}

function opened(plugin, config) {
  const known = plugin.settings ?? {};
  const given = JSON.parse(config);
  const problems = Object.keys(given)
    .filter((name) => !Object.hasOwn(known, name))
    .map((name) => `\`${name}\`: unknown setting; known are ${Object.keys(known).join(", ") || "none"}`);
  const object = Object.create(plugin);
  for (const [name, setting] of Object.entries(known)) {
    object[name] = setting.fallback;
    if (Object.hasOwn(given, name)) {
      object[name] = setting.value(given[name]);
      if (object[name] === undefined) {
        problems.push(`\`${name}\`: expected ${setting.expected}, found ${JSON.stringify(given[name])}`);
      }
    } else if (setting.required) {
      problems.push(`\`${name}\`: required input is missing`);
    }
  }
  if (problems.length) refuse(`settings: ${problems.join("; ")}`);
  object.start?.();
  return object;
}

function one(object, { image, known }) {
  try {
    return { tag: "ok", val: object.caption(image, known) };
  } catch (e) {
    const refusal = e?.payload ?? e;
    if (typeof refusal?.kind === "string") return { tag: "err", val: refusal };
    throw e;
  } finally {
    image[Symbol.dispose]();
  }
}

function verdict(answer) {
  return answer.tag ? answer : { tag: "keep", val: answer };
}

function described(plugin, id, version) {
  const { title = id, description = "", authors = [], license = null } = plugin;
  const input = ([name, setting]) => ({
    name,
    socket: setting.socket,
    widget: setting.widget,
    required: setting.required ?? false,
    isList: false,
    lazy: false,
    tooltip: setting.hint,
  });
  const node = {
    id,
    role: plugin.role,
    displayName: title,
    category: plugin.category ?? "plugins",
    description,
    inputs: Object.entries(plugin.settings ?? {}).map(input),
    outputs: Object.entries(plugin.outputs ?? {}).map(([output, kind]) => ({
      name: output,
      socket: socketType(kind),
      isList: false,
      tooltip: null,
    })),
    outputNode: false,
    // Equal inputs and seed give equal results, so the host may cache.
    deterministic: plugin.deterministic ?? true,
    // Raise it when results change although the settings do not: the host then forgets its cache.
    revision: plugin.revision ?? 0,
    experimental: false,
    deprecated: false,
    aliases: [],
    strict: true,
    behaviour: {
      takesLists: false,
      variadic: false,
      hidden: [],
      rawLinks: [],
      validates: null,
      fingerprints: false,
      asynchronous: false,
      concurrency: 0,
      memoryOnly: false,
    },
  };
  return { id, version, title, description, authors, license, nodes: [node], configSchema: null };
}
