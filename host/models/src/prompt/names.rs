//! The nearest names to a mistyped one.

/// Up to five known names, the nearest first.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut near: Vec<(usize, &str)> = known.map(|k| (distance(name, k), k)).collect();
    near.sort();
    near.into_iter().take(5).map(|(_, k)| k).collect()
}

/// Levenshtein's distance in characters, of the names without their folders.
fn distance(a: &str, b: &str) -> usize {
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let (a, b): (Vec<char>, Vec<char>) = (last(a).chars().collect(), last(b).chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_come_first_whatever_their_folder() {
        let known = ["people/ohwx", "style", "stile/other"];
        assert_eq!(nearest("stile", known.into_iter())[0], "style");
        assert_eq!(nearest("ohwy", known.into_iter())[0], "people/ohwx");
        assert_eq!((distance("", "abc"), distance("kitten", "sitting")), (3, 3));
    }
}
