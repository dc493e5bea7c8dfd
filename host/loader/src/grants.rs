//! Who may use what: the user's grants, the site's ceiling, and the rights that follow for a plugin.

use crate::manifest::Requests;
use crate::services::retry::Policy;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use url::Url;

/// Seconds that a plugin may ask for by itself; a run can be cancelled all that time.
const LONGEST_CALL: u32 = 900;
/// Times that a host is asked that is busy or lost.
const HTTP_TRIES: NonZeroU32 = NonZeroU32::new(3).expect("not 0");
/// Seconds that a call waits for a host that asks for a pause. Most calls have 30.
const HTTP_WAIT: u32 = 20;

/// What the user's configuration allows. Unknown keys are errors.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Grants {
    /// For every plugin that has no entry of its own.
    pub default: Grant,
    /// By plugin id.
    pub plugins: BTreeMap<String, Grant>,
    /// What no entry may exceed; none: no ceiling.
    pub ceiling: Option<Ceiling>,
    /// An e-mail address or page of the user. Some sites ask programs to name one; only plugins that must tell get it.
    pub contact: Option<String>,
}

/// Where a key or password stands, and where it may be sent. Its value never stands in a configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SecretGrant {
    /// A variable of the environment.
    pub env: Option<String>,
    /// A file that only its owner can read; blanks and line breaks at its ends do not count.
    pub file: Option<PathBuf>,
    /// Patterns of URLs that may carry it.
    pub to: Vec<String>,
}

/// Where a native library runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NativeHome {
    /// In the program itself: nothing lies between them, and a crash of it is a crash of the program.
    #[default]
    InProcess,
    /// In a process of its own, one for each open instance: a crash costs the item that it was about.
    Process,
}

/// What one plugin is granted.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Grant {
    /// Patterns of model names.
    pub models: Vec<String>,
    /// Patterns of URLs.
    pub http: Vec<String>,
    /// Folders by name, read-only.
    pub folders: BTreeMap<String, PathBuf>,
    /// Private storage in MiB.
    pub storage_mib: u32,
    /// Patterns of names that its nodes may have; those that begin with its vendor need no grant.
    pub node_names: Vec<String>,
    /// By the names that the plugin uses.
    pub secrets: BTreeMap<String, SecretGrant>,
    /// Milliseconds between two requests to one host; none: what the plugin asks for.
    pub http_interval_ms: Option<u32>,
    /// Times that a host is asked that is busy or lost, the first included; none: 3, or fewer if the plugin says so.
    pub http_tries: Option<NonZeroU32>,
    /// Seconds that a call waits for a host that asks for a pause; one that asks for more is an error at once. None: 20.
    pub http_wait_seconds: Option<u32>,
    /// Seconds that one call may take; none: what the plugin asks for, at most a quarter of an hour.
    pub deadline_seconds: Option<u32>,
    /// Where its native library runs; none: as the configuration says for all.
    pub native: Option<NativeHome>,
}

impl Default for Grant {
    /// The models that it asks for and 1 MiB of storage; no network, no folders, no foreign names.
    fn default() -> Self {
        Self {
            models: vec!["*".into()],
            http: Vec::new(),
            folders: BTreeMap::new(),
            storage_mib: 1,
            node_names: Vec::new(),
            secrets: BTreeMap::new(),
            http_interval_ms: None,
            http_tries: None,
            http_wait_seconds: None,
            deadline_seconds: None,
            native: None,
        }
    }
}

/// The most that any grant gives.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Ceiling {
    pub models: Vec<String>,
    pub http: Vec<String>,
    pub storage_mib: u32,
    pub node_names: Vec<String>,
}

/// What a plugin may use: its requests ∩ the user's grants ∩ the ceiling.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    plugin: String,
    requests: Requests,
    grant: Grant,
    ceiling: Option<Ceiling>,
    /// Granted folders that the plugin asked for.
    pub folders: BTreeMap<String, PathBuf>,
    /// Bytes of private storage.
    pub storage: u64,
    contact: Option<String>,
}

