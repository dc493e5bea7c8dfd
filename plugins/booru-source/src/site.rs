//! One site: what is asked, with whose account, and how answers become lists or faults.

use crate::Settings;
use crate::cursor::At;
use crate::families::{Ask, Family, Listing, SignIn, Tags, encoded, named};
use crate::faults::{self, Fault};
use crate::post::Post;
use plugin_sdk::control::{self, Level};
use plugin_sdk::http::{self, Request};
use plugin_sdk::{Error, ErrorKind, Result};
use std::collections::BTreeMap;

/// Larger lists are a mistake.
const MAX_ANSWER: u64 = 32 << 20;
/// Names of one request about tags.
const NAMES: usize = 100;

pub(crate) struct Site {
    pub(crate) family: &'static Family,
    /// Without a slash at its end.
    pub(crate) base: String,
    /// What signs requests in, ready to be appended. The host puts the key in its place.
    account: String,
    xml: bool,
}

/// Why a request gave no list.
pub(crate) enum Failure {
    Fault(Fault),
    /// The host refused or could not ask.
    Host(Error),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Site {
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let family = named(&settings.family)
            .ok_or_else(|| Error::invalid_input(format!("family: no row for `{}`", settings.family)))?;
        let base = settings.base.trim().trim_end_matches('/').to_owned();
        let rest = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
        let host = rest.and_then(|r| r.split('/').next()).unwrap_or_default();
        if host.is_empty() || base.contains(['?', '#', '@', ' ']) {
            return Err(Error::invalid_input(format!(
                "base: expected the address of the site, such as https://danbooru.donmai.us, found {base:?}"
            )));
        }
        let account = account(family, settings, host)?;
        Ok(Self { family, account, xml: settings.answers == "xml", base })
    }

    /// Family and address, as messages begin.
    pub(crate) fn name(&self) -> String {
        format!("{} at {}", self.family.name, self.base)
    }

    pub(crate) fn error(&self, failure: Failure) -> Error {
        match failure {
            Failure::Fault(fault) => fault.error(&self.name()),
            Failure::Host(error) => error,
        }
    }

    /// The posts for tags, joined as the family does.
    pub(crate) fn list(&self, tags: &[String], limit: u32, at: At) -> Result<Listing, Failure> {
        let body = self.get(&(self.family.list)(&self.ask(tags, limit, at)))?;
        Ok((self.family.parse)(&body)?)
    }

    /// How many posts there are, if the site can be asked.
    pub(crate) fn count(&self, tags: &[String], limit: u32, listing: &Listing) -> Result<Option<u64>> {
        let Some(count) = &self.family.count else { return Ok(None) };
        if listing.posts.is_empty() {
            return Ok(Some(0));
        }
        match self.get(&(count.path)(&self.ask(tags, limit, self.family.paging.start()))) {
            Ok(body) => Ok((count.parse)(&body)),
            Err(Failure::Host(e)) if e.kind == ErrorKind::Cancelled => Err(e),
            Err(failure) => {
                // The list came; a site that cannot count is no reason to stop.
                control::log(Level::Warn, &format!("the posts could not be counted: {}", self.error(failure)));
                Ok(None)
            }
        }
    }

    /// How many posts have each of these tags.
    pub(crate) fn tag_counts(&self, tags: &Tags, names: &[String]) -> Result<BTreeMap<String, u64>> {
        let mut out = BTreeMap::new();
        for part in names.chunks(NAMES) {
            let part: Vec<String> = part.iter().map(|n| encoded(n)).collect();
            let body = self.get(&(tags.path)(&part)).map_err(|f| self.error(f))?;
            let found = (tags.parse)(&body).map_err(|f| self.error(f.into()))?;
            out.extend(found.into_iter().map(|t| (t.name, t.posts)));
        }
        Ok(out)
    }

