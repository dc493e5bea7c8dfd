//! «Did you mean …»: the known name nearest to a mistyped one.

/// The candidate that differs least from `found`, if it is near enough to be a likely slip.
///
/// ```
/// assert_eq!(graph::nearest("KSampelr", ["KSampler", "SaveImage"]), Some("KSampler"));
/// assert_eq!(graph::nearest("Banana", ["KSampler", "SaveImage"]), None);
/// ```
pub fn nearest<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = normalise(found);
    // A third of the name may differ; short names still get one slip.
    let limit = (wanted.len() / 3).max(1);
    candidates
        .into_iter()
        .map(|c| (distance(&wanted, &normalise(c)), c))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

fn normalise(name: &str) -> Vec<char> {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ' | '.')).flat_map(char::to_lowercase).take(64).collect()
}

/// Damerau–Levenshtein distance in its restricted form: a swap of neighbours counts once.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let substituted = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = substituted.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_slips_and_ignores_case_and_separators() {
        let names = ["EmptyLatentImage", "anagama.wd-tagger", "VAEDecode", "VAEEncode"];
        assert_eq!(nearest("EmptyLatentImag", names), Some("EmptyLatentImage"));
        assert_eq!(nearest("anagama.wd_tager", names), Some("anagama.wd-tagger"));
        assert_eq!(nearest("vaedecode", names), Some("VAEDecode"));
    }

    #[test]
    fn says_nothing_when_nothing_is_near() {
        assert_eq!(nearest("PreviewAudio", ["KSampler", "LoadImage"]), None);
        assert_eq!(nearest("", ["KSampler"]), None);
    }
}
