"""@DESCRIPTION@."""

from bisect import bisect_right

from anagama import DatasetSource, HostList, Text, item, list_all, page


class Plugin(DatasetSource):
    """Lists the pictures of a folder."""

    title = "@TITLE@"
    folder = HostList("folder", "The folder.")
    endings = Text("png, jpg, jpeg, webp", "Endings of pictures, separated by commas.")

    def page(self, after, limit):
        """A position is the path of the last picture, so that another instance can go on from there."""
        paths = self.pictures()
        start = bisect_right(paths, after) if after else 0
        some = paths[start : start + limit]
        more = start + limit < len(paths)
        # The host reads and checks the files itself; their bytes never come here.
        items = [item(path, file=(self.folder, path)) for path in some]
        return page(items, next=some[-1] if more else None, total=len(paths))

    def pictures(self):
        endings = [ending.strip() for ending in self.endings.split(",")]
        found, open = [], [""]
        while open:
            for entry in list_all(self.folder, open.pop()):
                if entry.is_dir:
                    open.append(entry.path)
                elif "." in entry.path and entry.path.rsplit(".", 1)[1].lower() in endings:
                    found.append(entry.path)
        return sorted(found)
