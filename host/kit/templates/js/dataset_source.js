// @DESCRIPTION@.

import { datasetSource, hostList, item, listAll, text } from "../kit/anagama.js";

export default datasetSource({
  title: "@TITLE@",
  description: "Lists the pictures of a folder.",
  settings: {
    folder: hostList("folder", { hint: "The folder." }),
    endings: text("png, jpg, jpeg, webp", { hint: "Endings of pictures, separated by commas." }),
  },

  // A position is the path of the last picture, so that another instance can go on from there.
  page(after, limit) {
    const paths = this.pictures();
    const start = paths.filter((path) => after !== null && path <= after).length;
    const some = paths.slice(start, start + limit);
    const more = start + limit < paths.length;
    // The host reads and checks the files itself; their bytes never come here.
    const items = some.map((path) => item(path, { file: [this.folder, path] }));
    return { items, next: more ? some.at(-1) : null, total: paths.length };
  },

  pictures() {
    const endings = this.endings.split(",").map((ending) => ending.trim());
    const found = [];
    for (const open = [""]; open.length; ) {
      for (const { path, isDir } of listAll(this.folder, open.pop())) {
        if (isDir) open.push(path);
        else if (path.includes(".") && endings.includes(path.split(".").at(-1).toLowerCase())) found.push(path);
      }
    }
    return found.sort();
  },
});
