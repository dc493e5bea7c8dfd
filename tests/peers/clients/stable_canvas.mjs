// @stable-canvas/comfyui-client: runs a prompt over the WebSocket, and one by polling.
import { Client } from "@stable-canvas/comfyui-client";
import assert from "node:assert";
import WebSocket from "ws";

const host = process.env.ANAGAMA_URL.replace("http://", "");
const prompt = (color) => ({
  1: { class_type: "EmptyImage", inputs: { width: 64, height: 64, batch_size: 1, color } },
  2: { class_type: "ImageInvert", inputs: { image: ["1", 0] } },
  3: { class_type: "SaveImage", inputs: { images: ["2", 0], filename_prefix: "canvas" } },
});
const client = new Client({ api_host: host, clientId: "canvas", WebSocket, fetch });
client.connect();
// What is told before it listens, it never hears.
while (client.socket?.readyState !== 1) await new Promise((again) => setTimeout(again, 20));
const output = await client.enqueue(prompt(1));
assert.equal(output.images.length, 1, JSON.stringify(output));
const queued = await client.runPrompt(prompt(2));
assert.equal((queued.images ?? queued).length ?? 1, 1, JSON.stringify(queued));
assert.ok((await client.getSamplers()).includes("euler"));
assert.ok((await client.getSchedulers()).includes("normal"));
assert.ok(Array.isArray(await client.getLoRAs()));
assert.ok((await client.getModelFolders()).length > 3);
await client.storeSetting("Canvas.Test", [1]);
assert.deepEqual(await client.getSetting("Canvas.Test"), [1]);
await client.storeUserData("canvas.json", JSON.stringify({ a: 1 }), { stringify: false });
assert.deepEqual(await (await client.getUserData("canvas.json")).json(), { a: 1 });
client.close();
console.log("did: ran prompts over the WebSocket and by polling, read samplers and models, kept settings and files");
process.exit(0);
