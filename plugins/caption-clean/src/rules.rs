//! The phrases, as rows.

/// What a picture is called.
const PICTURE: &str = "(?:image|picture|photo|photograph|illustration|drawing|painting|artwork|art|scene|frame|screenshot|\
                       render|rendering|still|shot|snapshot|sketch|portrait|poster|composition)";

/// What a picture is said to do.
const SHOWS: &str = "(?:shows|depicts|features|presents|displays|captures|portrays|showcases|illustrates|contains|is of|\
                     is showing|is depicting|is featuring|represents|highlights|appears to show|appears to depict|\
                     seems to show|focuses on|includes)";

/// Beginnings of sentences that are cut; what follows begins the sentence.
pub(crate) fn lead_ins() -> Vec<String> {
    let about = "(?:of|showing|depicting|featuring|that shows|that depicts|which shows|which depicts)";
    vec![
        // "In this image, we can see …", "In the picture there is …"
        format!(
            "^(?:in|on) (?:this|the) (?:[\\w-]+ ){{0,3}}{PICTURE},? (?:(?:we|you|one) (?:can )?(?:see|observe)|there (?:is|are)|\
             can be seen)\\s+"
        ),
        // "This image is a digitally created scene from a film, depicting …"
        format!(
            "^(?:this|the) (?:[\\w-]+ ){{0,3}}{PICTURE} is an? [^.;]{{0,90}}?\\b{PICTURE}\\b(?: from [^.;]{{0,60}}?)?,? {about}\\s+"
        ),
        // "This is a picture of …"
        format!("^(?:this|it) is an? (?:[\\w-]+,? ){{0,4}}{PICTURE} {about}\\s+"),
        // "The image shows …"
        format!(
            "^(?:this|the) (?:[\\w-]+,? ){{0,4}}{PICTURE} (?:primarily |mainly |prominently |clearly )?{SHOWS}\\s+"
        ),
        // "Here we see …"
        "^(?:here,? )?(?:we|you|one) (?:can )?(?:also )?(?:see|observe)\\s+".to_owned(),
    ]
}

/// What a sentence about a mood speaks of, if it does not name the mood first.
const WHOLE: &str = "(?:setting|lighting|light|background|backdrop|palette|colors?|colours?|tones|style|combination|use|contrast|\
                     interplay|effect|overall)";

/// Sentences that say nothing of what can be seen.
pub(crate) fn moods() -> Vec<String> {
    let feeling = "(?:mood|atmosphere|tone|ambiance|ambience|vibe|feel|feeling|aesthetic)";
    let evokes = "(?:exudes?|evokes?|conveys?|radiates?|emanates?|invokes?|elicits?)";
    let gives = "(?:creates?|creating|adds?|adding|gives?|giving|contributes?|lends?)";
    // A girl whose dress evokes spring is a girl: only the picture as a whole has moods.
    let whole = format!("^(?:it|(?:the|this|these|its) (?:[\\w-]+,? ){{0,4}}?(?:{PICTURE}|{WHOLE}))\\b");
    vec![
        format!(
            "^(?:the |its |an? )?(?:overall |general )?(?:[\\w-]+ ){{0,2}}{feeling}\\b(?: and {feeling})?(?: of [^.]*?)? \
             (?:is|are|feels|seems|remains|{evokes})\\b"
        ),
        "^overall,? ".to_owned(),
        format!("{whole}[^.,]{{0,60}}? {evokes} "),
        format!("{whole}[^.,]{{0,60}}? {gives}\\b [^.]{{0,60}}?\\b(?:sense of|feeling of|{feeling})\\b"),
        "^(?:the|this) [^.]{0,40}?\\binvit(?:es|ing) (?:the )?viewers?\\b".to_owned(),
    ]
}

/// Words that begin a clause at a sentence's end, after a comma; true: only if it speaks of a mood.
pub(crate) const TAILS: &[(&str, bool)] = &[
    ("emphasizing", false),
    ("emphasising", false),
    ("evoking", false),
    ("exuding", false),
    ("conveying", true),
    ("creating", true),
    ("adding", true),
    ("giving", true),
    ("lending", true),
    ("suggesting", true),
    ("enhancing", true),
    ("contributing", true),
    ("highlighting", true),
    ("reflecting", true),
    ("capturing", true),
    ("inviting", true),
];

/// Words by which a clause is known to speak of a mood.
pub(crate) const MOOD_WORDS: &[&str] = &[
    "sense",
    "feeling",
    "feel",
    "mood",
    "atmosphere",
    "tone",
    "ambiance",
    "ambience",
    "vibe",
    "depth",
    "drama",
    "dramatic",
    "tension",
    "mystery",
    "serenity",
    "tranquility",
    "calm",
    "peace",
    "warmth",
    "nostalgia",
    "emotion",
    "emotional",
    "charm",
    "whimsy",
    "intensity",
    "aesthetic",
    "viewer",
    "viewers",
    "essence",
    "beauty",
    "elegance",
    "realism",
];

/// What ends a clause about a mood before the sentence ends.
pub(crate) const GOES_ON: &[&str] = &[", while ", ", and ", ", with ", ", as ", ", where ", ", but ", ", which ", "; "];

/// Guesses and what stands for them; `\u{1}` marks a place whose article is to be looked at.
pub(crate) const HEDGES: &[(&str, &str)] = &[
    // An aside is a guess as a whole.
    (", (?:possibly|perhaps|probably|presumably|likely|maybe)(?: [^,.;:!?()]*)?, ", " "),
    (
        ",? (?:possibly|perhaps|probably|presumably|maybe) (?:an?|the|from|in|at|on|of|due|because|representing|indicating|suggesting)\\b[^,.;:!?()]*",
        "",
    ),
    ("\\bwhat (?:appears|seems|looks) to be ", ""),
    ("\\b(?:appears|seems|looks) to be ", "is "),
    ("\\b(?:appear|seem|look) to be ", "are "),
    ("\\b(?:might|may|could) be ", "is "),
    ("\\b(?:apparently|seemingly|presumably|possibly|perhaps|probably|likely),? ", "\u{1}"),
];
