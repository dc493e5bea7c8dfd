//! Prompts for pictures that are made while a run trains, a line each, with sd-scripts' flags
//! (`train_util.line_to_prompt_dict`).

use anyhow::{Context, Result, bail};

/// What a line asks for. What it does not say is left to whoever makes the pictures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SamplePrompt {
    pub prompt: String,
    /// What should not be in the picture.
    pub negative_prompt: Option<String>,
    /// In pixels.
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub seed: Option<u64>,
    /// Steps of the sampler.
    pub sample_steps: Option<u32>,
    /// Classifier-free guidance.
    pub scale: Option<f64>,
    /// Guidance that the network is told of, for Flux.
    pub guidance_scale: Option<f64>,
    /// Name of a sampler, as sd-scripts or as the sampling nodes write it.
    pub sample_sampler: Option<String>,
}

/// A flag: its letters, what it means, and where its value goes.
struct Flag {
    name: &'static str,
    meaning: &'static str,
    set: fn(&mut SamplePrompt, &str) -> Result<()>,
}

const FLAGS: &[Flag] = &[
    Flag { name: "w", meaning: "width", set: |p, v| whole(v).map(|n| p.width = Some(n)) },
    Flag { name: "h", meaning: "height", set: |p, v| whole(v).map(|n| p.height = Some(n)) },
    Flag { name: "d", meaning: "seed", set: |p, v| whole(v).map(|n| p.seed = Some(n)) },
    Flag { name: "s", meaning: "steps", set: |p, v| whole(v).map(|n: u32| p.sample_steps = Some(n.clamp(1, 1000))) },
    Flag { name: "l", meaning: "scale of the guidance", set: |p, v| number(v).map(|n| p.scale = Some(n)) },
    Flag { name: "g", meaning: "guidance of Flux", set: |p, v| number(v).map(|n| p.guidance_scale = Some(n)) },
    Flag {
        name: "n",
        meaning: "negative prompt",
        set: |p, v| {
            p.negative_prompt = Some(v.to_owned());
            Ok(())
        },
    },
    Flag {
        name: "ss",
        meaning: "sampler",
        set: |p, v| {
            p.sample_sampler = Some(v.to_owned());
            Ok(())
        },
    },
];

fn whole<T: std::str::FromStr>(value: &str) -> Result<T> {
    value.parse().ok().with_context(|| format!("expected a whole number, found `{value}`"))
}

fn number(value: &str) -> Result<f64> {
    let n: f64 = value.parse().ok().with_context(|| format!("expected a number, found `{value}`"))?;
    if n.is_finite() { Ok(n) } else { bail!("expected a finite number, found `{value}`") }
}

/// sd-scripts' names of samplers that the sampling nodes have under another name.
const SAMPLERS: &[(&str, &str)] = &[
    ("euler_a", "euler_ancestral"),
    ("dpm_2_a", "dpm_2_ancestral"),
    ("dpmsolver", "dpmpp_2m"),
    ("dpmsolver++", "dpmpp_2m"),
];

impl SamplePrompt {
    /// The sampling nodes' name of the sampler that the line names, if it names one.
    ///
    /// # Errors
    /// There is no such sampler.
    pub fn sampler(&self) -> Result<Option<&'static str>> {
        let Some(name) = &self.sample_sampler else { return Ok(None) };
        // k-diffusion's own samplers have a prefix there.
        let name = name.strip_prefix("k_").unwrap_or(name);
        let name = SAMPLERS.iter().find(|(theirs, _)| *theirs == name).map_or(name, |(_, ours)| ours);
        Ok(Some(sample::sampler(name)?.name))
    }

    /// A line: the prompt, then flags such as `--w 512`. Flags may be written large or small.
    ///
    /// # Errors
    /// A flag that is not known, one without a value, or a value that is no number.
    pub fn parse(line: &str) -> Result<Self> {
        let line = line.trim();
        // A flag begins where two dashes follow a space, so that dashes within words are text.
        let mut parts = line.split(" --");
        let mut out = Self { prompt: parts.next().unwrap_or_default().trim().to_owned(), ..Self::default() };
        if out.prompt.starts_with("--") {
            bail!("prompt line `{line}`: expected a prompt before the flags");
        }
        for part in parts {
            let (name, value) = part.trim().split_once(char::is_whitespace).unwrap_or((part.trim(), ""));
            let Some(flag) = FLAGS.iter().find(|f| f.name.eq_ignore_ascii_case(name)) else {
                let known: Vec<String> = FLAGS.iter().map(|f| format!("--{} ({})", f.name, f.meaning)).collect();
                bail!("prompt line `{line}`: unknown flag `--{name}`; known: {}", known.join(", "));
            };
            let value = value.trim();
            if value.is_empty() {
                bail!("prompt line `{line}`: `--{name}` ({}) has no value", flag.meaning);
            }
            (flag.set)(&mut out, value)
                .with_context(|| format!("prompt line `{line}`: `--{name}` ({})", flag.meaning))?;
        }
        Ok(out)
    }

    /// The prompts of a text, one a line; empty lines and those that begin with `#` are left out.
    ///
    /// # Errors
    /// As [`Self::parse`], with the number of the line.
    pub fn parse_lines(text: &str) -> Result<Vec<Self>> {
        let lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.trim().starts_with('#'));
        lines.map(|(n, line)| Self::parse(line).with_context(|| format!("line {}", n + 1))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named() {
        let wrong = |line: &str| format!("{:#}", SamplePrompt::parse(line).unwrap_err());
        assert!(wrong("a fox --x 3").contains("unknown flag `--x`; known: --w (width), --h (height)"));
        assert!(wrong("a fox --w").contains("`--w` (width) has no value"));
        assert!(wrong("a fox --w wide").contains("expected a whole number, found `wide`"));
        assert!(wrong("a fox --l nan").contains("finite"));
        assert!(wrong("--w 512").contains("expected a prompt"));
        let lines = format!("{:#}", SamplePrompt::parse_lines("# all\n\na fox\na dog --q 1").unwrap_err());
        assert!(lines.starts_with("line 4: "), "{lines}");
    }

    #[test]
    fn samplers_have_the_names_of_either() {
        let sampler = |name: &str| SamplePrompt::parse(&format!("a fox --ss {name}")).unwrap().sampler();
        for (theirs, ours) in [("k_euler_a", "euler_ancestral"), ("ddim", "ddim"), ("dpmsolver++", "dpmpp_2m")] {
            assert_eq!(sampler(theirs).unwrap(), Some(ours));
        }
        for (theirs, _) in SAMPLERS {
            sampler(theirs).unwrap();
        }
        assert!(sampler("pndm").unwrap_err().to_string().contains("unknown sampler `pndm`; there are euler"));
        assert_eq!(SamplePrompt::parse("a fox").unwrap().sampler().unwrap(), None);
    }

    #[test]
    fn dashes_in_words_are_text() {
        let p = SamplePrompt::parse(" a well-kept -- fox--hound --D 7 ");
        assert!(p.is_err(), "two dashes alone are a flag without a name");
        let p = SamplePrompt::parse("a well-kept fox--hound - old --D 7").unwrap();
        assert_eq!((p.prompt.as_str(), p.seed), ("a well-kept fox--hound - old", Some(7)));
    }
}
