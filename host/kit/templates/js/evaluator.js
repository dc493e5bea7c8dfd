// @DESCRIPTION@.

import { evaluator, number } from "../kit/anagama.js";

export default evaluator({
  title: "@TITLE@",
  description: "Measures the contrast of pictures.",
  settings: {
    full: number(64, { min: 1, max: 128, hint: "Contrast that counts as 1, in grey levels." }),
  },
  metrics: [
    { name: "contrast", description: "standard deviation of the grey levels", low: 0, high: 2 },
    { name: "mean_contrast", description: "the same, over all pictures", low: 0, high: 2, perSample: false },
  ],

  start() {
    this.sum = 0;
    this.count = 0;
  },

  add({ image }) {
    const grey = image.read(null, "l8");
    const count = Math.max(grey.length, 1);
    const mean = grey.reduce((sum, pixel) => sum + pixel, 0) / count;
    const variance = grey.reduce((sum, pixel) => sum + (pixel - mean) * (pixel - mean), 0) / count;
    const contrast = Math.sqrt(variance) / this.full;
    this.sum += contrast;
    this.count += 1;
    return { contrast };
  },

  // Scores of the whole set; afterwards it starts anew.
  finish() {
    const { sum, count } = this;
    this.start();
    return count ? { mean_contrast: sum / count } : {};
  },
});
