//! Asking again: which answers may pass, how long to wait for the next try, and when to give up.
//!
//! All tries and pauses of one request count against its own time limit and the call's. A run that is cancelled ends a
//! pause at once.

use super::Services;
use super::http::{Agent, Answer, Failed, Method, Part, Request, exchange};
use super::pace::chance;
use crate::Level;
use crate::error::Fault;
use spec::{ErrorKind, PluginError};
use std::time::{Duration, Instant};
use url::Url;

/// Upper bound of the pause before the second try, where the host named none; it doubles.
const PAUSE: Duration = Duration::from_millis(500);
/// Where doubling ends.
const MAX_PAUSE: Duration = Duration::from_secs(8);
/// What is added at most to a pause that a host asked for, so that those who were sent away together do not come back
/// together.
const SPREAD: Duration = Duration::from_secs(1);

/// How often, and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Times that a host is asked, the first included.
    pub(crate) tries: u32,
    /// The longest pause that a call makes because a host asks for it.
    pub(crate) longest: Duration,
}

/// The pause before the next try.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pause {
    time: Duration,
    /// The host asked for it.
    stated: bool,
}

impl Policy {
    /// The pause before another try, if one makes sense and fits into the time that is `left`. `chance` is in 0..1.
    fn next(&self, method: Method, tried: u32, outcome: Outcome, left: Duration, chance: f64) -> Option<Pause> {
        let harmless = method != Method::Post;
        let pause = match outcome {
            // The host did nothing with it and says so: even a POST may come again.
            Outcome::Status(429 | 503, Some(asked)) => {
                let spread = asked.div_f64(4.0).min(SPREAD).mul_f64(chance);
                Pause { time: asked + spread, stated: true }
            }
            Outcome::Status(429 | 502..=504, _) | Outcome::Lost if harmless => {
                let most = PAUSE.saturating_mul(1 << (tried - 1).min(10)).min(MAX_PAUSE);
                Pause { time: most.mul_f64(chance), stated: false }
            }
            _ => return None,
        };
        let asked = if let Outcome::Status(_, Some(asked)) = outcome { asked } else { Duration::ZERO };
        (tried < self.tries && asked <= self.longest && pause.time < left).then_some(pause)
    }
}

/// What became of one try.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// An answer of this status, and the pause that it asks for.
    Status(u16, Option<Duration>),
    /// The connection was not made in time, or broke before an answer.
    Lost,
    Failed,
}

impl Outcome {
    fn of(result: &Result<(Answer, Part), Failed>) -> Self {
        match result {
            Ok((answer, _)) => Self::Status(answer.status, answer.wait.map(Duration::from_millis)),
            Err(failed) if failed.lost => Self::Lost,
            Err(_) => Self::Failed,
        }
    }
}

impl Services {
    /// Asks a host in its turn, and again if what went wrong may pass. An answer 429 that stays is an error.
    pub(super) fn ask(
        &self,
        url: &Url,
        request: &Request,
        agent: &Agent,
        max: u64,
    ) -> Result<Result<(Answer, Part), PluginError>, Fault> {
        let asked = Duration::from_millis(request.timeout_ms.map_or(u64::MAX, u64::from)).min(self.remaining());
        let host = url.authority().to_owned();
        let (policy, mut tried, mut until) = (self.rights.http_retry(), 0, None);
        loop {
            let left = until.map_or(asked, |until: Instant| until.saturating_duration_since(Instant::now()));
            match self.network.pace.turn(&host, self.rights.http_interval(), left.min(self.remaining())) {
                Ok(wait) => self.wait(wait)?,
                Err(wait) => {
                    let e = limited(format!("{host} asked for a pause, which still lasts"), Some(wait), tried);
                    return Ok(Err(e));
                }
            }
            // The time limit begins when the first request leaves.
            let end = *until.get_or_insert_with(|| Instant::now() + asked.min(self.remaining()));
            let (rights, address, own, named) = (self.rights.clone(), url.clone(), request.clone(), agent.clone());
            let result = self.blocking(move || {
                let mut part = Part::default();
                exchange(&rights, address, own, end, max, &named, &mut part).map(|answer| (answer, part))
            })?;
            tried += 1;
            let outcome = Outcome::of(&result);
            if let Outcome::Status(429 | 503, Some(time)) = outcome {
                self.network.pace.hold(&host, time);
            }
            let left = end.saturating_duration_since(Instant::now()).min(self.remaining());
            let Some(pause) = policy.next(request.method, tried, outcome, left, chance()) else {
                return Ok(finish(result, &agent.secrets.hide(url.as_str()), tried));
            };
            self.tell(url, &result, pause, tried, policy.tries);
            self.wait(pause.time)?;
        }
    }

