use super::*;
use serde_json::json;

fn new(id: &str) -> New {
    New {
        id: id.into(),
        number: None,
        front: false,
        client: Some("c".into()),
        prompt: json!({"1": {"class_type": "EmptyImage", "inputs": {"seed": u64::MAX}}}),
        extra: json!({"extra_pnginfo": {"workflow": {"id": "w"}}}),
        targets: vec!["1".into()],
    }
}

fn done(state: State) -> Outcome {
    let images = json!({"1": {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]}});
    Outcome {
        state,
        outputs: images.as_object().unwrap().clone(),
        meta: Map::new(),
        messages: vec![json!(["execution_start", {}])],
        error: None,
    }
}

use serde_json::Map;

fn all() -> Filter {
    Filter {
        states: vec![],
        workflow: None,
        search: None,
        sort: Sort::Created,
        descending: false,
        limit: None,
        offset: 0,
    }
}

fn order(jobs: &Jobs) -> Vec<String> {
    std::iter::from_fn(|| jobs.claim().unwrap()).map(|t| t.id).collect()
}

#[test]
fn jobs_run_by_number_and_front_goes_first() {
    let jobs = Jobs::in_memory();
    for id in ["a", "b", "c"] {
        jobs.accept(&new(id)).unwrap();
    }
    assert_eq!(jobs.accept(&New { front: true, ..new("d") }).unwrap(), Accepted::Number(-3.0));
    jobs.accept(&New { number: Some(0.5), ..new("e") }).unwrap();
    assert_eq!(jobs.delete_pending(&["b".into(), "absent".into()]).unwrap(), 1);
    assert_eq!(jobs.remaining(), 4);
    assert_eq!(order(&jobs), ["d", "a", "e", "c"]);
}

#[test]
fn a_job_that_is_sent_twice_is_one_job() {
    let jobs = Jobs::in_memory();
    assert_eq!(jobs.accept(&new("a")).unwrap(), Accepted::Number(0.0));
    assert_eq!(jobs.accept(&new("a")).unwrap(), Accepted::Again(0.0));
    let other = New { prompt: json!({}), ..new("a") };
    assert_eq!(jobs.accept(&other).unwrap(), Accepted::Taken);
    jobs.claim().unwrap().unwrap();
    jobs.finish("a", &done(State::Completed)).unwrap();
    assert_eq!(jobs.accept(&other).unwrap(), Accepted::Number(1.0));
    assert_eq!(jobs.list(&all()).unwrap().1, 1);
}

#[test]
fn what_ran_in_a_crash_runs_again_but_not_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jobs.db");
    Jobs::open(&path, Policy::default()).unwrap().accept(&new("a")).unwrap();
    for attempt in 1..=5 {
        // Dropped without an end, as a killed process leaves it.
        let jobs = Jobs::open(&path, Policy::default()).unwrap();
        let (again, _) = jobs.recover().unwrap();
        assert_eq!(again.len(), usize::from(attempt > 1));
        let ticket = jobs.claim().unwrap().unwrap();
        assert_eq!(ticket.attempts, attempt);
        assert_eq!(ticket.prompt["1"]["inputs"]["seed"], json!(u64::MAX));
    }
    let jobs = Jobs::open(&path, Policy::default()).unwrap();
    assert_eq!(jobs.recover().unwrap().1, ["a"]);
    let row = jobs.row("a").unwrap().unwrap();
    assert_eq!(row.json["status"], "failed");
    assert_eq!(row.json["execution_error"]["exception_type"], "ServerEnded");
    assert!(jobs.claim().unwrap().is_none());
}

#[test]
fn a_job_that_ran_for_long_may_be_killed_often() {
    let jobs = Jobs::in_memory();
    jobs.accept(&new("a")).unwrap();
    for _ in 0..9 {
        assert!(jobs.claim().unwrap().unwrap().attempts <= 2);
        jobs.trust("a").unwrap();
        assert_eq!(jobs.recover().unwrap(), (vec!["a".to_owned()], vec![]));
    }
}

#[test]
fn a_job_that_was_put_off_has_all_its_attempts() {
    let jobs = Jobs::in_memory();
    jobs.accept(&new("a")).unwrap();
    for _ in 0..5 {
        assert_eq!(jobs.claim().unwrap().unwrap().attempts, 1);
        jobs.postpone("a").unwrap();
    }
}

#[test]
fn history_is_in_comfyui_s_shape_and_bounded() {
    let jobs = Jobs::in_memory();
    for number in 0..5 {
        let id = format!("j{number}");
        jobs.accept(&new(&id)).unwrap();
        jobs.claim().unwrap().unwrap();
        jobs.finish(&id, &done(if number == 3 { State::Failed } else { State::Completed })).unwrap();
    }
    let read = |text: String| serde_json::from_str::<Map<String, Value>>(&text).unwrap();
    let history = read(jobs.history_json(None, None).unwrap());
    assert_eq!(history.keys().collect::<Vec<_>>(), ["j0", "j1", "j2", "j3", "j4"]);
    assert_eq!(history["j1"]["prompt"][1], "j1");
    assert_eq!(history["j1"]["prompt"][0], json!(1));
    assert_eq!(history["j1"]["prompt"][2]["1"]["inputs"]["seed"], json!(u64::MAX));
    assert_eq!(history["j3"]["status"]["status_str"], "error");
    assert_eq!(history["j1"]["outputs"]["1"]["images"][0]["filename"], "a.png");
    let last = read(jobs.history_json(Some(2), None).unwrap());
    assert_eq!(last.keys().collect::<Vec<_>>(), ["j3", "j4"]);
    let first = read(jobs.history_json(Some(2), Some(0)).unwrap());
    assert_eq!(first.keys().collect::<Vec<_>>(), ["j0", "j1"]);
    assert_eq!(read(jobs.history_one_json("j2").unwrap()).len(), 1);
    assert_eq!(jobs.history_one_json("absent").unwrap(), "{}");
    let page = Filter { states: vec![State::Completed], descending: true, limit: Some(2), ..all() };
    let (rows, total) = jobs.list(&page).unwrap();
    assert_eq!((rows.len(), total), (2, 4));
    assert_eq!(rows[0].json["id"], "j4");
    assert_eq!(rows[0].json["preview_output"]["nodeId"], "1");
    assert_eq!(jobs.list(&Filter { search: Some("EMPTYimage".into()), ..all() }).unwrap().1, 5);
    assert_eq!(jobs.list(&Filter { search: Some("nothing".into()), ..all() }).unwrap().1, 0);
}

#[test]
fn the_oldest_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = Jobs::open(&dir.path().join("jobs.db"), Policy { keep: 2, attempts: 3 }).unwrap();
    for id in ["a", "b", "c", "d"] {
        jobs.accept(&new(id)).unwrap();
        jobs.claim().unwrap().unwrap();
        jobs.finish(id, &done(State::Completed)).unwrap();
    }
    let (rows, _) = jobs.list(&all()).unwrap();
    assert_eq!(rows.iter().map(|r| r.json["id"].as_str().unwrap()).collect::<Vec<_>>(), ["c", "d"]);
}
