use super::duplicates::{mark, on_all_cores};
use crate::files;
use data::quality::{CHECKS, Limits, Look, problems};
use data::{Dataset, DecodeLimits, Item};
use engine::{Context, Level, Outputs, TypedNode, WithUi};
use serde_json::{Value, json};
use spec::Inputs;
use std::sync::Arc;

/// Finds pictures that are small, blurred, dark, bright, framed by bars, compressed hard or perhaps watermarked, without a
/// model. Marks them with the reasons and removes nothing; `good` is the data set without them.
#[derive(Inputs)]
pub(crate) struct CheckPictures {
    /// The data set.
    dataset: Arc<Dataset>,
    /// Least length of the shorter side, in pixels. 0: any.
    #[input(default = 512, range = 0..=16384)]
    side: u32,
    /// Least sharpness: the variance of the Laplacian in the sharpest part, at 512 pixels. 0: any.
    #[input(default = 60.0, range = 0.0..=10000.0, step = 1.0)]
    sharpness: f64,
    /// Dark is a picture of which 95 % are below this, of 255. 0: none is.
    #[input(default = 55.0, range = 0.0..=255.0, step = 1.0)]
    dark: f64,
    /// Bright is a picture of which 95 % are above this, of 255. 255: none is.
    #[input(default = 225.0, range = 0.0..=255.0, step = 1.0)]
    bright: f64,
    /// Share of the length that plain bars on two opposite sides may take. 1: any.
    #[input(default = 0.03, range = 0.0..=1.0, step = 0.01)]
    border: f64,
    /// Least quality of JPEGs, 1 to 100, as their tables tell. 0: any.
    #[input(default = 50.0, range = 0.0..=100.0, step = 1.0)]
    jpeg: f64,
    /// A part at the edge is suspected of a watermark if it has so many times the strokes of the rest. 0: none is.
    #[input(default = 4.0, range = 0.0..=100.0, step = 0.5)]
    watermark: f64,
    /// Names of checks, separated by commas, that a picture may fail and still be in `good`: tiny, blur, dark, bright, border,
    /// jpeg, watermark.
    #[input(default = "watermark")]
    allow: String,
    /// Name of the JSON file below the output folder.
    #[input(default = "pictures.json")]
    filename: String,
}

impl TypedNode for CheckPictures {
    const ID: &'static str = "CheckPictures";
    const CATEGORY: &'static str = "dataset";
    const DISPLAY_NAME: &'static str = "Check pictures";
    const OUTPUT_NODE: bool = true;
    const PERSISTENT: bool = true;
    const OUTPUT_NAMES: &'static [&'static str] = &["dataset", "good", "problems"];
    type Output = WithUi<(Arc<Dataset>, Arc<Dataset>, Value)>;

    fn restore(ctx: &Context, outputs: &Outputs) -> anyhow::Result<bool> {
        files::restore(ctx, outputs)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let allowed = self.allowed()?;
        let items = &self.dataset.items;
        let looks =
            on_all_cores(ctx, items, |item| Ok(Look::of(&std::fs::read(&item.path)?, &DecodeLimits::default())?))?;
        let limits = Limits {
            side: self.side,
            sharpness: self.sharpness,
            dark: self.dark,
            bright: self.bright,
            border: self.border,
            jpeg: self.jpeg,
            watermark: self.watermark,
        };
        let mut marked = Dataset::clone(&self.dataset);
        let mut good = Dataset { items: Vec::new(), notes: self.dataset.notes.clone() };
        let (mut rows, mut lines) = (Vec::new(), Vec::new());
        for (item, look) in marked.items.iter_mut().zip(&looks) {
            let found = problems(look, &limits);
            if !found.is_empty() {
                let texts: Vec<&str> = found.iter().map(|p| p.text.as_str()).collect();
                let names: Vec<&str> = found.iter().map(|p| p.check).collect();
                lines.push(format!("{}: {}", item.id, texts.join("; ")));
                rows.push(json!({"id": item.id, "checks": names, "problems": texts, "measured": look}));
                let allowed: Vec<&str> = names.iter().copied().filter(|name| allowed.contains(name)).collect();
                mark(item, "picture_check", json!({"checks": names, "problems": texts, "allowed": allowed}));
            }
            if found.iter().all(|p| allowed.contains(&p.check)) {
                good.items.push(item.clone());
            }
        }
        let left = items.len() - good.items.len();
        if left > 0 {
            good.notes.push(format!("{left} of {} pictures left out for what they look like", items.len()));
        }
        let text = text(&rows, &lines, items, left);
        ctx.log(Level::Info, text.lines().next().unwrap_or_default());
        let report = Value::Array(rows);
        let (path, sha256) = files::save(ctx, &self.filename, &serde_json::to_vec_pretty(&report)?)?;
        let out = (Arc::new(marked), Arc::new(good), report);
        Ok(WithUi::new(out).show("text", json!([text])).file(&path, sha256.as_str()))
    }
}

