//! Files that a plugin names and the host fetches: with its grants, two at a time, resumed where a connection broke.

use super::http::{Method, Part, Request, allowed, exchange};
use super::pace::jittered;
use super::{Services, refuse};
use crate::error::Fault;
use spec::{ErrorKind, PluginError};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tries of one file.
const TRIES: u32 = 5;
/// Longest time of one try.
const TRY: Duration = Duration::from_secs(300);
/// First pause after a failure; it doubles.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause that a host may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(600);

impl Services {
    /// The whole file at an address.
    pub(crate) fn download(&mut self, url: &str) -> Result<Result<Vec<u8>, PluginError>, Fault> {
        let fetched = self.download_file(url)?;
        Ok(self.note(fetched))
    }

    fn download_file(&mut self, url: &str) -> Result<Result<Vec<u8>, PluginError>, Fault> {
        // A file may take longer than a call into a plugin; only cancelling ends it early.
        self.limits.deadline = TRIES * (TRY + MAX_PAUSE);
        self.begin_call();
        let agent = match self.agent() {
            Ok(agent) => agent,
            Err(e) => return Ok(Err(e)),
        };
        let parsed = match allowed(&self.rights, Method::Get, url) {
            Ok(url) => url,
            Err(e) => return Ok(Err(e)),
        };
        let host = parsed.authority().to_owned();
        let cancelled = self.call.cancelled.clone();
        let network = self.network.clone();
        let Some(_slot) = network.pace.download(&host, || cancelled()) else { return Err(Fault::Cancelled) };
        let mut part = Part::default();
        let mut pause = PAUSE;
        for left in (0..TRIES).rev() {
            let mut headers = Vec::new();
            if let (false, Some(tag)) = (part.body.is_empty(), &part.tag) {
                headers.push(("range".to_owned(), format!("bytes={}-", part.body.len())));
                headers.push(("if-range".to_owned(), tag.clone()));
            } else {
                part = Part::default();
            }
            let request = Request {
                method: Method::Get,
                url: url.to_owned(),
                headers,
                body: None,
                timeout_ms: None,
                max_bytes: None,
            };
            let (rights, parsed, agent, max) =
                (self.rights.clone(), parsed.clone(), agent.clone(), self.limits.transfer);
            let (outcome, kept) = self.blocking(move || {
                let outcome = exchange(&rights, parsed, request, Instant::now() + TRY, max, &agent, &mut part);
                (outcome, part)
            })?;
            part = kept;
            let error = match outcome {
                Ok(answer) => match answer.status {
                    200 | 206 => return Ok(Ok(std::mem::take(&mut part.body))),
                    // What was kept no longer fits the file.
                    416 => PluginError::new(ErrorKind::Unavailable, format!("{url}: the file changed")),
                    404 | 410 => {
                        return Ok(refuse(
                            ErrorKind::NotFound,
                            format!("{url}: expected a file, found status {}", answer.status),
                        ));
                    }
                    status => {
                        let again = [408, 425, 429].contains(&status) || status >= 500;
                        let mut e = PluginError::new(
                            ErrorKind::Unavailable,
                            format!("{url}: expected a file, found status {status}"),
                        );
                        e.retry_after_ms = answer.wait;
                        if !again {
                            return Ok(Err(e));
                        }
                        part = Part::default();
                        e
                    }
                },
                Err(e) if [ErrorKind::Unavailable, ErrorKind::Timeout].contains(&e.error.kind) => e.error,
                Err(e) => return Ok(Err(e.error)),
            };
            if left == 0 {
                return Ok(Err(PluginError { message: format!("{}; tried {TRIES} times", error.message), ..error }));
            }
            let wait = error.retry_after_ms.map_or(pause, Duration::from_millis).min(MAX_PAUSE);
            tracing::info!("{url}: {}; trying again in {:.1} s", error.message, wait.as_secs_f64());
            self.sleep(u32::try_from(jittered(wait).as_millis()).unwrap_or(u32::MAX));
            self.check()?;
            pause *= 2;
        }
        Ok(refuse(ErrorKind::Unavailable, format!("{url}: no answer")))
    }
}

/// What all plugins share of the network, and of what they were refused there and elsewhere.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) env: super::secrets::EnvFn,
    pub(crate) pace: Arc<super::pace::Pace>,
    pub(crate) responses: Arc<super::responses::Responses>,
    pub(crate) refusals: super::refusals::Refusals,
}

impl Default for Network {
    /// No environment, and no place for refusals.
    fn default() -> Self {
        Self {
            env: Arc::new(|_| None),
            pace: Arc::default(),
            responses: Arc::default(),
            refusals: super::refusals::Refusals::default(),
        }
    }
}
