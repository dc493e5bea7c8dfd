// What ComfyUI's own front end makes of workflows, against `anagama convert` with the same node descriptions. By hand:
//
//     npm install playwright-core
//     node tests/peers/front_end_prompts.mjs STATIC OBJECT_INFO WORKFLOW...
//
// STATIC is the folder `static` of the unpacked package comfyui-frontend-package (tested with 1.58.1), OBJECT_INFO what
// a server answers to /object_info. Runs Debian's chromium. A server of a few routes gives the front end what it asks
// for when it starts; each workflow is loaded into it, and its `graphToPrompt` asked.
import { execFileSync } from 'node:child_process'
import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { extname, join, resolve } from 'node:path'
import { chromium } from 'playwright-core'

const [folder, objectInfo, ...workflows] = process.argv.slice(2)
const root = resolve(folder)
const program = new URL('../../target/debug/anagama', import.meta.url).pathname
const empty = ['/embeddings', '/models']

const answers = {
  '/users': { storage: 'server', migrated: true },
  '/settings': { 'Comfy.TutorialCompleted': true },
  '/extensions': [],
  '/features': {},
  '/i18n': {},
  '/queue': { queue_running: [], queue_pending: [] },
  '/jobs': { jobs: [], pagination: { offset: 0, limit: 0, total: 0, has_more: false } }
}
const types = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json', '.svg': 'image/svg+xml' }

const server = createServer((request, response) => {
  const path = decodeURIComponent(new URL(request.url, 'http://here').pathname)
  const send = (code, type, body) => response.writeHead(code, { 'content-type': type }).end(body)
  if (path.startsWith('/api/')) {
    const asked = path.slice(4)
    if (asked === '/object_info') return send(200, types['.json'], readFileSync(objectInfo))
    if (asked.startsWith('/settings/')) return send(200, types['.json'], 'null')
    const answer = answers[asked] ?? (empty.includes(asked) ? [] : undefined)
    return answer === undefined ? send(404, 'text/plain', '') : send(200, types['.json'], JSON.stringify(answer))
  }
  const file = join(root, path === '/' ? 'index.html' : path)
  if (!file.startsWith(root) || !existsSync(file) || statSync(file).isDirectory()) return send(404, 'text/plain', '')
  response.writeHead(200, { 'content-type': types[extname(file)] ?? 'application/octet-stream' })
  createReadStream(file).pipe(response)
})
await new Promise((done) => server.listen(0, '127.0.0.1', done))

const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] })
const page = await browser.newPage()
await page.goto(`http://127.0.0.1:${server.address().port}/`, { waitUntil: 'domcontentloaded' })
const ready = () => window.app?.graph && Object.keys(window.LiteGraph?.registered_node_types ?? {}).length > 20
await page.waitForFunction(ready, null, { timeout: 180000 })
await page.waitForTimeout(3000)

/** The graph with sorted keys, so that only its content counts. */
const sorted = (value) =>
  Array.isArray(value) || value === null || typeof value !== 'object'
    ? value
    : Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]))

let failed = 0
for (const file of workflows) {
  const load = async (workflow) => {
    await window.app.loadGraphData(workflow, true, true)
    return JSON.parse(JSON.stringify((await window.app.graphToPrompt()).output))
  }
  const theirs = await page.evaluate(load, JSON.parse(readFileSync(file)))
  for (const node of Object.values(theirs)) node._meta = { title: node._meta?.title }
  const ours = JSON.parse(execFileSync(program, ['convert', '--object-info', objectInfo, file]))
  const wrong = [...new Set([...Object.keys(ours), ...Object.keys(theirs)])].filter(
    (id) => JSON.stringify(sorted(ours[id] ?? null)) !== JSON.stringify(sorted(theirs[id] ?? null))
  )
  failed += wrong.length > 0
  console.log(wrong.length === 0 ? 'same     ' : 'DIFFERENT', file)
  for (const id of wrong) console.log(`  ${id}: ours ${JSON.stringify(ours[id])}\n  ${id}: theirs ${JSON.stringify(theirs[id])}`)
}
console.log(`${workflows.length - failed} the same, ${failed} different`)
await browser.close()
server.close()
process.exit(failed > 0 ? 1 : 0)
