//! Models by name: only those that were asked for and granted.

use super::{Services, refuse};
use crate::error::Fault;
use data::{Array, Image, ModelInfo, Session, WriteReply, WriteRequest};
use spec::{ErrorKind, PluginError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

impl Services {
    /// The models that this plugin may load.
    pub(crate) fn models(&self) -> Result<Vec<ModelInfo>, Fault> {
        let Some(inference) = self.inference.clone() else { return Ok(Vec::new()) };
        let mut models = self.blocking(move || inference.models())?;
        models.retain(|m| self.rights.model(&m.name).is_ok());
        Ok(models)
    }

    pub(crate) fn load_model(
        &self,
        name: &str,
        options: Option<&str>,
    ) -> Result<Result<Arc<dyn Session>, PluginError>, Fault> {
        if let Err(missing) = self.rights.model(name) {
            return Ok(self.note(refuse(ErrorKind::Denied, missing)));
        }
        let options = match options.map(serde_json::from_str::<serde_json::Value>).transpose() {
            Ok(options) => options,
            Err(e) => return Ok(refuse(ErrorKind::InvalidInput, format!("model `{name}`: options are no JSON: {e}"))),
        };
        let Some(inference) = self.inference.clone() else {
            return Ok(refuse(ErrorKind::Unavailable, format!("model `{name}`: this host runs no models")));
        };
        let name = name.to_owned();
        self.blocking(move || inference.load(&name, options.as_ref()))
    }

    /// Runs a model. If the call ends while the inputs wait for their turn, they are not computed.
    pub(crate) fn run_model(
        &self,
        session: &Arc<dyn Session>,
        inputs: Vec<(String, Array)>,
    ) -> Result<Result<Vec<(String, Array)>, PluginError>, Fault> {
        let (session, go_on) = (session.clone(), Arc::new(AtomicBool::new(true)));
        let told = go_on.clone();
        let outputs = self.blocking(move || session.run_while(inputs, &|| told.load(Ordering::Relaxed)));
        go_on.store(false, Ordering::Relaxed);
        outputs
    }

    /// Lets a model write. It is told to stop between two tokens when the run is cancelled or the time is up.
    pub(crate) fn generate(
        &self,
        model: &str,
        request: WriteRequest,
        images: Vec<Image>,
    ) -> Result<Result<WriteReply, PluginError>, Fault> {
        if let Err(missing) = self.rights.model(model) {
            return Ok(self.note(refuse(ErrorKind::Denied, missing)));
        }
        if let Err(wrong) = check(&request) {
            return Ok(refuse(ErrorKind::InvalidInput, format!("model `{model}`: {wrong}")));
        }
        let Some(inference) = self.inference.clone() else {
            return Ok(refuse(ErrorKind::Unavailable, format!("model `{model}`: this host runs no models")));
        };
        let (name, go_on) = (model.to_owned(), Arc::new(AtomicBool::new(true)));
        let told = go_on.clone();
        let written =
            self.blocking(move || inference.writer(&name)?.write(&request, &images, &|| told.load(Ordering::Relaxed)));
        go_on.store(false, Ordering::Relaxed);
        written
    }
}

/// What no model can do.
fn check(request: &WriteRequest) -> Result<(), String> {
    let WriteRequest { max_tokens, temperature, top_p, stop, .. } = request;
    if *max_tokens == 0 {
        return Err("max-tokens: expected 1 or more, found 0".to_owned());
    }
    if !temperature.is_finite() || *temperature < 0.0 {
        return Err(format!("temperature: expected 0 or more, found {temperature}"));
    }
    if !(*top_p > 0.0 && *top_p <= 1.0) {
        return Err(format!("top-p: expected more than 0 and at most 1, found {top_p}"));
    }
    if stop.iter().any(String::is_empty) {
        return Err("stop: expected texts, found an empty one".to_owned());
    }
    Ok(())
}

/// The JSON of WIT's `extra`.
pub(crate) fn extra(text: Option<&str>) -> Result<Option<serde_json::Value>, PluginError> {
    let parse = |text: &str| {
        serde_json::from_str(text).map_err(|e| {
            PluginError::new(ErrorKind::InvalidInput, format!("generation request: extra is no JSON: {e}"))
        })
    };
    text.map(parse).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CallContext;
    use crate::grants::Grants;
    use crate::manifest::Requests;
    use crate::services::tests::services;
    use data::{Inference, Writer};
    use std::time::{Duration, Instant};

    /// Writes its prompt, or until it is told to stop.
    struct Scribe(Arc<AtomicBool>);

    impl Writer for Scribe {
        fn write(
            &self,
            request: &WriteRequest,
            images: &[Image],
            go_on: &dyn Fn() -> bool,
        ) -> Result<WriteReply, PluginError> {
            if request.prompt == "on and on" {
                while go_on() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                self.0.store(true, Ordering::Relaxed);
                return refuse(ErrorKind::Cancelled, "told to stop");
            }
            let text = format!("{} {}", request.prompt, images.len());
            Ok(WriteReply { text, tokens: request.max_tokens, finished: true })
        }
    }

    struct Models(Arc<AtomicBool>);

    impl Inference for Models {
        fn models(&self) -> Vec<ModelInfo> {
            Vec::new()
        }
        fn load(&self, name: &str, _: Option<&serde_json::Value>) -> Result<Arc<dyn Session>, PluginError> {
            refuse(ErrorKind::NotFound, name)
        }
        fn writer(&self, _: &str) -> Result<Arc<dyn Writer>, PluginError> {
            Ok(Arc::new(Scribe(self.0.clone())))
        }
    }

    fn request(prompt: &str) -> WriteRequest {
        WriteRequest {
            system: None,
            prompt: prompt.into(),
            max_tokens: 3,
            temperature: 0.0,
            top_p: 1.0,
            seed: 0,
            stop: Vec::new(),
            extra: None,
        }
    }

    fn services_with_models(stopped: &Arc<AtomicBool>, dir: &std::path::Path) -> Services {
        let requests = Requests { models: vec!["captioners/*".into()], ..Requests::default() };
        let mut s = services(&requests, &Grants::default(), CallContext::default(), dir);
        s.inference = Some(Arc::new(Models(stopped.clone())));
        s
    }

    #[test]
    fn a_granted_model_writes_and_nonsense_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = services_with_models(&Arc::default(), dir.path());
        let reply = s.generate("captioners/a", request("hello"), Vec::new()).unwrap().unwrap();
        assert_eq!((reply.text.as_str(), reply.tokens), ("hello 0", 3));
        let refused = |change: fn(&mut WriteRequest)| {
            let mut r = request("hello");
            change(&mut r);
            s.generate("captioners/a", r, Vec::new()).unwrap().unwrap_err().message
        };
        assert!(refused(|r| r.max_tokens = 0).contains("max-tokens: expected 1 or more"));
        assert!(refused(|r| r.temperature = f32::NAN).contains("temperature"));
        assert!(refused(|r| r.top_p = 0.0).contains("top-p"));
        assert!(refused(|r| r.stop = vec![String::new()]).contains("stop"));
        let denied = s.generate("taggers/a", request("hello"), Vec::new()).unwrap().unwrap_err();
        assert_eq!(denied.kind, ErrorKind::Denied);
        s.inference = None;
        let none = s.generate("captioners/a", request("hello"), Vec::new()).unwrap().unwrap_err();
        assert_eq!(none.kind, ErrorKind::Unavailable);
        assert!(extra(Some("{")).unwrap_err().message.contains("no JSON"));
    }

    /// A model whose turn never comes.
    struct Busy(Arc<AtomicBool>);

    impl Session for Busy {
        fn info(&self) -> &ModelInfo {
            unreachable!("nobody asks")
        }
        fn asset(&self, name: &str) -> Result<Vec<u8>, PluginError> {
            refuse(ErrorKind::NotFound, name)
        }
        fn run_while(
            &self,
            _: Vec<(String, Array)>,
            go_on: &dyn Fn() -> bool,
        ) -> Result<Vec<(String, Array)>, PluginError> {
            while go_on() {
                std::thread::sleep(Duration::from_millis(1));
            }
            self.0.store(true, Ordering::Relaxed);
            refuse(ErrorKind::Cancelled, "given up")
        }
    }

    fn soon(done: &AtomicBool, what: &str) {
        let most = Instant::now() + Duration::from_secs(10);
        while !done.load(Ordering::Relaxed) {
            assert!(Instant::now() < most, "{what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn waiting_for_a_model_ends_with_the_call() {
        let dir = tempfile::tempdir().unwrap();
        let left = Arc::new(AtomicBool::new(false));
        let session: Arc<dyn Session> = Arc::new(Busy(left.clone()));
        let mut s = services_with_models(&Arc::default(), dir.path());
        s.limits.deadline = Duration::from_millis(20);
        s.begin_call();
        let ended = s.run_model(&session, Vec::new());
        assert!(matches!(ended, Err(Fault::Deadline(_))), "{ended:?}");
        soon(&left, "the inputs still wait");
    }

    #[test]
    fn writing_ends_with_the_call() {
        let dir = tempfile::tempdir().unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let mut s = services_with_models(&stopped, dir.path());
        s.limits.deadline = Duration::from_millis(20);
        s.begin_call();
        let ended = s.generate("captioners/a", request("on and on"), Vec::new());
        assert!(matches!(ended, Err(Fault::Deadline(_))), "{ended:?}");
        soon(&stopped, "the model goes on writing");
    }
}
