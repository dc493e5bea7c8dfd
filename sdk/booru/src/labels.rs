//! The label list of a tagger.

/// What a label is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    General,
    Character,
    Copyright,
    Artist,
    Meta,
    /// What drew the picture.
    Model,
    Quality,
    Rating,
    Other,
}

/// (category, its name in tags, its number on Danbooru and in `selected_tags.csv`)
const CATEGORIES: &[(Category, &str, &str)] = &[
    (Category::General, "general", "0"),
    (Category::Artist, "artist", "1"),
    (Category::Copyright, "copyright", "3"),
    (Category::Character, "character", "4"),
    (Category::Meta, "meta", "5"),
    (Category::Rating, "rating", "9"),
    (Category::Model, "model", ""),
    (Category::Quality, "quality", ""),
    (Category::Other, "other", ""),
];

impl Category {
    /// The name in [`plugin_sdk::Tag::category`].
    pub fn name(self) -> &'static str {
        CATEGORIES.iter().find(|row| row.0 == self).map_or("other", |row| row.1)
    }

    /// The category of this name, in upper or lower case.
    pub fn named(name: &str) -> Option<Self> {
        CATEGORIES.iter().find(|row| row.1.eq_ignore_ascii_case(name.trim())).map(|row| row.0)
    }

    /// Of this category a picture has one tag: the one with the highest score.
    pub fn only_one(self) -> bool {
        matches!(self, Self::Rating | Self::Quality)
    }

    fn numbered(number: &str) -> Self {
        let known = CATEGORIES.iter().find(|row| row.2 == number && !number.is_empty());
        known.map_or(Self::Other, |row| row.0)
    }
}

/// One output of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// As in the file, with underscores.
    pub name: String,
    pub category: Category,
}

/// Reads `selected_tags.csv`: a header with at least `name` and `category`, one row per output in its order.
/// Categories are those of Danbooru (0 general, 1 artist, 3 copyright, 4 character, 5 meta), and 9 for ratings.
///
/// # Errors
/// A missing column or a row without them, with its line number.
pub fn parse(csv: &str) -> Result<Vec<Label>, String> {
    let mut lines = csv.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let header = lines.next().map(|(_, line)| fields(line.trim_start_matches('\u{feff}'))).unwrap_or_default();
    let column = |name: &str| {
        header.iter().position(|h| h == name).ok_or_else(|| {
            format!(
                "label list: expected a column `{name}`, found {}; is this the model's selected_tags.csv?",
                header.join(", ")
            )
        })
    };
    let (name, category) = (column("name")?, column("category")?);
    lines
        .map(|(number, line)| {
            let row = fields(line);
            let (Some(name), Some(category)) = (row.get(name), row.get(category)) else {
                return Err(format!(
                    "label list, line {}: expected {} fields, found {}",
                    number + 1,
                    header.len(),
                    row.len()
                ));
            };
            Ok(Label { name: name.clone(), category: Category::numbered(category.trim()) })
        })
        .collect()
}

/// The fields of one CSV line; quoted fields may hold commas and doubled quotes.
fn fields(line: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.trim_end_matches('\r').chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                out.last_mut().into_iter().for_each(|f| f.push('"'));
            }
            '"' => quoted = !quoted,
            ',' if !quoted => out.push(String::new()),
            c => out.last_mut().into_iter().for_each(|f| f.push(c)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &str =
        "tag_id,name,category,count\n1,safe,9,5\n2,nsfw,9,5\n3,long_hair,0,9\n4,\"a,\"\"b\",0,1\r\n5,miku,4,3\n";

    #[test]
    fn labels_have_names_and_categories() {
        let labels = parse(CSV).unwrap();
        assert_eq!(labels.len(), 5);
        assert_eq!(labels[3], Label { name: "a,\"b".into(), category: Category::General });
        assert_eq!(labels[4].category, Category::Character);
    }

    #[test]
    fn a_list_without_the_columns_is_refused() {
        let e = parse("id,label\n1,x\n").unwrap_err();
        assert!(e.contains("expected a column `name`, found id, label"), "{e}");
        assert!(parse("").is_err());
        assert!(parse("name,category\nx\n").unwrap_err().contains("line 2"));
    }

    #[test]
    fn categories_have_names_and_numbers() {
        for (category, name, number) in CATEGORIES {
            assert_eq!((category.name(), Category::named(&name.to_uppercase())), (*name, Some(*category)));
            assert!(number.is_empty() || Category::numbered(number) == *category);
        }
        assert_eq!((Category::numbered(""), Category::numbered("7")), (Category::Other, Category::Other));
        assert_eq!(Category::named("colour"), None);
    }
}
