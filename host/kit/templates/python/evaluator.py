"""@DESCRIPTION@."""

from math import sqrt

from anagama import Evaluator, Float, PixelFormat, metric


class Plugin(Evaluator):
    """Measures the contrast of pictures."""

    title = "@TITLE@"
    full = Float(64.0, 1.0, 128.0, "Contrast that counts as 1, in grey levels.")
    metrics = [
        metric("contrast", "standard deviation of the grey levels", 0, 2),
        metric("mean_contrast", "the same, over all pictures", 0, 2, per_sample=False),
    ]

    def start(self):
        self.sum, self.count = 0.0, 0

    def add(self, sample):
        grey = sample.image.read(None, PixelFormat.L8)
        count = max(len(grey), 1)
        mean = sum(grey) / count
        variance = 0.0
        for pixel in grey:
            variance += (pixel - mean) * (pixel - mean)
        contrast = sqrt(variance / count) / self.full
        self.sum += contrast
        self.count += 1
        return {"contrast": contrast}

    def finish(self):
        """Scores of the whole set; afterwards it starts anew."""
        sum, count = self.sum, self.count
        self.start()
        return {"mean_contrast": sum / count} if count else {}