    /// Fills in the kinds of tags that the list did not say; `known` keeps what was asked.
    pub(crate) fn add_kinds(
        &self,
        known: &mut BTreeMap<String, Option<&'static str>>,
        posts: &mut [Post],
    ) -> Result<()> {
        let Some(tags) = self.family.tags.as_ref().filter(|t| t.for_kinds) else { return Ok(()) };
        let mut names: Vec<String> = Vec::new();
        for tag in posts.iter().flat_map(|p| &p.tags) {
            if tag.kind.is_none() && !known.contains_key(&tag.name) {
                known.insert(tag.name.clone(), None);
                names.push(tag.name.clone());
            }
        }
        for part in names.chunks(NAMES) {
            let encoded: Vec<String> = part.iter().map(|n| encoded(n)).collect();
            let answer = self.get(&(tags.path)(&encoded)).and_then(|body| Ok((tags.parse)(&body)?));
            match answer {
                Ok(found) => known.extend(found.into_iter().map(|t| (t.name, t.kind))),
                Err(failure) => {
                    // So that the host can ask for the page again.
                    names.iter().for_each(|n| _ = known.remove(n));
                    return Err(self.error(failure));
                }
            }
        }
        for tag in posts.iter_mut().flat_map(|p| &mut p.tags).filter(|t| t.kind.is_none()) {
            tag.kind = known.get(&tag.name).copied().flatten().map(str::to_owned);
        }
        Ok(())
    }

    fn ask(&self, tags: &[String], limit: u32, at: At) -> Ask {
        Ask { tags: encoded(&tags.join(self.family.separator)), limit, at, xml: self.xml }
    }

    fn get(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let url = format!("{}{path}{}", self.base, self.account);
        let request = Request { url, max_bytes: Some(MAX_ANSWER), ..Request::default() };
        let response = http::fetch(&request).map_err(refused)?;
        match response.status {
            200 => Ok(response.body),
            status => Err(faults::of_status(status, &response.headers, &response.body).into()),
        }
    }
}

/// The host answers 429 itself, as an error that says how long to wait.
fn refused(error: Error) -> Failure {
    if error.kind != ErrorKind::RateLimited {
        return Failure::Host(error);
    }
    let mut fault = Fault::new(faults::What::TooFast, "expected a list of posts, found status 429 (too many requests)");
    fault.wait = error.retry_after_ms;
    Failure::Fault(fault)
}

/// The part of a query that signs in. `{secret:…}` is a place that the host fills, so that the key never comes here.
fn account(family: &Family, settings: &Settings, host: &str) -> Result<String> {
    let (login, user) = (settings.login.trim(), settings.user_id.trim());
    let name = if settings.secret.is_empty() { host } else { settings.secret.as_str() };
    let secret = format!("{{secret:{name}}}");
    if name.contains(['{', '}']) {
        return Err(Error::invalid_input(format!("secret: expected the name of a secret, found {name:?}")));
    }
    if !user.is_empty() && !user.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Error::invalid_input(format!(
            "user_id: expected the number of your account, found {user:?}; the number stands beside the key in the \
             account's settings, the name is not accepted"
        )));
    }
    let wrong = |given: &str, wants: &str| {
        Err(Error::invalid_input(format!("{given}: sites of the family {} sign in with {wants}", family.name)))
    };
    match family.sign_in {
        SignIn::Login { .. } if !user.is_empty() => wrong("user_id", "`login`, the account's name, and a key"),
        SignIn::UserId { .. } if !login.is_empty() => wrong("login", "`user_id`, the account's number, and a key"),
        SignIn::Key { .. } if !login.is_empty() || !user.is_empty() => {
            wrong("login and user_id", "a key alone, which `secret` names")
        }
        SignIn::Login { .. } if login.is_empty() => Ok(String::new()),
        SignIn::Login { key } => Ok(format!("&login={}&{key}={secret}", encoded(login))),
        SignIn::UserId { needed: true } if user.is_empty() => Err(Error::new(
            ErrorKind::Denied,
            format!(
                "user_id: {} answers nobody without an account (status 401): set `user_id` to its number and give the host \
                 the API key as the secret `{name}`; both stand in the account's settings on the site",
                settings.base.trim()
            ),
        )),
        SignIn::UserId { .. } if user.is_empty() => Ok(String::new()),
        SignIn::UserId { .. } => Ok(format!("&user_id={user}&api_key={secret}")),
        SignIn::Key { .. } if settings.secret.is_empty() => Ok(String::new()),
        SignIn::Key { key } => Ok(format!("&{key}={secret}")),
    }
}
