// Drives ComfyUI's own front end in headless Chromium against `anagama serve`, and prints what worked.
//
//     node tests/peers/browser/e2e.mjs --front-end DIR [--templates DIR] [--program target/debug/anagama] [--shots DIR]
//
// Needs Debian's chromium and playwright-core (npm install playwright-core, in any folder named by --modules).
// Prints SKIPPED and ends with 0 where one of them is absent.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
const option = (name, usual) => {
  const at = process.argv.indexOf(`--${name}`);
  return at > 0 ? process.argv[at + 1] : usual;
};
const skip = (why) => { console.log(`SKIPPED: browser: ${why}`); process.exit(0); };
const chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((p) => fs.existsSync(p));
const frontEnd = option("front-end");
const modules = option("modules", path.join(os.tmpdir(), "anagama-clients/npm"));
if (!chromium) skip("chromium is not here");
if (!frontEnd) skip("no --front-end");
let playwright;
try {
  playwright = createRequire(path.join(modules, "package.json"))("playwright-core");
} catch {
  skip(`playwright-core is not in ${modules}`);
}
const shots = option("shots", fs.mkdtempSync(path.join(os.tmpdir(), "anagama-shots-")));
fs.mkdirSync(shots, { recursive: true });
const base = fs.mkdtempSync(path.join(os.tmpdir(), "anagama-e2e-"));
const port = Number(option("port", 8733));

let server;
const start = () =>
  new Promise((resolve, reject) => {
    const log = fs.openSync(path.join(base, "log"), "a");
    const args = ["serve", "--port", port, "--base-directory", base, "--store", path.join(base, "store"),
      "--front-end", frontEnd, "--config", path.join(root, "examples/anagama.toml")];
    if (option("templates")) args.push("--templates", option("templates"));
    const program = path.resolve(option("program", path.join(root, "target/debug/anagama")));
    server = spawn(program, args.map(String), { stdio: ["ignore", "pipe", log], env: { ...process.env, HOME: base } });
    server.stdout.once("data", resolve);
    server.once("exit", () => reject(new Error(fs.readFileSync(path.join(base, "log"), "utf8"))));
  });

