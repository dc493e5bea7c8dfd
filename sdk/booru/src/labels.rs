//! The label list of a tagger, and which labels a list of scores selects.

use plugin_sdk::Tag;

/// What a label is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    General,
    Character,
    Rating,
    Other,
}

impl Category {
    /// The name in [`Tag::category`].
    pub fn name(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Character => "character",
            Self::Rating => "rating",
            Self::Other => "other",
        }
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
/// Categories are those of Danbooru (0 general, 4 character), and 9 for ratings.
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
            let category = match category.as_str() {
                "0" => Category::General,
                "4" => Category::Character,
                "9" => Category::Rating,
                _ => Category::Other,
            };
            Ok(Label { name: name.clone(), category })
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

/// From which score on a label counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    pub general: f32,
    pub character: f32,
    /// Use [`mcut`] instead of the numbers above.
    pub mcut: bool,
}

/// The least threshold that MCut may give for characters: most pictures show none that the model knows.
const CHARACTER_MCUT_FLOOR: f32 = 0.15;

/// The general and character labels above their thresholds, highest score first. Names as in the file.
pub fn select(labels: &[Label], scores: &[f32], thresholds: Thresholds) -> Vec<Tag> {
    let of = |category: Category| -> Vec<f32> {
        labels.iter().zip(scores).filter(|(l, _)| l.category == category).map(|(_, &s)| s).collect()
    };
    let (general, character) = if thresholds.mcut {
        (mcut(&of(Category::General)), mcut(&of(Category::Character)).max(CHARACTER_MCUT_FLOOR))
    } else {
        (thresholds.general, thresholds.character)
    };
    let mut tags: Vec<Tag> = labels
        .iter()
        .zip(scores)
        .filter(|(label, score)| match label.category {
            Category::General | Category::Other => **score >= general,
            Category::Character => **score >= character,
            Category::Rating => false,
        })
        .map(|(label, score)| tag(label, *score))
        .collect();
    // A stable sort: equal scores keep the order of the file, so that results never depend on chance.
    tags.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0)));
    tags
}

/// The rating with the highest score, if the model has ratings.
pub fn rating(labels: &[Label], scores: &[f32]) -> Option<Tag> {
    let ratings = labels.iter().zip(scores).filter(|(label, _)| label.category == Category::Rating);
    ratings.max_by(|a, b| a.1.total_cmp(b.1)).map(|(label, score)| tag(label, *score))
}

fn tag(label: &Label, score: f32) -> Tag {
    Tag { name: label.name.clone(), score: Some(score), category: Some(label.category.name().to_owned()) }
}

/// Maximum cut: the middle of the largest gap in the sorted scores.
/// Source: Largeron, Moulin and Géry, "MCut: a thresholding strategy for multi-label classification" (2012).
pub fn mcut(scores: &[f32]) -> f32 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    sorted
        .windows(2)
        .fold(
            (0.0, 1.0),
            |(gap, cut), w| if w[0] - w[1] > gap { (w[0] - w[1], (w[0] + w[1]) / 2.0) } else { (gap, cut) },
        )
        .1
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
    fn thresholds_differ_by_category_and_tags_are_sorted() {
        let labels = parse(CSV).unwrap();
        let t = Thresholds { general: 0.35, character: 0.85, mcut: false };
        let names = |s: &[f32]| select(&labels, s, t).into_iter().map(|t| t.name).collect::<Vec<_>>();
        assert_eq!(names(&[0.9, 0.1, 0.4, 0.5, 0.8]), ["a,\"b", "long_hair"]);
        assert_eq!(names(&[0.9, 0.1, 0.34, 0.1, 0.9]), ["miku"]);
        assert_eq!(rating(&labels, &[0.2, 0.7, 1.0, 1.0, 1.0]).unwrap().name, "nsfw");
    }

    #[test]
    fn mcut_cuts_at_the_largest_gap() {
        assert!((mcut(&[0.9, 0.1, 0.85, 0.2]) - 0.525).abs() < 1e-6);
        assert_eq!(mcut(&[]), 1.0);
        let labels = parse(CSV).unwrap();
        let t = Thresholds { general: 0.35, character: 0.85, mcut: true };
        let tags = select(&labels, &[0.0, 0.0, 0.3, 0.05, 0.1], t);
        assert_eq!(tags.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["long_hair"]);
    }
}
