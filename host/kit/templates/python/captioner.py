"""@DESCRIPTION@."""

from anagama import Captioner, Int, PixelFormat, tagged


class Plugin(Captioner):
    """Tags pictures as dark or bright."""

    title = "@TITLE@"
    threshold = Int(100, 0, 255, "Pictures whose mean is below this are dark.")

    def caption(self, image, known):
        grey = image.read(None, PixelFormat.L8)
        mean = sum(grey) // max(len(grey), 1)
        return tagged("dark" if mean < self.threshold else "bright")