    /// Sleeps, unless the run is cancelled.
    fn wait(&self, time: Duration) -> Result<(), Fault> {
        if !time.is_zero() {
            self.sleep(u32::try_from(time.as_millis()).unwrap_or(u32::MAX));
            self.check()?;
        }
        Ok(())
    }

    /// Tells the user why nothing happens.
    fn tell(&self, url: &Url, result: &Result<(Answer, Part), Failed>, pause: Pause, tried: u32, tries: u32) {
        // Without user names or passwords, which an address may hold.
        let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
        let host = format!("{}{port}", url.host_str().unwrap_or_default());
        let seconds = pause.time.as_secs_f64();
        let why = match result {
            Ok((answer, _)) if pause.stated => {
                let asked = Duration::from_millis(answer.wait.unwrap_or_default()).as_secs_f64();
                format!("{host} asks to wait {asked:.0} s (status {})", answer.status)
            }
            Ok((answer, _)) => format!("{host} answered with status {}", answer.status),
            Err(_) => format!("{host}: the connection was lost before an answer"),
        };
        let line = format!("{}: {why}; asking again in {seconds:.1} s ({tried} of {tries} tries)", self.label);
        (self.call.log)(Level::Warn, &line);
    }
}

/// What the plugin gets in the end.
fn finish(result: Result<(Answer, Part), Failed>, shown: &str, tried: u32) -> Result<(Answer, Part), PluginError> {
    match result {
        Ok((answer, _)) if answer.status == 429 => {
            let wait = answer.wait.map(Duration::from_millis);
            let time = wait.map(|w| format!(" {:.0} s", w.as_secs_f64())).unwrap_or_default();
            Err(limited(format!("{shown}: the server asks to wait{time}"), wait, tried))
        }
        Ok(found) => Ok(found),
        Err(Failed { mut error, .. }) => {
            error.message.push_str(&times(tried));
            Err(error)
        }
    }
}

fn limited(message: String, wait: Option<Duration>, tried: u32) -> PluginError {
    let mut error = PluginError::new(ErrorKind::RateLimited, message + &times(tried));
    error.retry_after_ms = wait.and_then(|w| u64::try_from(w.as_millis()).ok());
    error
}

fn times(tried: u32) -> String {
    if tried > 1 { format!(" (asked {tried} times)") } else { String::new() }
}

