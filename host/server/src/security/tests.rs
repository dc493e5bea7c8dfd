use super::*;
use std::path::Path;

fn head(headers: &[(&str, &str)], target: &str, method: &str) -> Head {
    let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Head::new(method, target, headers, ([127, 0, 0, 1], 1).into())
}

fn status(config: &Config, headers: &[(&str, &str)], target: &str, method: &str) -> u16 {
    Guard::new(config).check(&head(headers, target, method)).map_or_else(|r| r.status, |()| 200)
}

#[test]
fn only_our_own_names_and_pages_are_answered() {
    let config = Config { allowed_hosts: vec!["Box.Lan".into()], ..Config::below(Path::new("/x")) };
    let check = |headers: &[(&str, &str)], method: &str| status(&config, headers, "/api/prompt", method);
    for host in ["localhost:8188", "127.0.0.1:8188", "[::1]:8188", "box.lan:1", "LOCALHOST", "127.0.0.1"] {
        assert_eq!(check(&[("host", host)], "POST"), 200, "{host}");
    }
    for host in ["evil.example:8188", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", ""] {
        assert_eq!(check(&[("host", host)], "POST"), 403, "{host}");
    }
    let local = ("host", "127.0.0.1:8188");
    assert_eq!(check(&[local, ("origin", "http://127.0.0.1:8188")], "POST"), 200);
    for origin in ["http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:8188", ""] {
        assert_eq!(check(&[local, ("origin", origin)], "POST"), 403, "{origin}");
    }
    assert_eq!(check(&[local, ("sec-fetch-site", "cross-site")], "POST"), 403);
    assert_eq!(check(&[local, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], "GET"), 403);
    assert_eq!(check(&[local, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], "GET"), 200);
    let cors = Config { cors: Some("http://app.example".into()), ..config };
    let with = |origin| status(&cors, &[local, ("origin", origin)], "/x", "POST");
    assert_eq!((with("http://app.example"), with("http://evil.example")), (200, 403));
}

#[test]
fn the_token_is_taken_in_every_usual_way() {
    let config = Config { token: Some("word".into()), ..Config::below(Path::new("/x")) };
    let check = |headers: &[(&str, &str)], target: &str| status(&config, headers, target, "GET");
    assert_eq!(check(&[], "/queue"), 401);
    assert_eq!(check(&[("host", "box.lan")], "/queue?token=word"), 200);
    assert_eq!(check(&[("authorization", "Bearer word")], "/queue"), 200);
    assert_eq!(check(&[("authorization", "Basic dXNlcjp3b3Jk")], "/queue"), 200);
    assert_eq!(check(&[("cookie", "a=b; anagama-token=word")], "/queue"), 200);
    for wrong in ["Bearer wor", "Bearer wordy", "Basic dXNlcjp3b3Jr", "Digest word", "word"] {
        assert_eq!(check(&[("authorization", wrong)], "/queue"), 401, "{wrong}");
    }
    assert_eq!(check(&[("accept", "text/html")], "/?token=word"), 303);
    assert_eq!(check(&[], LOGIN_PATH), 200);
}

#[test]
fn guessing_ends_soon() {
    let config = Config { token: Some("word".into()), ..Config::below(Path::new("/x")) };
    let guard = Guard::new(&config);
    let guess = |word: &str| {
        guard.check(&head(&[], &format!("/queue?token={word}"), "GET")).map_or_else(|r| r.status, |()| 200)
    };
    let found: Vec<u16> = (0..12).map(|n| guess(&n.to_string())).collect();
    assert_eq!(found.iter().filter(|s| **s == 401).count(), 10);
    assert_eq!(found[11], 429);
    assert_eq!(guess("word"), 200);
}

#[test]
fn the_form_sets_a_cookie_that_scripts_do_not_see() {
    let config = Config { token: Some("a b".into()), ..Config::below(Path::new("/x")) };
    let guard = Guard::new(&config);
    let send = |body: &str| guard.login(&Request { head: head(&[], LOGIN_PATH, "POST"), body: body.into() });
    assert_eq!(send("token=wrong").status, 401);
    let right = send("token=a+b");
    assert_eq!((right.status, right.header("location")), (303, Some("/")));
    assert!(right.header("set-cookie").is_some_and(|c| c.contains("HttpOnly") && c.contains("SameSite=Strict")));
}
