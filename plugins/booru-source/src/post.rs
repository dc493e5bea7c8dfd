//! One post as every family's parser gives it, and which of its sizes to take.

/// How much a picture shows; each family's words are rows of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rating {
    General,
    Sensitive,
    Questionable,
    Explicit,
}

impl Rating {
    /// With the names that the setting has, from the mildest.
    pub(crate) const ALL: [(&'static str, Self); 4] = [
        ("general", Self::General),
        ("sensitive", Self::Sensitive),
        ("questionable", Self::Questionable),
        ("explicit", Self::Explicit),
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(n, _)| *n == name).map(|(_, r)| *r)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PostTag {
    pub(crate) name: String,
    /// general, artist, character, copyright, meta …; none: the answer does not say.
    pub(crate) kind: Option<String>,
}

/// One size of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) url: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// The file that was uploaded, to which the checksum belongs.
    pub(crate) original: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Post {
    pub(crate) id: u64,
    pub(crate) tags: Vec<PostTag>,
    /// None: a word that the table does not know.
    pub(crate) rating: Option<Rating>,
    pub(crate) score: Option<i64>,
    /// `2026-03-11`.
    pub(crate) date: Option<String>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Of the original.
    pub(crate) bytes: Option<u64>,
    /// Of the original: `md5:…` or `sha512:…`.
    pub(crate) digest: Option<String>,
    /// What the host can decode.
    pub(crate) versions: Vec<Version>,
    pub(crate) source: Option<String>,
    /// Why there is nothing to fetch.
    pub(crate) gone: Option<String>,
}

/// Endings of what the host decodes.
const PICTURES: &[&str] = &["png", "jpg", "jpeg", "webp", "gif", "bmp"];
/// Why a post that has only other files is left out.
pub(crate) const NO_PICTURE: &str = "a video, an animation in parts, or another file that is no picture";

/// The ending of the file that an address names, in lower case.
fn ending(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').map_or_else(String::new, |(_, e)| e.to_ascii_lowercase())
}

impl Post {
    /// Adds a size if its address is that of a picture.
    pub(crate) fn add(&mut self, url: Option<&str>, width: Option<i64>, height: Option<i64>, original: bool) {
        let Some(url) = url.filter(|u| PICTURES.contains(&ending(u).as_str())) else { return };
        let side = |given: Option<i64>| given.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        if !self.versions.iter().any(|v| v.url == url) {
            self.versions.push(Version { url: url.to_owned(), width: side(width), height: side(height), original });
        }
    }

    /// Says why there is nothing to fetch, if there is not; `file` is the address of the original.
    pub(crate) fn settle(mut self, file: Option<&str>) -> Self {
        if self.gone.is_none() && self.versions.is_empty() {
            self.gone = Some(match file {
                None => "removed or hidden by the site".to_owned(),
                Some(_) => NO_PICTURE.to_owned(),
            });
        }
        self
    }

    /// The smallest size whose shorter side has at least `side` pixels, else the largest there is. Of equal ones the
    /// original, because its checksum is known.
    pub(crate) fn choose(&self, side: u32) -> Option<&Version> {
        let area = |v: &Version| u64::from(v.width) * u64::from(v.height);
        let enough = self.versions.iter().filter(|v| side > 0 && v.width.min(v.height) >= side);
        enough
            .min_by_key(|v| (area(v), !v.original))
            .or_else(|| self.versions.iter().max_by_key(|v| (v.original, area(v))))
    }

    /// The smallest size of all.
    pub(crate) fn preview(&self) -> Option<&Version> {
        self.versions.iter().min_by_key(|v| u64::from(v.width) * u64::from(v.height))
    }

    /// Names of the tags of a kind.
    pub(crate) fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        self.tags.iter().filter(move |t| t.kind.as_deref() == Some(kind)).map(|t| t.name.as_str())
    }
}

/// Tags of one kind from a text with blanks between them.
pub(crate) fn tags(text: &str, kind: Option<&str>) -> Vec<PostTag> {
    text.split_whitespace().map(|name| PostTag { name: name.to_owned(), kind: kind.map(str::to_owned) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(sizes: &[(u32, u32, bool)]) -> Post {
        let mut post = Post::default();
        for (i, (w, h, original)) in sizes.iter().enumerate() {
            post.add(Some(&format!("https://x/{i}.jpg")), Some(i64::from(*w)), Some(i64::from(*h)), *original);
        }
        post
    }

    #[test]
    fn takes_the_smallest_size_that_is_large_enough() {
        let p = post(&[(4000, 3000, true), (850, 638, false), (1600, 1200, false), (180, 135, false)]);
        let url = |side| p.choose(side).unwrap().url.clone();
        assert_eq!(url(0), "https://x/0.jpg", "0 asks for the original");
        assert_eq!(url(600), "https://x/1.jpg");
        assert_eq!(url(1024), "https://x/2.jpg");
        assert_eq!(url(2000), "https://x/0.jpg");
        assert_eq!(url(9000), "https://x/0.jpg", "nothing is large enough: the original");
        assert_eq!(p.preview().unwrap().url, "https://x/3.jpg");
        let same = post(&[(200, 200, false), (200, 200, true)]);
        assert!(same.choose(100).unwrap().original);
    }

    #[test]
    fn only_pictures_can_be_chosen() {
        let mut p = Post::default();
        p.add(Some("https://x/a.zip"), Some(1), Some(1), true);
        p.add(Some("https://x/a.webm?x=1.png"), Some(1), Some(1), false);
        p.add(None, None, None, false);
        let p = p.settle(Some("https://x/a.zip"));
        assert_eq!((p.choose(0), p.gone.as_deref()), (None, Some(NO_PICTURE)));
        assert!(Post::default().settle(None).gone.unwrap().contains("removed"));
    }
}
