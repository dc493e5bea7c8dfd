"""@DESCRIPTION@."""

from collections import Counter

from anagama import Int, TagFilter


class Plugin(TagFilter):
    """Drops tags that too few pictures have."""

    title = "@TITLE@"
    passes = 2  # see the whole data set first, then decide
    min_images = Int(2, 1, 1000, "Keep a tag only if at least this many pictures have it.")

    def start(self):
        self.images = Counter()

    def observe(self, request):
        self.images.update(tag.name for tag in request.annotation.tags)

    def apply(self, request):
        annotation = request.annotation
        annotation.tags = [tag for tag in annotation.tags if self.images[tag.name] >= self.min_images]
        return annotation
