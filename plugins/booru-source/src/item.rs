//! A post as an item of a dataset, with its credits.

use crate::Settings;
use crate::post::Post;
use crate::site::Site;
use plugin_sdk::{Annotation, Item, Media, Tag};
use serde_json::json;

/// The item of a post; none if nothing can be fetched.
pub(crate) fn item(settings: &Settings, site: &Site, post: &Post) -> Option<Item> {
    let version = if settings.preview_only { post.preview()? } else { post.choose(settings.side)? };
    let page = format!("{}{}{}", site.base, site.family.page, post.id);
    let artists: Vec<&str> = post.of_kind("artist").filter(|a| !NOBODY.contains(a)).collect();
    let extra = json!({
        "natural_language": false,
        "credits": {
            "artists": artists,
            "source": post.source,
            "post": page,
            "site": site.base,
        },
        "booru": {
            "family": site.family.name,
            "id": post.id,
            "rating": post.rating.map(crate::post::Rating::name),
            "score": post.score,
            "date": post.date,
            "version": if version.original { "original".to_owned() } else { format!("{}x{}", version.width, version.height) },
        },
    });
    let name =
        |name: &str| if settings.underscores { booru::names::underscored(name) } else { booru::names::spaced(name) };
    let tags = post.tags.iter().map(|t| Tag { name: name(&t.name), score: None, category: t.kind.clone() });
    Some(Item {
        annotation: Annotation { text: None, tags: tags.collect(), extra: Some(extra.to_string()) },
        origin: Some(page),
        // Boards do not know it: a post says who made a picture, not what may be done with it.
        license: None,
        digest: post.digest.clone().filter(|_| version.original),
        ..Item::new(format!("{}-{}", site.family.name, post.id), Media::Url(version.url.clone()))
    })
}

/// Names in the place of an artist's.
const NOBODY: &[&str] =
    &["artist_request", "tagme", "unknown_artist", "anonymous_artist", "conditional_dnp", "sound_warning"];
