//! Tag names: underscores, spaces, kaomoji, wildcards, lists.

/// Tags whose underscores are part of the picture and never become spaces.
/// Source: the list that the WD taggers' own demo and its descendants use.
pub const KAOMOJI: &[&str] = &[
    "0_0", "(o)_(o)", "+_+", "+_-", "._.", "<o>_<o>", "<|>_<|>", "=_=", ">_<", "3_3", "6_9", ">_o", "@_@", "^_^",
    "o_o", "u_u", "x_x", "|_|", "||_||",
];

/// The name with spaces instead of underscores; kaomoji stay as they are.
///
/// ```
/// assert_eq!(booru::names::spaced("long_hair"), "long hair");
/// assert_eq!(booru::names::spaced("^_^"), "^_^");
/// ```
pub fn spaced(name: &str) -> String {
    if KAOMOJI.contains(&name) { name.to_owned() } else { name.replace('_', " ") }
}

/// The name with underscores instead of spaces.
pub fn underscored(name: &str) -> String {
    name.replace(' ', "_")
}

/// How names are compared: without outer blanks, lower case, underscores, brackets without backslashes.
///
/// ```
/// use booru::names::key;
/// assert_eq!(key(" Saber \\(fate\\)"), key("saber_(fate)"));
/// ```
pub fn key(name: &str) -> String {
    name.trim().to_lowercase().replace(' ', "_").replace("\\(", "(").replace("\\)", ")")
}

/// The parts of a list that is separated by commas or line breaks, without blanks and empty parts.
pub fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty())
}

/// Does a name match a pattern in which `*` stands for any run of characters? Both as [`key`] writes them.
///
/// ```
/// use booru::names::matches;
/// assert!(matches("*_hair", "long_hair") && !matches("*_hair", "hair_bow"));
/// ```
pub fn matches(pattern: &str, name: &str) -> bool {
    // Greedy matching with one point to return to: linear in practice, never exponential.
    let (p, n): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut i, mut j) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while j < n.len() {
        if i < p.len() && p[i] == '*' {
            retry = Some((i, j));
            i += 1;
        } else if i < p.len() && p[i] == n[j] {
            i += 1;
            j += 1;
        } else if let Some((star, from)) = retry {
            retry = Some((star, from + 1));
            i = star + 1;
            j = from + 1;
        } else {
            return false;
        }
    }
    p[i..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kaomoji_survive_the_underscore_rule() {
        for k in KAOMOJI {
            assert_eq!(spaced(k), *k);
            assert_eq!(key(&spaced(k)), *k);
        }
        assert_eq!(spaced("grey_hair"), "grey hair");
    }

    #[test]
    fn wildcards() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("*_(series)", "x_(series)", true),
            ("solo", "solo_focus", false),
            ("**b*", "aba", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn lists_take_commas_and_lines() {
        assert_eq!(list(" a, b\nc ,,\n").collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
