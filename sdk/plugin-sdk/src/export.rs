//! [`export!`](crate::export): from types to an artefact.

/// Makes the crate's artefact out of types and their kinds: a component or a native library, whichever is built.
///
/// One artefact may serve several kinds. The first type gives the plugin its id, unless `as` does.
///
/// ```text
/// plugin_sdk::export!(MyTagger: Captioner);
/// plugin_sdk::export!(MyTagger: Captioner, MyScores: Evaluator, Invert: Node, Blur: Node);
/// plugin_sdk::export!(as info!("me.pictures", "Pictures"); Invert: Node, Blur: Node);
/// ```
///
/// A type without the trait of its kind stops the build, and so does an unknown kind:
///
/// ```compile_fail
/// struct Nothing;
/// plugin_sdk::export!(Nothing: Captioner);
/// ```
/// ```compile_fail
/// struct Nothing;
/// plugin_sdk::export!(Nothing: Painter);
/// ```
#[macro_export]
macro_rules! export {
    (as $info:expr; $($t:ty : $kind:ident),+ $(,)?) => {
        $crate::__export!(@sort [Some($info)] [] [] $($t : $kind,)+);
    };
    ($($t:ty : $kind:ident),+ $(,)?) => {
        $crate::__export!(@sort [None] [] [] $($t : $kind,)+);
    };
}

/// Sorts the nodes out, which share one interface, then writes the glue of both targets.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    (@sort [$info:expr] [$($kinds:tt)*] [$($nodes:tt)*] $t:ty : Node, $($rest:tt)*) => {
        $crate::__export!(@sort [$info] [$($kinds)*] [$($nodes)* ($t)] $($rest)*);
    };
    (@sort [$info:expr] [$($kinds:tt)*] [$($nodes:tt)*] $t:ty : $kind:ident, $($rest:tt)*) => {
        $crate::__export!(@sort [$info] [$($kinds)* ($t : $kind)] [$($nodes)*] $($rest)*);
    };
    (@sort [$info:expr] [$($kinds:tt)*] []) => {
        $crate::__export!(@glue [$info] [$($kinds)*] []);
    };
    (@sort [$info:expr] [$($kinds:tt)*] [$($nodes:tt)+]) => {
        $crate::__export!(@glue [$info] [$($kinds)*] [$($nodes)+]);
    };

    (@glue [$info:expr] [$(($t:ty : $kind:ident))*] [$(($node:ty))*]) => {
        const _: () = {
            #[allow(dead_code)]
            struct Artefact;

            impl $crate::host::Artefact for Artefact {
                fn describe() -> $crate::PluginInfo {
                    $crate::describe(
                        $info,
                        vec![
                            $($crate::__export!(@part $kind $t),)*
                            $($crate::node_part::<$node>(),)*
                        ],
                    )
                }

                fn nodes() -> Vec<$crate::NodePart> {
                    vec![$($crate::NodePart::of::<$node>()),*]
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::__export_component!(Artefact [$(($t : $kind))*] [$($node),*]);

            #[cfg(not(target_family = "wasm"))]
            const _: () = {
                impl $crate::native::Library for Artefact {
                    fn interface(name: &str) -> Option<*const ::std::ffi::c_void> {
                        $($crate::__export!(@table $kind $t, name);)*
                        $crate::native::nodes::<Self>(name)
                    }
                }

                // SAFETY: the one exported symbol, named for this ABI alone; the host passes its table.
                #[unsafe(no_mangle)]
                unsafe extern "C" fn anagama_plugin_entry(
                    host: *const $crate::native::HostTable,
                ) -> *const $crate::native::PluginTable {
                    // SAFETY: the host promises a table that lives as long as the process.
                    unsafe { $crate::native::entry::<Artefact>(host) }
                }
            };
        };
    };

    (@part Captioner $t:ty) => {
        $crate::Part::role::<<$t as $crate::Captioner>::Settings>($crate::Role::Captioner, <$t as $crate::Captioner>::INFO)
    };
    (@part TagFilter $t:ty) => {
        $crate::Part::role::<<$t as $crate::TagFilter>::Settings>($crate::Role::TagFilter, <$t as $crate::TagFilter>::INFO)
    };
    (@part DatasetSource $t:ty) => {
        $crate::Part::role::<<$t as $crate::DatasetSource>::Settings>(
            $crate::Role::DatasetSource,
            <$t as $crate::DatasetSource>::INFO,
        )
    };
    (@part Evaluator $t:ty) => {
        $crate::Part::role::<<$t as $crate::Evaluator>::Settings>($crate::Role::Evaluator, <$t as $crate::Evaluator>::INFO)
    };
    (@part $other:ident $t:ty) => {
        compile_error!(concat!(
            "unknown kind `", stringify!($other), "`; known are Captioner, DatasetSource, TagFilter, Evaluator, Node"
        ))
    };

    (@table Captioner $t:ty, $name:ident) => { $crate::__export!(@if captioner $t, $name) };
    (@table TagFilter $t:ty, $name:ident) => { $crate::__export!(@if tag_filter $t, $name) };
    (@table DatasetSource $t:ty, $name:ident) => { $crate::__export!(@if dataset_source $t, $name) };
    (@table Evaluator $t:ty, $name:ident) => { $crate::__export!(@if evaluator $t, $name) };
    (@table $other:ident $t:ty, $name:ident) => {};
    (@if $module:ident $t:ty, $name:ident) => {
        if let Some(table) = $crate::native::$module::table::<$t>($name) {
            return Some(table);
        }
    };
}

/// The component's exports: one world per kind, which the linker merges.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_component {
    ($artefact:ident [$(($t:ty : $kind:ident))*] []) => {
        $crate::__export_component!(@describe $artefact);
        $($crate::__export_component!(@$kind $t);)*
    };
    ($artefact:ident [$(($t:ty : $kind:ident))*] [$($node:ty),+]) => {
        $crate::__export_component!(@describe $artefact);
        $($crate::__export_component!(@$kind $t);)*
        const _: () = {
            type Glue = $crate::wasm::node::Glue<$artefact>;
            $crate::wasm::node::bindings::export_node!(Glue with_types_in $crate::wasm::node::bindings);
        };
    };
    (@describe $artefact:ident) => {
        const _: () = {
            type Glue = $crate::wasm::describe::Glue<$artefact>;
            $crate::wasm::describe::bindings::export_describe!(Glue with_types_in $crate::wasm::describe::bindings);
        };
    };
    (@Captioner $t:ty) => {
        const _: () = {
            type Glue = $crate::wasm::captioner::Glue<$t>;
            $crate::wasm::captioner::bindings::export_captioner!(Glue with_types_in $crate::wasm::captioner::bindings);
        };
    };
    (@TagFilter $t:ty) => {
        const _: () = {
            type Glue = $crate::wasm::tag_filter::Glue<$t>;
            $crate::wasm::tag_filter::bindings::export_tag_filter!(Glue with_types_in $crate::wasm::tag_filter::bindings);
        };
    };
    (@DatasetSource $t:ty) => {
        const _: () = {
            type Glue = $crate::wasm::dataset_source::Glue<$t>;
            $crate::wasm::dataset_source::bindings::export_dataset_source!(
                Glue with_types_in $crate::wasm::dataset_source::bindings
            );
        };
    };
    (@Evaluator $t:ty) => {
        const _: () = {
            type Glue = $crate::wasm::evaluator::Glue<$t>;
            $crate::wasm::evaluator::bindings::export_evaluator!(Glue with_types_in $crate::wasm::evaluator::bindings);
        };
    };
    (@$other:ident $t:ty) => {};
}
