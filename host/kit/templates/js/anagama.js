// What a plugin in JavaScript is written with.
//
// src/plugin.js exports by default what captioner() or tagFilter() made. Settings are described once, by int(), number(),
// bool(), text(), choice() or hostList(); in the methods `this` has the values that the user chose. What the host offers is
// imported from the contract in kit/wit, for example `import inference from "anagama:plugin/inference@0.1.0"`. What you throw
// by refuse() is an answer; any other exception ends the plugin's instance, and its message is what the user sees.

import control from "anagama:plugin/control@0.1.0";

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
  };
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
    outputs: [],
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
