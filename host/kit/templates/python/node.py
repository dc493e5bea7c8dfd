"""@DESCRIPTION@."""

from math import floor

from anagama import Float, Node, PixelFormat, Socket, images


class Plugin(Node):
    """Turns light into dark."""

    title = "@TITLE@"
    image = Socket("image", "The picture.")
    strength = Float(1.0, 0.0, 1.0, "How much of it.")
    outputs = {"image": "image"}

    def run(self):
        # One answer for each of the 256 levels, then all pixels by that table.
        table = bytes(floor(light + (255 - 2 * light) * self.strength + 0.5) for light in range(256))
        pixels = self.image.read(None, PixelFormat.RGB8).translate(table)
        return {"image": images.from_pixels(self.image.width(), self.image.height(), PixelFormat.RGB8, pixels)}
