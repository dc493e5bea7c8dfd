//! Are the captions what the configuration expects?

use super::some;
use crate::Config;
use crate::captions::{Pipeline, is_sentences};
use crate::own::Own;
use data::{Dataset, Item};

/// How many tags in front keep their places, for each image.
pub(crate) fn keep_tokens(own: &Own, dataset: &Dataset) -> Vec<usize> {
    let mut keep = vec![0; dataset.items.len()];
    for (config, members) in own.groups() {
        let chosen = config.captions.keep_tokens;
        let automatic = match config.captions.activation_tags.len() {
            0 => common_start(&lists(config, dataset, &members)),
            n => n,
        };
        for i in members {
            // Regularisation images have no activation tag.
            keep[i] = chosen.unwrap_or(if dataset.items[i].is_reg { 0 } else { automatic });
        }
    }
    keep
}

/// Looks at all captions.
pub(super) fn check(own: &Own, dataset: &Dataset, problems: &mut Vec<String>, warnings: &mut Vec<String>) {
    missing(own, dataset, problems, warnings);
    for (config, members) in own.groups() {
        check_activation(config, dataset, &members, problems);
        let common = common_start(&lists(config, dataset, &members));
        let c = &config.captions;
        if let Some(keep) = c.keep_tokens
            && c.shuffle_tags
            && c.activation_tags.is_empty()
            && keep < common
        {
            warnings.push(format!(
                "all captions start with the same {common} tags, but `keep_tokens` is {keep}: shuffling will move them"
            ));
        }
    }
    let lines = |i: &&Item| i.caption().contains('\n');
    let several = dataset.items.iter().enumerate().filter(|(i, _)| !own.of(*i).captions.wildcards);
    let several: Vec<&str> = several.map(|(_, i)| i).filter(lines).map(|i| i.id.as_str()).collect();
    if !several.is_empty() {
        warnings.push(format!(
            "{} captions have several lines, of which only the first counts without `wildcards`: {}",
            several.len(),
            some(&several)
        ));
    }
}

fn missing(own: &Own, dataset: &Dataset, problems: &mut Vec<String>, warnings: &mut Vec<String>) {
    for allowed in [false, true] {
        let items = dataset.items.iter().enumerate();
        let without =
            items.filter(|(i, item)| own.of(*i).captions.allow_missing_captions == allowed && !item.has_caption());
        let without: Vec<&str> = without.map(|(_, item)| item.id.as_str()).collect();
        if without.is_empty() {
            continue;
        }
        let text = format!("{} of {} images have no caption: {}", without.len(), dataset.items.len(), some(&without));
        if allowed {
            warnings.push(text);
        } else {
            problems.push(format!("{text}; caption them, remove them, or set `allow_missing_captions`"));
        }
    }
}

fn check_activation(config: &Config, dataset: &Dataset, members: &[usize], problems: &mut Vec<String>) {
    let tags: Vec<&str> = config.captions.activation_tags.iter().map(|t| t.trim()).collect();
    let starts = |item: &Item| {
        let caption = config.whole(item);
        if is_sentences(item) {
            return tags.iter().all(|t| caption.contains(t));
        }
        let found = config.captions.pipeline(0).tags(&caption);
        found.len() >= tags.len() && found.iter().zip(&tags).all(|(a, b)| a == b)
    };
    let asked = members.iter().map(|&i| &dataset.items[i]).filter(|i| i.has_caption() && !i.is_reg);
    let without: Vec<&str> = asked.filter(|i| !starts(i)).map(|i| i.id.as_str()).collect();
    if !without.is_empty() {
        problems.push(format!(
            "{} captions do not start with the activation tag `{}`: {}",
            without.len(),
            tags.join(", "),
            some(&without)
        ));
    }
}

impl Config {
    /// A caption with its prefix and suffix.
    fn whole(&self, item: &Item) -> String {
        let caption = item.caption();
        let pipeline: Pipeline = self.captions.pipeline(0).for_caption(&caption, is_sentences(item));
        pipeline.dressed(&caption)
    }
}

/// The tags of captions that may be shuffled.
fn lists(config: &Config, dataset: &Dataset, members: &[usize]) -> Vec<Vec<String>> {
    let items = members.iter().map(|&i| &dataset.items[i]);
    let tagged = items.filter(|i| !is_sentences(i) && i.has_caption() && !i.is_reg);
    tagged.map(|i| config.captions.pipeline(0).tags(&config.whole(i))).collect()
}

/// How many tags all captions have in common at their start; 0 if they don't differ at all.
fn common_start(lists: &[Vec<String>]) -> usize {
    let Some((first, rest)) = lists.split_first() else { return 0 };
    let (mut common, mut differ) = (first.len(), false);
    for tags in rest {
        let same = first.iter().zip(tags).take_while(|(a, b)| a == b).count();
        differ |= same < first.len() || same < tags.len();
        common = common.min(same);
    }
    if differ { common } else { 0 }
}
