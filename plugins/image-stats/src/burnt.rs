//! How burnt a picture is: colours at the corners of the colour cube, and shadows and lights with nothing in them.
//!
//! A drawing on white paper has many such pixels and is not burnt, so what counts is what a picture has beyond the data
//! set's, and beyond the picture of the same seed and prompt without the LoRA.

/// Shares of a picture's pixels. No pixel counts for both.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Burnt {
    /// One channel at its upper end, another at its lower.
    pub(crate) gaudy: f64,
    /// All channels at the same end.
    pub(crate) crushed: f64,
}

/// Up to here a channel is at its lower end.
const LOW: u8 = 8;
/// From here on a channel is at its upper end.
const HIGH: u8 = 247;

impl Burnt {
    /// Of R, G, B bytes.
    pub(crate) fn of(rgb: &[u8]) -> Self {
        let (mut gaudy, mut crushed) = (0u32, 0u32);
        for p in rgb.chunks_exact(3) {
            let (low, high) = (p[0].min(p[1]).min(p[2]), p[0].max(p[1]).max(p[2]));
            gaudy += u32::from(low <= LOW && high >= HIGH);
            crushed += u32::from(high <= LOW || low >= HIGH);
        }
        let pixels = (rgb.len() / 3).max(1) as f64;
        Self { gaudy: f64::from(gaudy) / pixels, crushed: f64::from(crushed) / pixels }
    }

    /// What pictures of a data set usually have at most: the upper quartile of each share.
    pub(crate) fn usual(all: impl Iterator<Item = Self>) -> Self {
        let (mut gaudy, mut crushed): (Vec<f64>, Vec<f64>) = all.map(|b| (b.gaudy, b.crushed)).unzip();
        Self { gaudy: upper_quartile(&mut gaudy), crushed: upper_quartile(&mut crushed) }
    }

    /// The larger of each share.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { gaudy: self.gaudy.max(other.gaudy), crushed: self.crushed.max(other.crushed) }
    }

    /// The share of pixels that is burnt beyond what is usual, 0..=1.
    pub(crate) fn beyond(self, usual: Self) -> f64 {
        (self.gaudy - usual.gaudy).max(0.0) + (self.crushed - usual.crushed).max(0.0)
    }
}

fn upper_quartile(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len() * 3 / 4).min(values.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_are_gaudy_and_empty_ends_are_crushed() {
        let rgb = [255, 0, 0, 250, 128, 3, 255, 255, 255, 2, 8, 5, 255, 128, 128, 0, 90, 90, 9, 9, 9, 246, 250, 250];
        let burnt = Burnt::of(&rgb);
        assert_eq!((burnt.gaudy, burnt.crushed), (2.0 / 8.0, 2.0 / 8.0));
        assert_eq!(Burnt::of(&[]), Burnt::default());
    }

    #[test]
    fn only_what_is_beyond_the_data_set_counts() {
        let white_paper = Burnt { gaudy: 0.0, crushed: 0.6 };
        let usual = Burnt::usual([white_paper, Burnt::default(), white_paper, white_paper].into_iter());
        assert_eq!(usual, white_paper);
        assert_eq!(white_paper.beyond(usual), 0.0);
        assert_eq!(Burnt { gaudy: 0.25, crushed: 0.5 }.beyond(usual), 0.25);
        assert_eq!(Burnt { gaudy: 0.0, crushed: 1.0 }.beyond(usual), 0.4);
        let base = Burnt { gaudy: 0.25, crushed: 0.1 };
        assert_eq!(usual.or(base), Burnt { gaudy: 0.25, crushed: 0.6 });
        assert_eq!(Burnt { gaudy: 0.75, crushed: 0.1 }.beyond(usual.or(base)), 0.5);
        // One burnt picture among many does not excuse others.
        let one = [1.0, 0.0, 0.0, 0.0, 0.0].map(|gaudy| Burnt { gaudy, crushed: 0.0 });
        assert_eq!(Burnt::usual(one.into_iter()).gaudy, 0.0);
    }
}
