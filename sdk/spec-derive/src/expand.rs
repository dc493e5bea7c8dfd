//! The code that the derive writes.

use crate::attributes::{Attributes, doc, element, inner};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Error, Expr, ExprLit, Field, Fields, Lit, Result, Type};

pub(crate) fn expand(input: &DeriveInput, spec: &TokenStream) -> Result<TokenStream> {
    let fields = match &input.data {
        Data::Struct(s) => match &s.fields {
            Fields::Named(named) => named.named.iter().collect::<Vec<_>>(),
            Fields::Unit => Vec::new(),
            Fields::Unnamed(_) => return Err(Error::new_spanned(&input.ident, "inputs have names: use named fields")),
        },
        _ => return Err(Error::new_spanned(&input.ident, "`Inputs` is for structs")),
    };
    let (mut described, mut read, mut unpack, mut idents) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut problems = None::<Error>;
    for field in fields {
        match one(field, spec) {
            Ok(parts) => {
                described.push(parts.describe);
                read.push(parts.read);
                unpack.push(parts.unpack);
                idents.push(field.ident.clone());
            }
            Err(e) => match &mut problems {
                Some(all) => all.combine(e),
                none => *none = Some(e),
            },
        }
    }
    if let Some(problems) = problems {
        return Err(problems);
    }
    let ident = &input.ident;
    let description = doc(&input.attrs);
    let (generics, types, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        impl #generics #spec::traits::Inputs for #ident #types #bounds {
            fn description() -> &'static str {
                #description
            }

            #[allow(clippy::vec_init_then_push, clippy::useless_conversion)]
            fn inputs() -> ::std::vec::Vec<#spec::Input> {
                let mut inputs = ::std::vec::Vec::new();
                #(#described)*
                inputs
            }

            #[allow(unused_mut, unused_variables, clippy::useless_conversion)]
            fn from_values(
                mut values: #spec::Values,
            ) -> ::std::result::Result<Self, ::std::vec::Vec<#spec::InputError>> {
                let mut problems = ::std::vec::Vec::new();
                #(#read)*
                if !problems.is_empty() {
                    return ::std::result::Result::Err(problems);
                }
                #(#unpack)*
                ::std::result::Result::Ok(Self { #(#idents),* })
            }
        }
    })
}

struct Parts {
    describe: TokenStream,
    read: TokenStream,
    unpack: TokenStream,
}