impl Rights {
    pub(crate) fn new(plugin: &str, requests: &Requests, grants: &Grants) -> Self {
        let grant = grants.plugins.get(plugin).unwrap_or(&grants.default).clone();
        let folders = grant
            .folders
            .iter()
            .filter(|(name, _)| requests.folders.contains(name))
            .map(|(name, path)| (name.clone(), path.clone()))
            .collect();
        let mib = grant.storage_mib.min(requests.storage_mib.max(1));
        let mib = grants.ceiling.as_ref().map_or(mib, |c| mib.min(c.storage_mib));
        Self {
            plugin: plugin.to_owned(),
            requests: requests.clone(),
            grant,
            ceiling: grants.ceiling.clone(),
            folders,
            storage: u64::from(mib) << 20,
            contact: grants.contact.clone(),
        }
    }

    /// May the plugin use the model of this name?
    ///
    /// # Errors
    /// Which grant is missing, and where.
    pub fn model(&self, name: &str) -> Result<(), String> {
        let within = |patterns: &[String]| patterns.iter().any(|p| glob(p, name));
        let asked = || format!("`models = [\"{name}\"]`");
        self.decide(
            &format!("model `{name}`"),
            &asked(),
            within(&self.requests.models),
            within(&self.grant.models),
            self.ceiling.as_ref().is_none_or(|c| within(&c.models)),
        )
    }

    /// May the plugin send a request of this method (`GET`, `HEAD`, `POST`) to this URL?
    ///
    /// # Errors
    /// Which grant is missing, and where.
    pub fn http(&self, method: &str, url: &Url) -> Result<(), String> {
        let within = |patterns: &[String]| any_allows(patterns, method, url);
        let asked = |p: &String| UrlPattern::parse_request(p).is_ok_and(|p| p.allows(method, url));
        let host = url.host_str().unwrap_or_default();
        let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
        let post = if method == "POST" { "POST " } else { "" };
        self.decide(
            &format!("{method} {}://{host}{port}{}", url.scheme(), url.path()),
            &format!("`http = [\"{post}{}://{host}{port}/*\"]`", url.scheme()),
            self.requests.http.iter().any(asked),
            within(&self.grant.http),
            self.ceiling.as_ref().is_none_or(|c| within(&c.http)),
        )
    }

    /// May a node of the plugin have this name? A name without its vendor could be one of the host's own.
    ///
    /// # Errors
    /// Which grant is missing, and where.
    pub(crate) fn node_name(&self, name: &str) -> Result<(), String> {
        let vendor = self.plugin.split('.').next().unwrap_or_default();
        if name.split_once('.').is_some_and(|(first, _)| first == vendor) {
            return Ok(());
        }
        let within = |patterns: &[String]| patterns.iter().any(|p| glob(p, name));
        self.decide(
            &format!("node name `{name}`, which does not begin with `{vendor}.`,"),
            &format!("`node-names = [\"{name}\"]`"),
            within(&self.requests.node_names),
            within(&self.grant.node_names),
            self.ceiling.as_ref().is_none_or(|c| within(&c.node_names)),
        )
    }

    /// Where the secret of this name stands, if a request to `url` may carry it.
    ///
    /// # Errors
    /// Which grant is missing, and where.
    pub(crate) fn secret(&self, name: &str, method: &str, url: &Url) -> Result<&SecretGrant, String> {
        let plugin = &self.plugin;
        let origin = url.origin().ascii_serialization();
        if !self.requests.secrets.iter().any(|p| glob(p, name)) {
            return Err(format!("secret `{name}`: the plugin's manifest does not ask for it under [requests]"));
        }
        let Some(found) = self.grant.secrets.get(name) else {
            return Err(format!(
                "secret `{name}` is not set: add `\"{name}\" = {{ env = \"NAME\", to = [\"{origin}/*\"] }}` under \
                 [grants.plugins.\"{plugin}\".secrets], or `file = \"path\"` for a file that only you can read"
            ));
        };
        if any_allows(&found.to, method, url) {
            return Ok(found);
        }
        Err(format!(
            "secret `{name}` may not be sent to {origin}: add \"{origin}/*\" to its `to` under \
             [grants.plugins.\"{plugin}\".secrets] if that is meant"
        ))
    }