impl CheckPictures {
    /// The checks that do not count for `good`.
    fn allowed(&self) -> anyhow::Result<Vec<&'static str>> {
        let names = self.allow.split(',').map(str::trim).filter(|name| !name.is_empty());
        names
            .map(|name| {
                let known = CHECKS.iter().map(|(check, ..)| *check);
                known.clone().find(|check| *check == name).ok_or_else(|| {
                    let known: Vec<&str> = known.collect();
                    anyhow::anyhow!("`allow`: no check is called `{name}`; there are {}", known.join(", "))
                })
            })
            .collect()
    }
}

/// How many have each problem, then the first of them.
fn text(rows: &[Value], lines: &[String], items: &[Item], left: usize) -> String {
    let has = |row: &Value, check: &str| row["checks"].as_array().is_some_and(|all| all.iter().any(|c| c == check));
    let counts: Vec<String> = CHECKS
        .iter()
        .map(|(check, ..)| (check, rows.iter().filter(|row| has(row, check)).count()))
        .filter(|(_, n)| *n > 0)
        .map(|(check, n)| format!("{check} {n}"))
        .collect();
    let counts = if counts.is_empty() { String::new() } else { format!(" ({})", counts.join(", ")) };
    let head = format!("{} of {} pictures have problems{counts}; {left} are not in `good`", rows.len(), items.len());
    std::iter::once(head).chain(lines.iter().take(30).cloned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use crate::testing::{host, output, run, value};
    use data::{Codec, Dataset, Image, Item, PixelFormat};
    use serde_json::{Value, json};
    use std::sync::Arc;

    /// Squares of two greys.
    fn picture(side: u32, dark: u8, light: u8) -> Vec<u8> {
        let pixels: Vec<u8> = (0..side * side)
            .map(|at| if (at % side / 64 + at / side / 64).is_multiple_of(2) { dark } else { light })
            .collect();
        Image::new(side, side, PixelFormat::L8, pixels).unwrap().encode(Codec::Png, 0).unwrap()
    }

    #[test]
    fn pictures_are_marked_with_reasons_and_none_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = host(dir.path());
        let item = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            Item { id: name.into(), path, ..Item::default() }
        };
        let items = vec![
            item("good.png", &picture(600, 40, 220)),
            item("small.png", &picture(300, 40, 220)),
            item("dark.png", &picture(600, 3, 40)),
        ];
        let set = Arc::new(Dataset { items, notes: vec![] });
        let check = |more: &[(&'static str, &str)]| {
            let mut inputs = vec![("dataset", value(&set))];
            inputs.extend(more.iter().map(|(name, text)| (*name, (*text).into())));
            run(&ctx, "CheckPictures", inputs)
        };
        let out = check(&[]).unwrap();
        let (marked, good) = (output::<Dataset>(&out, 0), output::<Dataset>(&out, 1));
        let extra = |at: usize| -> Value {
            let text = marked.items[at].annotation.extra.as_deref().unwrap_or("{}");
            serde_json::from_str::<Value>(text).unwrap()["picture_check"].clone()
        };
        assert_eq!(extra(0), Value::Null);
        assert_eq!(
            (&extra(1)["checks"], &extra(1)["problems"][0]),
            (&json!(["tiny"]), &json!("300×300: the shorter side has 300 pixels, at least 512 are wanted"))
        );
        assert_eq!((&extra(2)["checks"], &extra(2)["allowed"]), (&json!(["dark"]), &json!([])));
        assert_eq!(good.items.iter().map(|i| i.id.as_str()).collect::<Vec<_>>(), ["good.png"]);
        assert!(good.notes[0].contains("2 of 3"), "{:?}", good.notes);
        let text = out.ui["text"][0].as_str().unwrap();
        assert!(text.starts_with("2 of 3 pictures have problems (tiny 1, dark 1); 2 are not in `good`"), "{text}");
        let kept = output::<Dataset>(&check(&[("allow", "dark, tiny")]).unwrap(), 1);
        assert_eq!(kept.items.len(), 3);
        let allowed: Value = serde_json::from_str(kept.items[2].annotation.extra.as_deref().unwrap()).unwrap();
        assert_eq!(allowed["picture_check"]["allowed"], json!(["dark"]));
        let unknown = check(&[("allow", "ugly")]).unwrap_err().to_string();
        assert!(unknown.contains("`ugly`; there are tiny, blur"), "{unknown}");
        assert!(set.items.iter().all(|i| i.path.exists()));
    }
}
