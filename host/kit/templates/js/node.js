// @DESCRIPTION@.

import images from "anagama:plugin/images@0.1.0";
import { node, number, socket } from "../kit/anagama.js";

export default node({
  title: "@TITLE@",
  description: "Turns light into dark.",
  settings: {
    image: socket("image", { hint: "The picture." }),
    strength: number(1, { min: 0, max: 1, hint: "How much of it." }),
  },
  outputs: { image: "image" },

  run() {
    // One answer for each of the 256 levels, then all pixels by that table.
    const table = Uint8Array.from({ length: 256 }, (_, light) => Math.floor(light + (255 - 2 * light) * this.strength + 0.5));
    const pixels = this.image.read(null, "rgb8").map((light) => table[light]);
    return { image: images.fromPixels(this.image.width(), this.image.height(), "rgb8", pixels) };
  },
});
