// @DESCRIPTION@.

import { captioner, int, tagged } from "../kit/anagama.js";

export default captioner({
  title: "@TITLE@",
  description: "Tags pictures as dark or bright.",
  settings: {
    threshold: int(100, { min: 0, max: 255, hint: "Pictures whose mean is below this are dark." }),
  },

  caption(image) {
    const grey = image.read(null, "l8");
    let sum = 0;
    for (const pixel of grey) sum += pixel;
    const mean = Math.floor(sum / Math.max(grey.length, 1));
    return tagged(mean < this.threshold ? "dark" : "bright");
  },
});
