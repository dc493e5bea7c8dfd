//! The description of an artefact as a component's export.

#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package anagama:sdk-describe;
            world describe { export anagama:plugin/describe@0.1.0; }
        ",
        world: "describe",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_describe",
        default_bindings_module: "plugin_sdk::wasm::describe::bindings",
    });
}

use super::set_up;
use crate::host::Artefact;
use crate::{Input, Output, Role, Socket, Widget, spec};
use bindings::anagama::plugin::schema as wit;
use std::marker::PhantomData;

pub struct Glue<A>(PhantomData<A>);

impl<A: Artefact> bindings::exports::anagama::plugin::describe::Guest for Glue<A> {
    fn describe() -> wit::Info {
        set_up();
        let info = A::describe();
        wit::Info {
            id: info.id,
            version: info.version,
            title: info.title,
            description: info.description,
            authors: info.authors,
            license: info.license,
            nodes: info.nodes.into_iter().map(node).collect(),
            config_schema: info.config_schema,
        }
    }
}

fn node(n: spec::Node) -> wit::Node {
    wit::Node {
        id: n.id,
        role: match n.role {
            Role::Node => wit::Role::Node,
            Role::Captioner => wit::Role::Captioner,
            Role::DatasetSource => wit::Role::DatasetSource,
            Role::TagFilter => wit::Role::TagFilter,
            Role::Evaluator => wit::Role::Evaluator,
        },
        display_name: n.display_name,
        category: n.category,
        description: n.description,
        inputs: n.inputs.into_iter().map(input).collect(),
        outputs: n.outputs.into_iter().map(output).collect(),
        output_node: n.output_node,
        deterministic: n.deterministic,
        revision: n.revision,
        experimental: n.experimental,
        deprecated: n.deprecated,
        aliases: n.aliases,
        strict: n.strict,
        behaviour: behaviour(n.behaviour),
    }
}

fn behaviour(b: spec::Behaviour) -> wit::Behaviour {
    let hidden = |(name, hidden): (String, spec::Hidden)| {
        let hidden = match hidden {
            spec::Hidden::UniqueId => wit::Hidden::UniqueId,
            spec::Hidden::Prompt => wit::Hidden::Prompt,
            spec::Hidden::DynPrompt => wit::Hidden::DynPrompt,
            spec::Hidden::ExtraPngInfo => wit::Hidden::ExtraPngInfo,
        };
        (name, hidden)
    };
    let validates = |v: spec::Validates| wit::Validates { inputs: v.inputs, all: v.all, types: v.types };
    wit::Behaviour {
        takes_lists: b.takes_lists,
        variadic: b.variadic,
        hidden: b.hidden.into_iter().map(hidden).collect(),
        raw_links: b.raw_links,
        validates: b.validates.map(validates),
        fingerprints: b.fingerprints,
        asynchronous: b.asynchronous,
        concurrency: b.concurrency,
        memory_only: b.memory_only,
    }
}

fn input(i: Input) -> wit::Input {
    wit::Input {
        name: i.name,
        socket: socket(i.socket),
        widget: widget(i.widget),
        required: i.required,
        is_list: i.is_list,
        lazy: i.lazy,
        tooltip: i.tooltip,
    }
}

fn output(o: Output) -> wit::Output {
    wit::Output { name: o.name, socket: socket(o.socket), is_list: o.is_list, tooltip: o.tooltip }
}

fn socket(s: Socket) -> wit::Socket {
    match s {
        Socket::Int => wit::Socket::Int,
        Socket::Float => wit::Socket::Float,
        Socket::Boolean => wit::Socket::Boolean,
        Socket::Text => wit::Socket::Text,
        Socket::Json => wit::Socket::Json,
        Socket::Image => wit::Socket::Image,
        Socket::Mask => wit::Socket::Mask,
        Socket::Latent => wit::Socket::Latent,
        Socket::Conditioning => wit::Socket::Conditioning,
        Socket::Model => wit::Socket::Model,
        Socket::Clip => wit::Socket::Clip,
        Socket::Vae => wit::Socket::Vae,
        Socket::Tensor => wit::Socket::Tensor,
        Socket::Dataset => wit::Socket::Dataset,
        Socket::Annotations => wit::Socket::Annotations,
        Socket::Scores => wit::Socket::Scores,
        Socket::Named(name) => wit::Socket::Named(name),
        Socket::Any => wit::Socket::Any,
    }
}

fn widget(w: Widget) -> wit::Widget {
    match w {
        Widget::None => wit::Widget::None,
        Widget::Int { default, min, max, step, seed_control } => {
            wit::Widget::Int(wit::IntWidget { default, min, max, step, seed_control })
        }
        Widget::Float { default, min, max, step, round } => {
            wit::Widget::Float(wit::FloatWidget { default, min, max, step, round })
        }
        Widget::Text { default, multiline, placeholder } => {
            wit::Widget::Text(wit::TextWidget { default, multiline, placeholder })
        }
        Widget::Boolean { default, label_on, label_off } => {
            wit::Widget::Boolean(wit::BooleanWidget { default, label_on, label_off })
        }
        Widget::Combo { options, default, multiselect } => {
            wit::Widget::Combo(wit::ComboWidget { options, default, multiselect })
        }
        Widget::HostList(list) => wit::Widget::HostList(list),
        // The derive refuses these too; who writes them by hand hears of it when the plugin is loaded.
        Widget::Branches(_) | Widget::Growing { .. } => panic!("plugins have no inputs that depend on others"),
    }
}
