//! `anagama:plugin@0.1`: the bindings, and the way from them to the host's own types and traits.
//!
//! Nothing outside this folder knows a WIT version: what leaves here are the `Raw…` traits of the kinds.

mod convert;
mod exports;
mod imports;
mod nodes;

use super::State;
use crate::error::Fault;
use crate::kinds::{Kind, OpenError};
use crate::services::Services;
use spec::{PluginInfo, Role};
use wasmtime::component::{HasSelf, InstancePre, Linker};
use wasmtime::{Engine, Store};

/// The imports, with `describe` and `captioner` for one.
pub(crate) mod captioner {
    wasmtime::component::bindgen!({
        world: "captioner-plugin",
        path: "../../wit",
        imports: { default: trappable },
        with: {
            "anagama:plugin/images.image": crate::wasm::HostImage,
            "anagama:plugin/tensors.tensor": crate::wasm::HostTensor,
            "anagama:plugin/inference.session": crate::wasm::HostSession,
            "anagama:plugin/handles.handle": crate::wasm::HostHandle,
        },
    });
}

macro_rules! kind {
    ($module:ident, $world:literal) => {
        pub(crate) mod $module {
            wasmtime::component::bindgen!({
                world: $world,
                path: "../../wit",
                with: {
                    "anagama:plugin/types": super::captioner::anagama::plugin::types,
                    "anagama:plugin/tensors": super::captioner::anagama::plugin::tensors,
                    "anagama:plugin/images": super::captioner::anagama::plugin::images,
                    "anagama:plugin/inference": super::captioner::anagama::plugin::inference,
                    "anagama:plugin/generation": super::captioner::anagama::plugin::generation,
                    "anagama:plugin/http": super::captioner::anagama::plugin::http,
                    "anagama:plugin/storage": super::captioner::anagama::plugin::storage,
                    "anagama:plugin/files": super::captioner::anagama::plugin::files,
                    "anagama:plugin/control": super::captioner::anagama::plugin::control,
                    "anagama:plugin/handles": super::captioner::anagama::plugin::handles,
                    "anagama:plugin/schema": super::captioner::anagama::plugin::schema,
                },
            });
        }
    };
}
kind!(dataset_source, "dataset-source-plugin");
kind!(tag_filter, "tag-filter-plugin");
kind!(evaluator, "evaluator-plugin");
kind!(node, "node-plugin");

pub(crate) use captioner::anagama::plugin as wit;

/// Everything that a plugin may import; each call is checked against its grants.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    captioner::CaptionerPlugin::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    Ok(linker)
}

/// A linked component: one typed entry per kind that it exports.
pub(crate) struct Linked {
    engine: Engine,
    kinds: Vec<Kind>,
    imports: Vec<String>,
    describe: describe::DescribePluginPre<State>,
    captioner: Option<captioner::CaptionerPluginPre<State>>,
    dataset_source: Option<dataset_source::DatasetSourcePluginPre<State>>,
    tag_filter: Option<tag_filter::TagFilterPluginPre<State>>,
    evaluator: Option<evaluator::EvaluatorPluginPre<State>>,
    node: Option<node::NodePluginPre<State>>,
}

/// `describe` alone, for components of any kind.
mod describe {
    wasmtime::component::bindgen!({
        world: "anagama:host/describe-plugin",
        path: "../../wit",
        inline: "
            package anagama:host;
            world describe-plugin {
                export anagama:plugin/describe@0.1.0;
            }
        ",
        with: {
            "anagama:plugin/types": super::captioner::anagama::plugin::types,
            "anagama:plugin/schema": super::captioner::anagama::plugin::schema,
        },
    });
}

impl Linked {
    pub(crate) fn new(
        engine: Engine,
        pre: InstancePre<State>,
        kinds: Vec<Kind>,
        imports: Vec<String>,
    ) -> wasmtime::Result<Self> {
        macro_rules! entry {
            ($role:ident, $pre:path) => {
                match kinds.contains(&Role::$role) {
                    true => Some(<$pre>::new(pre.clone())?),
                    false => None,
                }
            };
        }
        Ok(Self {
            describe: describe::DescribePluginPre::new(pre.clone())?,
            captioner: entry!(Captioner, captioner::CaptionerPluginPre<State>),
            dataset_source: entry!(DatasetSource, dataset_source::DatasetSourcePluginPre<State>),
            tag_filter: entry!(TagFilter, tag_filter::TagFilterPluginPre<State>),
            evaluator: entry!(Evaluator, evaluator::EvaluatorPluginPre<State>),
            node: entry!(Node, node::NodePluginPre<State>),
            engine,
            kinds,
            imports,
        })
    }

    pub(crate) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Names of the interfaces that the component imports.
    pub(crate) fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Asks the component what it is; it gets the services of an instance without grants. Then instantiates each
    /// kind once, since some mismatches with the WIT show only then.
    pub(crate) fn describe(&self, services: impl Fn() -> Services) -> Result<PluginInfo, OpenError> {
        let (mut store, instance) = self.instantiate(services(), |store| self.describe.instantiate(store))?;
        let info = super::state::call(&mut store, |s| instance.anagama_plugin_describe().call_describe(s))?;
        let info = PluginInfo::from(info);
        macro_rules! try_out {
            ($($pre:ident),*) => {
                $(if let Some(pre) = &self.$pre {
                    self.instantiate(services(), |store| pre.instantiate(store))?;
                })*
            };
        }
        try_out!(captioner, dataset_source, tag_filter, evaluator, node);
        Ok(info)
    }

    /// A store and an instance in it.
    fn instantiate<I>(
        &self,
        services: Services,
        f: impl FnOnce(&mut Store<State>) -> wasmtime::Result<I>,
    ) -> Result<(Store<State>, I), OpenError> {
        let mut store = State::store(&self.engine, services);
        match super::state::call(&mut store, f) {
            Ok(instance) => Ok((store, instance)),
            Err(Fault::Trapped(why)) => Err(OpenError::Link(format!("could not be instantiated: {why}"))),
            Err(fault) => Err(fault.into()),
        }
    }
}