fn one(field: &Field, spec: &TokenStream) -> Result<Parts> {
    let a = Attributes::of(field)?;
    let ident = field.ident.as_ref().ok_or_else(|| Error::new_spanned(field, "inputs have names"))?;
    let ty = &field.ty;
    let slot = format_ident!("__{}", ident.unraw());
    let unpack = quote! {
        let ::std::option::Option::Some(#ident) = #slot else {
            return ::std::result::Result::Err(problems);
        };
    };
    if a.flatten {
        return Ok(Parts {
            describe: quote! { inputs.extend(<#ty as #spec::traits::Inputs>::inputs()); },
            read: quote! { let #slot = #spec::derive::flat::<#ty>(&mut values, &mut problems); },
            unpack,
        });
    }

    let name = a.name.as_ref().map_or_else(|| ident.unraw().to_string(), syn::LitStr::value);
    let tooltip = match doc(&field.attrs) {
        text if text.is_empty() => quote!(::std::option::Option::None),
        text => quote!(::std::option::Option::Some(::std::string::String::from(#text))),
    };
    let required = match (a.required, a.optional || a.default.is_some()) {
        (true, _) => quote!(true),
        (_, true) => quote!(false),
        _ => quote!(<#ty as #spec::FromValue>::REQUIRED),
    };
    let hints = hints(&a, ty, spec);
    let lazy = a.lazy;
    let describe = quote! {
        inputs.push(#spec::Input {
            name: ::std::string::String::from(#name),
            socket: <#ty as #spec::FromValue>::socket(),
            widget: #hints,
            required: #required,
            is_list: <#ty as #spec::FromValue>::IS_LIST,
            lazy: #lazy,
            tooltip: #tooltip,
        });
    };

    // `required` with a default: the default is only what the widget starts with.
    let default = match a.default.as_ref().filter(|_| !a.required) {
        Some(expr) => {
            let expr = owned(expr, ty);
            quote!(::std::option::Option::Some((|| { let default: #ty = #expr; default }) as fn() -> #ty))
        }
        None => quote!(::std::option::Option::None),
    };
    let options = match &a.options {
        Some(list) => quote!(::std::option::Option::Some(#spec::derive::names(#list))),
        None => quote!(::std::option::Option::None),
    };
    let check = check(&a, ty, spec);
    let read = quote! {
        let #slot = #spec::derive::field::<#ty>(&mut values, #name, #default, #options, #check, &mut problems);
    };
    Ok(Parts { describe, read, unpack })
}

/// The widget: that of the type, changed by the attributes.
fn hints(a: &Attributes, ty: &Type, spec: &TokenStream) -> TokenStream {
    let element = element(ty);
    let some = |value: TokenStream| quote!(::std::option::Option::Some(#value));
    let mut set = Vec::new();
    if let Some(e) = &a.default {
        let e = owned(e, ty);
        let e = some(quote!(#spec::derive::constant(&{ let default: #ty = #e; default })));
        set.push(quote!(default: #e));
    }
    for (key, e) in [("min", &a.min), ("max", &a.max), ("step", &a.step), ("round", &a.round)] {
        if let Some(e) = e {
            let key = format_ident!("{key}");
            let e = some(quote!(#spec::derive::constant(&{ let number: #element = #e; number })));
            set.push(quote!(#key: #e));
        }
    }
    if let Some(list) = &a.options {
        let e = some(quote!(#spec::derive::names(#list)));
        set.push(quote!(options: #e));
    }
    for (key, text) in [
        ("host_list", &a.host_list),
        ("placeholder", &a.placeholder),
        ("label_on", &a.label_on),
        ("label_off", &a.label_off),
    ] {
        if let Some(text) = text {
            let key = format_ident!("{key}");
            let e = some(quote!(::std::string::String::from(#text)));
            set.push(quote!(#key: #e));
        }
    }
    for (key, on) in [("multiselect", a.multiselect), ("multiline", a.multiline), ("seed", a.seed), ("link", a.link)] {
        if on {
            let key = format_ident!("{key}");
            set.push(quote!(#key: true));
        }
    }
    quote! {
        #spec::derive::widget(
            <#ty as #spec::FromValue>::widget(),
            #spec::derive::Hints { #(#set,)* ..::std::default::Default::default() },
        )
    }
}

/// A closure that checks the range of a value, of each value of a list, or of what an option holds.
fn check(a: &Attributes, ty: &Type, spec: &TokenStream) -> TokenStream {
    let element = element(ty);
    let bound = |e: &Option<Expr>| match e {
        Some(e) => quote!(::std::option::Option::Some(#e)),
        None => quote!(::std::option::Option::None),
    };
    if a.min.is_none() && a.max.is_none() {
        return quote!(|_: &#ty| ::std::result::Result::Ok(()));
    }
    let (min, max) = (bound(&a.min), bound(&a.max));
    let mut each = quote!(#spec::derive::within::<#element>(value, #min, #max)?;);
    let mut ty_in = ty;
    while let Some(t) = inner(ty_in, "Option").or_else(|| inner(ty_in, "Vec")) {
        each = quote!(for value in value.iter() { #each });
        ty_in = t;
    }
    quote! {
        |value: &#ty| {
            #each
            ::std::result::Result::Ok(())
        }
    }
}

/// A `&str` stands for a `String`.
fn owned(expr: &Expr, ty: &Type) -> TokenStream {
    let is_string = matches!(ty, Type::Path(p) if p.path.segments.last().is_some_and(|s| s.ident == "String"));
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Str(_), .. }) => quote!(::std::convert::Into::into(#expr)),
        _ if is_string => quote!(::std::convert::Into::into(#expr)),
        _ => quote!(#expr),
    }
}
