// @DESCRIPTION@.

import { int, tagFilter } from "../kit/anagama.js";

export default tagFilter({
  title: "@TITLE@",
  description: "Drops tags that too few pictures have.",
  settings: {
    min_images: int(2, { min: 1, max: 1000, hint: "Keep a tag only if at least this many pictures have it." }),
  },
  passes: 2, // see the whole data set first, then decide

  start() {
    this.images = new Map();
  },

  observe({ annotation }) {
    for (const { name } of annotation.tags) this.images.set(name, (this.images.get(name) ?? 0) + 1);
  },

  apply({ annotation }) {
    const kept = annotation.tags.filter(({ name }) => (this.images.get(name) ?? 0) >= this.min_images);
    return { ...annotation, tags: kept };
  },
});
