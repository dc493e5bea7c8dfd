//! `#[derive(Inputs)]`: field = input, doc comment = tooltip, field type = socket type.
use proc_macro::TokenStream;

/// Placeholder until the real derive lands.
#[proc_macro_derive(Inputs, attributes(input))]
pub fn inputs(_: TokenStream) -> TokenStream {
    TokenStream::new()
}