/// What `Retry-After` says, in milliseconds: seconds, or a date. `date` is the answer's own date; the server's clock may
/// differ from this one's.
pub(super) fn retry_after(value: &str, date: Option<&str>) -> Option<u64> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let parse = |text: &str| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok();
    let now = date.and_then(parse).unwrap_or_else(jiff::Timestamp::now);
    // What has passed means: at once.
    Some(u64::try_from(parse(value)?.as_millisecond() - now.as_millisecond()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::super::http::tests::{get, ok, server};
    use super::*;
    use crate::CallContext;
    use crate::grants::{Grant, Grants};
    use crate::manifest::Requests;
    use crate::services::tests::services;
    use std::num::NonZeroU32;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    fn answer(status: u16, headers: &str) -> String {
        format!("HTTP/1.1 {status} X\r\n{headers}content-length: 4\r\nconnection: close\r\n\r\nbusy")
    }

    /// Services that may ask the server, and the lines that they log.
    fn asking(port: u16, grant: Grant) -> (Services, Arc<Mutex<Vec<String>>>) {
        let base = format!("http://127.0.0.1:{port}/*");
        let http = vec![base.clone(), format!("POST {base}")];
        let requests = Requests { http: http.clone(), ..Requests::default() };
        let grants = Grants { default: Grant { http, ..grant }, ..Grants::default() };
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let call = CallContext {
            log: Arc::new(move |_, line| kept.lock().unwrap().push(line.to_owned())),
            ..CallContext::default()
        };
        (services(&requests, &grants, call, &std::env::temp_dir()), lines)
    }

    fn patient(port: u16) -> Request {
        Request { timeout_ms: None, ..get(format!("http://127.0.0.1:{port}/x")) }
    }

    fn post(port: u16) -> Request {
        Request { method: Method::Post, body: Some(b"x".to_vec()), ..patient(port) }
    }

    #[test]
    fn a_host_that_asks_to_wait_is_asked_again_then_and_the_user_hears_of_it() {
        let (port, asked) = server(vec![answer(429, "retry-after: 1\r\n"), ok("fine")]);
        let (s, lines) = asking(port, Grant::default());
        let begun = Instant::now();
        let response = s.fetch(patient(port)).unwrap().unwrap();
        assert_eq!((response.status, response.body.as_slice()), (200, b"fine".as_slice()));
        assert!(begun.elapsed() >= Duration::from_secs(1), "never sooner than asked");
        assert_eq!(asked.iter().count(), 2);
        let lines = lines.lock().unwrap();
        let wanted = format!("127.0.0.1:{port} asks to wait 1 s (status 429); asking again in 1.");
        assert!(lines.len() == 1 && lines[0].contains(&wanted) && lines[0].contains("1 of 3"), "{lines:?}");
    }

    #[test]
    fn gateways_and_lost_connections_are_tried_again() {
        let (port, asked) = server(vec![answer(502, ""), String::new(), ok("fine")]);
        let (s, lines) = asking(port, Grant::default());
        assert_eq!(s.fetch(patient(port)).unwrap().unwrap().body, b"fine");
        assert_eq!(asked.iter().count(), 3);
        let lines = lines.lock().unwrap();
        assert!(lines[0].contains("answered with status 502") && lines[1].contains("was lost"), "{lines:?}");

        let (port, asked) = server(vec![answer(500, ""), ok("never")]);
        let (s, _) = asking(port, Grant::default());
        assert_eq!(s.fetch(patient(port)).unwrap().unwrap().status, 500, "its own trouble, which may last");
        assert_eq!(asked.try_iter().count(), 1);
    }

    #[test]
    fn a_pause_that_is_too_long_is_an_error_at_once_with_the_time() {
        for (longest, asked) in [(None, 3600), (Some(1), 2), (Some(10_000), 3600)] {
            let (port, came) = server(vec![answer(429, &format!("retry-after: {asked}\r\n")), ok("never")]);
            let (s, lines) = asking(port, Grant { http_wait_seconds: longest, ..Grant::default() });
            let e = s.fetch(patient(port)).unwrap().unwrap_err();
            assert_eq!((e.kind, e.retry_after_ms), (ErrorKind::RateLimited, Some(asked * 1000)), "{e}");
            assert!(e.message.contains(&format!("asks to wait {asked} s")), "{e}");
            assert!(lines.lock().unwrap().is_empty());
            let mut hasty = patient(port);
            hasty.timeout_ms = Some(100);
            let e = s.fetch(hasty).unwrap().unwrap_err();
            assert!(e.message.contains("asked for a pause, which still lasts"), "{e}");
            assert_eq!(came.try_iter().count(), 1);
        }
        // A request's own limit counts as well.
        let (port, came) = server(vec![answer(503, "retry-after: 2\r\n"), ok("never")]);
        let (s, _) = asking(port, Grant::default());
        let short = Request { timeout_ms: Some(1000), ..patient(port) };
        assert_eq!(s.fetch(short).unwrap().unwrap().status, 503, "the plugin sees the answer");
        assert_eq!(came.try_iter().count(), 1);
    }

    #[test]
    fn a_post_comes_again_only_if_the_host_did_nothing_with_it() {
        let (port, asked) = server(vec![String::new(), ok("never")]);
        let (s, _) = asking(port, Grant::default());
        let e = s.fetch(post(port)).unwrap().unwrap_err();
        assert!(e.kind == ErrorKind::Unavailable && !e.message.contains("times"), "{e}");
        assert_eq!(asked.try_iter().count(), 1, "the connection broke, and nobody knows what was done");

        for status in [502, 503, 504] {
            let (port, asked) = server(vec![answer(status, ""), ok("never")]);
            let (s, _) = asking(port, Grant::default());
            assert_eq!(s.fetch(post(port)).unwrap().unwrap().status, status);
            assert_eq!(asked.try_iter().count(), 1);
        }
        for status in [429, 503] {
            let (port, asked) = server(vec![answer(status, "retry-after: 0\r\n"), ok("posted")]);
            let (s, _) = asking(port, Grant::default());
            assert_eq!(s.fetch(post(port)).unwrap().unwrap().body, b"posted");
            assert!(asked.iter().all(|a| a.starts_with("POST")));
        }
    }

    #[test]
    fn tries_end_and_the_error_says_how_many_there_were() {
        let always = || vec![answer(429, ""); 9];
        for (grant, request, tries) in
            [(None, None, 3), (Some(5), None, 5), (Some(1), None, 1), (None, Some(1), 1), (Some(2), Some(1), 2)]
        {
            let (port, asked) = server(always());
            let (mut s, _) = asking(port, Grant::default());
            let base = format!("http://127.0.0.1:{port}/*");
            let requests = Requests {
                http: vec![base.clone()],
                http_tries: request.and_then(NonZeroU32::new),
                ..Requests::default()
            };
            let grant = Grant { http: vec![base], http_tries: grant.and_then(NonZeroU32::new), ..Grant::default() };
            s.rights = crate::Rights::new("example.x", &requests, &Grants { default: grant, ..Grants::default() });
            let e = s.fetch(patient(port)).unwrap().unwrap_err();
            assert_eq!((e.kind, e.retry_after_ms), (ErrorKind::RateLimited, None));
            assert_eq!(e.message.contains(&format!("(asked {tries} times)")), tries > 1, "{e}");
            assert_eq!(asked.try_iter().count(), tries);
        }
        let (port, asked) = server(vec![String::new(); 9]);
        let (s, _) = asking(port, Grant::default());
        let e = s.fetch(patient(port)).unwrap().unwrap_err();
        assert!(e.kind == ErrorKind::Unavailable && e.message.ends_with("(asked 3 times)"), "{e}");
        assert_eq!(asked.try_iter().count(), 3);
    }

    #[test]
    fn cancelling_ends_a_pause() {
        let (port, asked) = server(vec![answer(503, "retry-after: 15\r\n"), ok("never")]);
        let (mut s, _) = asking(port, Grant::default());
        let stop = Arc::new(AtomicBool::new(false));
        // Cancelled once the user was told that it waits.
        let (raise, raised) = (stop.clone(), stop);
        s.call.log = Arc::new(move |_, _| raise.store(true, Ordering::Relaxed));
        s.call.cancelled = Arc::new(move || raised.load(Ordering::Relaxed));
        assert_eq!(s.fetch(patient(port)).unwrap_err(), Fault::Cancelled);
        assert_eq!(asked.try_iter().count(), 1);
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_fit_into_the_time_that_is_left() {
        let policy = Policy { tries: 20, longest: Duration::from_secs(20) };
        let long = Duration::from_secs(100);
        let of = |tried, chance| policy.next(Method::Get, tried, Outcome::Lost, long, chance).unwrap().time;
        assert_eq!([of(1, 0.0), of(1, 0.5), of(2, 0.5)].map(|t| t.as_millis()), [0, 250, 500]);
        assert_eq!(of(19, 0.5), MAX_PAUSE / 2);
        let stated = |asked, left, chance| {
            let outcome = Outcome::Status(429, Some(Duration::from_secs(asked)));
            policy.next(Method::Head, 1, outcome, Duration::from_secs(left), chance).map(|p| p.time)
        };
        assert_eq!(stated(12, 100, 0.5), Some(Duration::from_millis(12_500)));
        assert_eq!(stated(2, 100, 0.5), Some(Duration::from_millis(2250)));
        assert_eq!(stated(12, 12, 0.0), None, "no time would be left to ask");
        assert_eq!(stated(21, 100, 0.0), None);
        assert_eq!(policy.next(Method::Get, 20, Outcome::Lost, long, 0.0), None, "no tries are left");
    }

    #[test]
    fn pauses_are_stated_in_seconds_or_as_a_date() {
        assert_eq!(retry_after(" 12 ", None), Some(12_000));
        let date = "Wed, 21 Oct 2026 07:28:00 GMT";
        assert_eq!(retry_after("Wed, 21 Oct 2026 07:28:30 GMT", Some(date)), Some(30_000));
        assert_eq!(retry_after("Wed, 21 Oct 2026 07:27:30 GMT", Some(date)), Some(0), "has passed");
        let far = retry_after("Thu, 31 Dec 2099 23:59:59 GMT", None).unwrap();
        assert!(far > 1_000_000_000, "by this machine's clock");
        for odd in ["", "-1", "soon", "1.5", "Wed, 99 Oct 2026 07:28:00 GMT"] {
            assert_eq!(retry_after(odd, Some(date)), None, "{odd}");
        }
    }
}
