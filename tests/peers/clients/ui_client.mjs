// comfy-ui-client: connects, runs a prompt, reads its pictures, and asks everything else that it knows.
import { ComfyUIClient } from "comfy-ui-client";
import assert from "node:assert";

const client = new ComfyUIClient(process.env.ANAGAMA_URL.replace("http://", ""), "ui-client");
await client.connect();
const prompt = {
  1: { class_type: "EmptyImage", inputs: { width: 64, height: 64, batch_size: 1, color: 5 } },
  2: { class_type: "ImageInvert", inputs: { image: ["1", 0] } },
  3: { class_type: "SaveImage", inputs: { images: ["2", 0], filename_prefix: "ui" } },
};
const images = await client.getImages(prompt);
assert.equal(images["3"].length, 1);
assert.equal((await images["3"][0].blob.arrayBuffer()).byteLength > 60, true);
assert.ok((await client.getSystemStats()).devices.length);
assert.ok(Array.isArray(await client.getEmbeddings()));
assert.ok(Array.isArray(await client.getExtensions()));
assert.ok((await client.getObjectInfo("KSampler")).KSampler);
assert.deepEqual((await client.getQueue()).queue_pending, []);
assert.equal((await client.getPrompt()).exec_info.queue_remaining, 0);
assert.equal(Object.keys(await client.getHistory()).length, 1);
const bytes = Buffer.from(await images["3"][0].blob.arrayBuffer());
const uploaded = await client.uploadImage(bytes, "up.png");
assert.equal(uploaded.name, "up.png");
await client.disconnect();
console.log("did: ran a prompt, read its picture, system, nodes, queue and history, uploaded");
process.exit(0);