    /// How requests name themselves; none: as the host usually does.
    ///
    /// # Errors
    /// The plugin must name a contact, and none is set.
    pub(crate) fn contact(&self) -> Result<Option<&str>, String> {
        if !self.requests.contact {
            return Ok(None);
        }
        let fits =
            |c: &&str| c.len() >= 3 && c.bytes().all(|b| b.is_ascii_graphic() || b == b' ') && !c.contains(['(', ')']);
        match self.contact.as_deref().map(str::trim).filter(|c| !c.is_empty()) {
            None => Err("no contact is set: the sites that this plugin asks want to know whom to write to when a program \
                         troubles them; set `contact = \"you@example.org\"`, or the address of your page, under [grants]"
                .to_owned()),
            Some(contact) if fits(&contact) => Ok(Some(contact)),
            Some(contact) => Err(format!(
                "contact: expected an e-mail address or a page's address in plain ASCII without brackets, found {contact:?}"
            )),
        }
    }

    /// Where its native library runs, if there is a choice for it alone.
    pub(crate) fn native(&self) -> Option<NativeHome> {
        self.grant.native
    }

    /// Pause between two requests to one host.
    pub(crate) fn http_interval(&self) -> std::time::Duration {
        let milliseconds = self.grant.http_interval_ms.unwrap_or(self.requests.http_interval_ms);
        std::time::Duration::from_millis(milliseconds.into())
    }

    /// How often a host is asked that is busy or lost, and how long is waited for one that asks for a pause.
    pub(crate) fn http_retry(&self) -> Policy {
        let asked = self.requests.http_tries.unwrap_or(HTTP_TRIES).min(HTTP_TRIES);
        let tries = self.grant.http_tries.unwrap_or(asked).get();
        let seconds = self.grant.http_wait_seconds.unwrap_or(HTTP_WAIT);
        Policy { tries, longest: std::time::Duration::from_secs(seconds.into()) }
    }

    /// Time that one call may take: as long as any, or longer if the plugin asks for it and the user does not forbid it.
    pub(crate) fn deadline(&self, usual: std::time::Duration) -> std::time::Duration {
        let most = self.grant.deadline_seconds.unwrap_or(LONGEST_CALL);
        usual.max(std::time::Duration::from_secs(self.requests.deadline_seconds.min(most).into()))
    }

    fn decide(&self, what: &str, key: &str, requested: bool, granted: bool, allowed: bool) -> Result<(), String> {
        let missing = if !requested {
            format!("the plugin's manifest does not ask for it; its author must add {key} under [requests]")
        } else if !granted {
            format!("grant {key} under [grants.plugins.\"{}\"] to allow it", self.plugin)
        } else if !allowed {
            format!("this site's ceiling forbids it; it would need {key} under [grants.ceiling]")
        } else {
            return Ok(());
        };
        Err(format!("{what} is not granted: {missing}"))
    }

