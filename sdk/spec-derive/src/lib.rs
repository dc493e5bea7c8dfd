//! `#[derive(Inputs)]`: field = input, doc comment = tooltip, field type = socket type.
//!
//! Writes only what one would write by hand: a list of `spec::Input` and a conversion from values that
//! reports every problem at once. It knows no widget or range rules; those live in `spec::derive`.
//! Start at [`inputs`]; the attributes are parsed in `attributes.rs` and turned into code in `expand.rs`.

mod attributes;
mod expand;

use proc_macro::TokenStream;
use quote::quote;

/// Makes a struct of settings describe and read itself. See the `Inputs` trait of `spec` for the attributes.
#[proc_macro_derive(Inputs, attributes(input))]
pub fn inputs(input: TokenStream) -> TokenStream {
    derive(input, &quote!(::spec))
}

/// The same derive as `plugin_sdk` exports it: plugins need no dependency of their own on `spec`.
#[proc_macro_derive(PluginInputs, attributes(input))]
pub fn plugin_inputs(input: TokenStream) -> TokenStream {
    derive(input, &quote!(::plugin_sdk::spec))
}

fn derive(input: TokenStream, spec: &proc_macro2::TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    expand::expand(&input, spec).unwrap_or_else(syn::Error::into_compile_error).into()
}