const link = (type, links) => ({ name: type, type, links });
const node = (id, type, widgets_values, inputs, outputs) => ({
  id, type, pos: [60 + 330 * (id - 1), 120], size: [300, 200], flags: {}, order: id - 1, mode: 0, inputs, outputs,
  properties: { "Node name for S&R": type }, widgets_values,
});
const graph = (width = 64, color = 1234567) => ({
  id: "5f1f2f3c-0000-4000-8000-000000000002", revision: 0, last_node_id: 3, last_link_id: 2,
  nodes: [
    node(1, "EmptyImage", [width, 64, 1, color], [], [link("IMAGE", [1])]),
    node(2, "ImageInvert", [], [{ name: "image", type: "IMAGE", link: 1 }], [link("IMAGE", [2])]),
    node(3, "PreviewImage", [], [{ name: "images", type: "IMAGE", link: 2 }], []),
  ],
  links: [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"]], groups: [], config: {}, extra: {}, version: 0.4,
});

const rows = [];
let page;
const check = async (what, work) => {
  try {
    const found = await work();
    rows.push([what, "pass", String(found ?? "")]);
  } catch (error) {
    rows.push([what, "FAIL", String(error.message ?? error).split("\n")[0].slice(0, 900)]);
  }
  if (page) await page.screenshot({ path: path.join(shots, `${String(rows.length).padStart(2, "0")}.png`) }).catch(() => {});
};
const must = (good, why) => { if (!good) throw new Error(why); };
const ready = () => page.waitForFunction(() => window.app?.graph && window.LiteGraph && Object.keys(window.LiteGraph.registered_node_types).length > 50, null, { timeout: 120000 });
const load = (workflow) => page.evaluate((w) => window.app.loadGraphData(w), workflow);
const queue = () => page.evaluate(() => window.app.queuePrompt(0, 1));
const picture = () => page.waitForFunction(() => window.app.graph.getNodeById(3)?.imgs?.length > 0 || window.app.nodeOutputs?.["3"]?.images?.length > 0, null, { timeout: 60000 });

await start();
const browser = await playwright.chromium.launch({ executablePath: chromium, args: ["--no-sandbox", "--enable-unsafe-swiftshader"] });
const errors = [], missing = [];
try {
  page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  page.on("console", (m) => { if (m.type() === "error") errors.push(m.text()); });
  page.on("pageerror", (e) => errors.push(`page: ${e.message}`));
  page.on("response", (r) => { if (r.status() >= 400) missing.push(`${r.status()} ${new URL(r.url()).pathname}`); });
  const began = Date.now();
  await check("boots", async () => {
    await page.goto(`http://127.0.0.1:${port}/`);
    await ready();
    return `${((Date.now() - began) / 1000).toFixed(1)} s`;
  });
  await page.waitForTimeout(3000);
  await check("no error in the console at boot", () => {
    // The browser itself writes a line for each answer of 400 and more: files that a new user does not have yet.
    const own = errors.filter((e) => !/Failed to load resource|Failed to fetch: 404/.test(e));
    must(own.length === 0, `${own.join(" | ")}; answers of 400 and more: ${[...new Set(missing)].join(", ")}`);
    return `answers of 400 and more: ${[...new Set(missing)].join(", ") || "none"}`;
  });
  await check("shows our nodes", async () => {
    const names = await page.evaluate(() => Object.keys(window.LiteGraph.registered_node_types));
    for (const name of ["KSampler", "EmptyImage", "TrainLora", "PreviewImage"]) must(names.includes(name), `${name} is missing`);
    return `${names.length} types`;
  });
  await check("loads a template", async () => {
    must(option("templates"), "no --templates");
    const found = await page.evaluate(async () => {
      const index = await (await fetch("/templates/index.json")).json();
      const all = index.flatMap((m) => m.templates ?? []).map((t) => t.name);
      for (const name of all) {
        const workflow = await (await fetch(`/templates/${name}.json`)).json();
        const types = (workflow.nodes ?? []).map((n) => n.type);
        if (!types.includes("KSampler") || !types.every((t) => window.LiteGraph.registered_node_types[t])) continue;
        await window.app.loadGraphData(workflow);
        return { name, nodes: window.app.graph._nodes.length, of: all.length };
      }
      return { of: all.length };
    });
    must(found.name, `none of ${found.of} has only our nodes`);
    return `${found.name}, ${found.nodes} nodes, one of ${found.of}`;
  });
  await page.keyboard.press("Escape");
  await check("queues and shows the image", async () => {
    await load(graph());
    await queue();
    await picture();
    await page.waitForTimeout(1000);
    return "PreviewImage shows it";
  });
  await check("shows progress and previews of a sampler", async () => {
    const workflow = JSON.parse(fs.readFileSync(path.join(root, "examples/sample/workflow.json"), "utf8"));
    const told = await page.evaluate(async (prompt) => {
      const seen = { progress: 0, b_preview: 0, progress_state: 0, executed: 0 };
      for (const kind of Object.keys(seen)) window.app.api.addEventListener(kind, () => { seen[kind] += 1; });
      const end = new Promise((resolve) => {
        window.app.api.addEventListener("execution_success", () => resolve("success"));
        window.app.api.addEventListener("execution_error", (e) => resolve(e.detail.exception_message));
        setTimeout(() => resolve("no end"), 120000);
      });
      const answer = await window.app.api.fetchApi("/prompt", {
        method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ prompt, client_id: window.app.api.clientId }),
      });
      if (!answer.ok) return { end: await answer.text() };
      return { ...seen, end: await end, seen };
    }, workflow);
    must(told.end === "success", told.end);
    must(told.seen.progress > 0, JSON.stringify(told.seen));
    return JSON.stringify(told.seen);
  });
  await check("shows an error for a bad value", async () => {
    await load(graph(999999));
    await page.evaluate(() => { window.app.graph.getNodeById(1).widgets[0].value = 999999; });
    await queue().catch(() => {});
    await page.waitForTimeout(1500);
    const text = await page.evaluate(() => document.body.innerText);
    must(/maximum|bigger than|out of range|width/i.test(text), "nothing is shown");
    return text.match(/[^\n]*(maximum|bigger than max|out of range)[^\n]*/i)?.[0] ?? "shown";
  });
  await page.keyboard.press("Escape");
  await check("shows the queue and what is done", async () => {
    const asked = page.waitForResponse((r) => r.url().includes("/api/jobs") && r.status() === 200, { timeout: 20000 });
    await load(graph(64, 7654321));
    await queue();
    await asked;
    await picture();
    await page.waitForTimeout(1500);
    const opened = await page.evaluate(() => {
      const button = [...document.querySelectorAll("button")].find((b) => /job history|queue-overlay|job queue|view job/i.test(`${b.ariaLabel} ${b.title} ${b.dataset.testid} ${b.innerText}`));
      button?.click();
      return button ? (button.ariaLabel ?? button.innerText) : null;
    });
    await page.waitForTimeout(2000);
    const jobs = await page.evaluate(async () => (await (await fetch("/api/jobs?limit=5")).json()).jobs.map((j) => j.status));
    must(jobs.includes("completed"), jobs.join());
    return `jobs ${jobs.join(", ")}; opened: ${opened}`;
  });
  await page.keyboard.press("Escape");
  await check("survives a restart of the server", async () => {
    server.removeAllListeners("exit");
    server.kill("SIGKILL");
    await new Promise((resolve) => server.once("close", resolve));
    await page.waitForTimeout(1500);
    await start();
    await page.waitForFunction(() => window.app.api.socket?.readyState === 1, null, { timeout: 30000 });
    await load(graph(64, 424242));
    await queue();
    await picture();
    const jobs = await page.evaluate(async () => (await (await fetch("/api/jobs")).json()).pagination.total);
    must(jobs >= 4, `${jobs} jobs are remembered`);
    return `${jobs} jobs are remembered, and the next one ran`;
  });
  await check("our own page shows the same", async () => {
    const own = [];
    const second = await browser.newPage({ viewport: { width: 1000, height: 800 }, colorScheme: "dark" });
    second.on("console", (m) => { if (m.type() === "error") own.push(m.text()); });
    await second.goto(`http://127.0.0.1:${port}/anagama`);
    await second.waitForFunction(() => document.querySelectorAll("#results figure").length > 2, null, { timeout: 20000 });
    await second.screenshot({ path: path.join(shots, "own-dark.png") });
    await second.emulateMedia({ colorScheme: "light" });
    await second.screenshot({ path: path.join(shots, "own-light.png") });
    must(own.length === 0, own.join(" | "));
    return "light and dark, no error";
  });
  const late = errors.filter((e) => !/Failed to load resource|WebSocket connection|Failed to fetch|PromptExecutionError/.test(e));
  await check("no other error in the console", () => { must(late.length === 0, late.join(" | ").slice(0, 600)); });
} finally {
  await browser.close();
  server.removeAllListeners("exit");
  server.kill("SIGKILL");
  console.log("| what | result | |\n|---|---|---|");
  for (const row of rows) console.log(`| ${row.join(" | ")} |`);
  console.log(`screenshots: ${shots}`);
  fs.rmSync(base, { recursive: true, force: true });
}
process.exit(rows.some((r) => r[1] === "FAIL") ? 1 : 0);