    /// What the plugin may do, in plain words, for `plugins explain`.
    pub(crate) fn may(&self, usual: std::time::Duration) -> Vec<String> {
        let ceiling = |pick: fn(&Ceiling) -> &Vec<String>, p: &str| {
            self.ceiling.as_ref().is_none_or(|c| pick(c).iter().any(|g| g == p || glob(g, p)))
        };
        let granted = |asked: &[String], given: &[String], pick: fn(&Ceiling) -> &Vec<String>| -> Vec<String> {
            // The narrower of the two is what holds.
            let narrow = |a: &String| {
                let wide = UrlPattern::parse(a).is_err();
                let of = given.iter().filter_map(move |g| match (a == g || glob(g, a), glob(a, g) || wide) {
                    (true, _) => Some(a.clone()),
                    (_, true) => Some(g.clone()),
                    _ => None,
                });
                of.collect::<Vec<_>>()
            };
            let mut all: Vec<String> = asked.iter().flat_map(narrow).filter(|p| ceiling(pick, p)).collect();
            all.sort();
            all.dedup();
            all
        };
        let mut may = vec![format!(
            "look at what its nodes are given (pictures, tags, prompts), and compute, up to {} s for one call",
            self.deadline(usual).as_secs()
        )];
        let plain = |a: &[String], g: &[String]| -> Vec<String> {
            a.iter().filter(|a| g.iter().any(|g| g == *a || glob(g, a))).cloned().collect()
        };
        let models: Vec<String> = plain(&self.requests.models, &self.grant.models)
            .into_iter()
            .filter(|p| ceiling(|c| &c.models, p))
            .collect();
        if !models.is_empty() {
            may.push(format!("run models on that, without seeing their weights: {}", models.join(", ")));
        }
        let http = granted(&self.requests.http, &self.grant.http, |c| &c.http);
        if http.is_empty() {
            may.push("not reach the network".to_owned());
        } else {
            may.push(format!(
                "send all that it was given to these addresses, and read what they answer: {}",
                http.join(", ")
            ));
            if let (true, Some(contact)) = (self.requests.contact, &self.contact) {
                may.push(format!("tell them your contact, {contact}"));
            }
        }
        for (name, secret) in
            self.grant.secrets.iter().filter(|(n, _)| self.requests.secrets.iter().any(|p| glob(p, n)))
        {
            may.push(format!(
                "have your key `{name}` put into requests to {}, without seeing it",
                secret.to.join(", ")
            ));
        }
        for (name, path) in &self.folders {
            may.push(format!("read, never write, everything below {} (as `{name}`)", path.display()));
        }
        if self.folders.is_empty() {
            may.push("read no files but those of folders that a workflow names for its node".to_owned());
        }
        may.push(format!("remember up to {} MiB from one run to the next", self.storage >> 20));
        let names = plain(&self.requests.node_names, &self.grant.node_names);
        if !names.is_empty() {
            may.push(format!("offer nodes by names of others: {}", names.join(", ")));
        }
        may
    }

    /// The rights as lines of `key = value`, for `plugins explain`.
    pub fn lines(&self) -> Vec<String> {
        let state = |list: &[String], has: &dyn Fn(&str) -> bool| -> Vec<String> {
            list.iter().map(|p| format!("{p} ({})", if has(p) { "granted" } else { "refused" })).collect()
        };
        let covered = |patterns: &[String], p: &str| patterns.iter().any(|g| g == p || glob(g, p));
        let granted: Vec<&str> = self.grant.secrets.keys().map(String::as_str).collect();
        let models = state(&self.requests.models, &|p| {
            covered(&self.grant.models, p) && self.ceiling.as_ref().is_none_or(|c| covered(&c.models, p))
        });
        let (wide, named): (Vec<String>, Vec<String>) =
            self.requests.http.iter().cloned().partition(|p| UrlPattern::parse(p).is_err());
        let mut http = state(&named, &|p| {
            covered(&self.grant.http, p) && self.ceiling.as_ref().is_none_or(|c| covered(&c.http, p))
        });
        if !wide.is_empty() {
            let open = if self.grant.http.is_empty() { "none yet".to_owned() } else { self.grant.http.join(", ") };
            http.push(format!("any site that you grant ({open})"));
        }
        let folders = state(&self.requests.folders, &|p| self.folders.contains_key(p));
        let names = state(&self.requests.node_names, &|p| {
            covered(&self.grant.node_names, p) && self.ceiling.as_ref().is_none_or(|c| covered(&c.node_names, p))
        });
        let join = |v: Vec<String>| if v.is_empty() { "none".to_owned() } else { v.join(", ") };
        vec![
            format!("models: {}", join(models)),
            format!("http: {}", join(http)),
            format!("contact: {}", if self.requests.contact { "named to the sites it asks" } else { "not named" }),
            match self.http_interval().as_millis() {
                0 => "requests to one host: without a pause".to_owned(),
                pause => format!("requests to one host: {pause} ms apart"),
            },
            match self.http_retry() {
                Policy { tries: 1, .. } => "a host that is busy: asked once".to_owned(),
                Policy { tries, longest } => {
                    format!(
                        "a host that is busy: asked up to {tries} times, with pauses of up to {} s",
                        longest.as_secs()
                    )
                }
            },
            format!(
                "secrets: {} (it never sees their values); given: {}",
                join(self.requests.secrets.clone()),
                if granted.is_empty() { "none".to_owned() } else { granted.join(", ") }
            ),
            format!("folders: {}", join(folders)),
            match self.deadline(std::time::Duration::ZERO).as_secs() {
                0 => "time of one call: as any plugin's".to_owned(),
                seconds => format!("time of one call: up to {seconds} s"),
            },
            format!("storage: {} MiB", self.storage >> 20),
            format!("node names beyond its own: {}", join(names)),
        ]
    }
}

