//! `#[derive(Inputs)]` and `#[derive(Branches)]`: field = input, doc comment = tooltip, field type = socket type.
//!
//! Writes only what one would write by hand: a list of `spec::Input` and a conversion from values that
//! reports every problem at once. It knows no widget or range rules; those live in `spec::derive`.
//! Start at [`inputs`]; the attributes are parsed in `attributes.rs` and turned into code in `expand.rs`.

mod attributes;
mod expand;

use expand::Kit;
use proc_macro::TokenStream;
use quote::quote;

/// Makes a struct of settings describe and read itself. See the `Inputs` trait of `spec` for the attributes.
#[proc_macro_derive(Inputs, attributes(input))]
pub fn inputs(input: TokenStream) -> TokenStream {
    derive(input, expand::inputs, &Kit { spec: quote!(::spec), dynamic: true })
}

/// Makes an enum the choices of a menu, each with inputs of its own. See the `Branches` trait of `spec`.
#[proc_macro_derive(Branches, attributes(input))]
pub fn branches(input: TokenStream) -> TokenStream {
    derive(input, expand::branches, &Kit { spec: quote!(::spec), dynamic: true })
}

/// The same derive as `plugin_sdk` exports it: plugins need no dependency of their own on `spec`.
#[proc_macro_derive(PluginInputs, attributes(input))]
pub fn plugin_inputs(input: TokenStream) -> TokenStream {
    derive(input, expand::inputs, &Kit { spec: quote!(::plugin_sdk::spec), dynamic: false })
}

type Expand = fn(&syn::DeriveInput, &Kit) -> syn::Result<proc_macro2::TokenStream>;

fn derive(input: TokenStream, expand: Expand, kit: &Kit) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    expand(&input, kit).unwrap_or_else(syn::Error::into_compile_error).into()
}
