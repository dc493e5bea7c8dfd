// @saintno/comfyui-sdk: connects, builds a prompt, runs it with callbacks, fetches the picture.
import { CallWrapper, ComfyApi, PromptBuilder } from "@saintno/comfyui-sdk";
import assert from "node:assert";

const api = new ComfyApi(process.env.ANAGAMA_URL, "saintno").init();
await api.waitForReady();
const prompt = new PromptBuilder(
  {
    1: { class_type: "EmptyImage", inputs: { width: 64, height: 64, batch_size: 1, color: 5 } },
    2: { class_type: "ImageInvert", inputs: { image: ["1", 0] } },
    3: { class_type: "SaveImage", inputs: { images: ["2", 0], filename_prefix: "sdk" } },
  },
  ["color"],
  ["images"],
).setInputNode("color", "1.inputs.color").setOutputNode("images", "3").input("color", 77);
const seen = [];
const output = await new CallWrapper(api, prompt)
  .onPending(() => seen.push("pending"))
  .onStart(() => seen.push("start"))
  .onProgress(() => seen.push("progress"))
  .onFinished(() => seen.push("finished"))
  .onFailed((error) => { console.error(error); seen.push("failed"); })
  .run();
assert.ok(output && output.images, JSON.stringify({ output, seen }));
const blob = await api.getImage(output.images.images[0]);
assert.ok(blob.size > 60);
assert.ok((await api.getSystemStats()).system.ram_total > 0);
assert.ok(Array.isArray(await api.getCheckpoints()));
assert.ok((await api.getSamplerInfo()).sampler[0].length > 3);
assert.ok(seen.includes("finished") && !seen.includes("failed"), seen.join());
console.log(`did: ran a built prompt (${seen.join(", ")}), fetched its picture, read samplers and checkpoints`);
process.exit(0);