fn any_allows(patterns: &[String], method: &str, url: &Url) -> bool {
    patterns.iter().filter_map(|p| UrlPattern::parse(p).ok()).any(|p| p.allows(method, url))
}

/// Does `name` match `pattern`, where `*` stands for any number of any characters?
pub(crate) fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// `[POST ]scheme://host[:port]/path`: the host may begin with `*.`, the path may hold `*`. What a plugin asks for may
/// also name every host and every port, since only the user's grant opens one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UrlPattern {
    post: bool,
    scheme: String,
    host: String,
    /// None: every port.
    port: Option<u16>,
    path: String,
}

impl UrlPattern {
    /// A pattern that grants.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::read(text, false)
    }

    /// A pattern that asks.
    pub(crate) fn parse_request(text: &str) -> Result<Self, String> {
        Self::read(text, true)
    }

    fn read(text: &str, wide: bool) -> Result<Self, String> {
        let bad =
            |why: &str| format!("expected `https://host/path*` with `POST ` in front to post, found {text:?}: {why}");
        let (post, rest) = text.strip_prefix("POST ").map_or((false, text), |rest| (true, rest));
        let (scheme, rest) = rest.split_once("://").ok_or_else(|| bad("no scheme"))?;
        if !["http", "https"].contains(&scheme) {
            return Err(bad("only http and https can be granted"));
        }
        let (authority, path) = rest.split_once('/').ok_or_else(|| bad("no path; end with `/*` for all of a host"))?;
        // An IPv6 address stands in brackets, and its colons are no port.
        let (host, port) = match authority.rsplit_once(':').filter(|(_, p)| !p.contains(']')) {
            Some((host, "*")) if wide => (host, None),
            Some((host, port)) => (host, Some(port.parse().map_err(|_| bad("the port is not a number"))?)),
            None => (authority, Some(if scheme == "https" { 443 } else { 80 })),
        };
        let plain = host.strip_prefix("*.").unwrap_or(host);
        let any = wide && host == "*";
        if any {
            // Checked below by the user's own patterns.
        } else if plain.is_empty() || plain.contains(['*', '@', ' ']) {
            return Err(bad("the host is a name, an address, or `*.` and a name"));
        }
        Ok(Self { post, scheme: scheme.to_owned(), host: host.to_ascii_lowercase(), port, path: format!("/{path}") })
    }

    fn allows(&self, method: &str, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let host_fits = match self.host.strip_prefix("*.") {
            Some(domain) => host.strip_suffix(domain).is_some_and(|sub| sub.ends_with('.')),
            None => self.host == "*" || host == self.host,
        };
        // A query is part of what `*` covers: `/posts.json*` allows `/posts.json?page=2`.
        let target = url.query().map_or_else(|| url.path().to_owned(), |q| format!("{}?{q}", url.path()));
        let path_fits = glob(&self.path, url.path()) || glob(&self.path, &target);
        (method != "POST" || self.post)
            && url.username().is_empty()
            && url.scheme() == self.scheme
            && self.port.is_none_or(|port| url.port_or_known_default() == Some(port))
            && host_fits
            && path_fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_any_characters() {
        for (pattern, name, fits) in [
            ("taggers/*", "taggers/wd-vit", true),
            ("taggers/*", "vlm/x", false),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
        ] {
            assert_eq!(glob(pattern, name), fits, "{pattern} {name}");
        }
    }

    fn allows(pattern: &str, method: &str, url: &str) -> bool {
        UrlPattern::parse(pattern).unwrap().allows(method, &Url::parse(url).unwrap())
    }

    #[test]
    fn url_patterns_compare_every_part() {
        let p = "https://booru.example/*.json";
        assert!(allows(p, "GET", "https://booru.example/posts.json"));
        assert!(allows(p, "GET", "https://BOORU.example/a/posts.json?page=2"), "host case and query do not matter");
        for url in [
            "http://booru.example/posts.json",
            "https://booru.example:8443/posts.json",
            "https://booru.example/posts.xml",
            "https://evil.example/https://booru.example/posts.json",
            "https://booru.example@evil.example/posts.json",
            "https://user@booru.example/posts.json",
            "https://sub.booru.example/posts.json",
            "https://booru.example.evil.com/posts.json",
        ] {
            assert!(!allows(p, "GET", url), "{url}");
        }
        assert!(!allows(p, "POST", "https://booru.example/posts.json"));
        assert!(allows("POST https://booru.example/*", "POST", "https://booru.example/x"));
        assert!(allows("https://*.booru.example/*", "GET", "https://cdn.booru.example/x"));
        assert!(!allows("https://*.booru.example/*", "GET", "https://evilbooru.example/x"));
        assert!(!allows("https://*.booru.example/*", "GET", "https://booru.example/x"));
        assert!(allows("http://[::1]:8000/*", "GET", "http://[::1]:8000/x"));
        assert!(allows("http://127.0.0.1:8000/*", "GET", "http://127.0.0.1:8000/x"));
    }

    #[test]
    fn asking_for_every_host_grants_none() {
        let requests = Requests { http: vec!["https://*/*".into(), "http://*:*/*".into()], ..Requests::default() };
        let grant = Grant { http: vec!["http://127.0.0.1:8000/*".into(), "https://*/*".into()], ..Grant::default() };
        let r = Rights::new("x.y", &requests, &Grants { default: grant, ..Grants::default() });
        assert!(r.http("GET", &Url::parse("http://127.0.0.1:8000/x").unwrap()).is_ok());
        for url in ["http://127.0.0.1:8001/x", "https://a.example/x"] {
            let e = r.http("GET", &Url::parse(url).unwrap()).unwrap_err();
            assert!(e.contains("to allow it"), "a grant never covers every host: {e}");
        }
        assert!(UrlPattern::parse_request("https://*:1/*").is_ok() && UrlPattern::parse("https://a:*/x").is_err());
    }

    #[test]
    fn secrets_go_only_where_the_user_says() {
        let requests = Requests { secrets: vec!["*.example".into()], ..Requests::default() };
        let secret =
            SecretGrant { env: Some("KEY".into()), to: vec!["https://a.example/*".into()], ..SecretGrant::default() };
        let grant = Grant { secrets: [("a.example".into(), secret)].into(), ..Grant::default() };
        let r = Rights::new("x.y", &requests, &Grants { default: grant, ..Grants::default() });
        let url = |s: &str| Url::parse(s).unwrap();
        assert!(r.secret("a.example", "GET", &url("https://a.example/x")).is_ok());
        let e = r.secret("a.example", "GET", &url("https://evil.example/x")).unwrap_err();
        assert!(e.contains("may not be sent to https://evil.example"), "{e}");
        let e = r.secret("b.example", "GET", &url("https://b.example/x")).unwrap_err();
        assert!(e.contains("is not set") && e.contains("secrets]"), "{e}");
        assert!(r.secret("other", "GET", &url("https://a.example/x")).unwrap_err().contains("does not ask"));
    }

    #[test]
    fn a_contact_must_be_named_if_the_plugin_says_so() {
        let requests = Requests { contact: true, http_interval_ms: 1000, ..Requests::default() };
        let rights = |contact: Option<&str>| {
            Rights::new("x.y", &requests, &Grants { contact: contact.map(str::to_owned), ..Grants::default() })
        };
        assert!(rights(None).contact().unwrap_err().contains("under [grants]"));
        assert!(rights(Some(" ")).contact().is_err() && rights(Some("a\r\nx: y")).contact().is_err());
        assert_eq!(rights(Some("me@example.org")).contact(), Ok(Some("me@example.org")));
        assert_eq!(rights(None).http_interval().as_millis(), 1000);
        let free =
            Rights::new("x.y", &Requests::default(), &Grants { contact: Some("me@x".into()), ..Grants::default() });
        assert_eq!(free.contact(), Ok(None), "it is told to nobody who does not need it");
    }

    #[test]
    fn long_calls_are_asked_for_and_capped() {
        let second = std::time::Duration::from_secs(1);
        let deadline = |asked, granted| {
            let requests = Requests { deadline_seconds: asked, ..Requests::default() };
            let default = Grant { deadline_seconds: granted, ..Grant::default() };
            Rights::new("x.y", &requests, &Grants { default, ..Grants::default() }).deadline(30 * second)
        };
        assert_eq!(deadline(0, Some(600)), 30 * second, "nobody asked");
        assert_eq!(deadline(600, None), 600 * second);
        assert_eq!(deadline(u32::MAX, None), 900 * second);
        assert_eq!(deadline(600, Some(60)), 60 * second);
        assert_eq!(deadline(600, Some(1)), 30 * second, "never less than any plugin has");
        assert_eq!(deadline(7200, Some(3600)), 3600 * second);
    }

    #[test]
    fn bad_patterns_say_what_is_expected() {
        for p in ["booru.example", "ftp://a/*", "https://a", "https://*/x", "https://a:x/", "https://*.*/x"] {
            assert!(UrlPattern::parse(p).unwrap_err().contains("https://host/path*"), "{p}");
        }
    }

    #[test]
    fn rights_are_the_intersection_and_name_what_is_missing() {
        let requests = Requests {
            models: vec!["taggers/*".into()],
            http: vec!["https://a.example/*".into(), "https://b.example/*".into()],
            folders: vec!["dataset".into()],
            storage_mib: 8,
            ..Requests::default()
        };
        let mut grants = Grants::default();
        let right = |grants: &Grants| Rights::new("x.y", &requests, grants);
        let url = |s: &str| Url::parse(s).unwrap();

        assert!(right(&grants).model("taggers/a").is_ok());
        let e = right(&grants).model("vlm/b").unwrap_err();
        assert!(e.contains("model `vlm/b`") && e.contains("[requests]"), "{e}");
        let e = right(&grants).http("GET", &url("https://a.example/x")).unwrap_err();
        assert!(e.contains("http = [\"https://a.example/*\"]") && e.contains("[grants.plugins.\"x.y\"]"), "{e}");
        assert_eq!(right(&grants).storage, 1 << 20);

        let grant = Grant {
            http: vec!["https://*.example/*".into(), "https://a.example/*".into(), "https://b.example/*".into()],
            folders: [("dataset".into(), "/d".into()), ("other".into(), "/o".into())].into(),
            storage_mib: 64,
            ..Grant::default()
        };
        grants.plugins.insert("x.y".into(), grant);
        let r = right(&grants);
        assert!(r.http("GET", &url("https://a.example/x")).is_ok());
        assert!(r.http("GET", &url("https://c.example/x")).is_err(), "granted, but not asked for");
        assert_eq!(r.folders.keys().collect::<Vec<_>>(), ["dataset"]);
        assert_eq!(r.storage, 8 << 20);

        grants.ceiling = Some(Ceiling { http: vec!["https://b.example/*".into()], ..Ceiling::default() });
        let r = right(&grants);
        assert!(r.http("GET", &url("https://a.example/x")).unwrap_err().contains("ceiling"));
        assert!(r.http("GET", &url("https://b.example/x")).is_ok());
        assert_eq!(r.storage, 0);
    }
}
