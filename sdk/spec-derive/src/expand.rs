//! The code that the derive writes.

use crate::attributes::{Attributes, doc, element, inner};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Error, Expr, ExprLit, Field, Fields, Ident, Lit, LitStr, Result, Type, Variant};

/// Whose derive it is.
pub(crate) struct Kit {
    /// The path of the crate `spec`.
    pub(crate) spec: TokenStream,
    /// Can inputs depend on others? The contract with plugins has no words for it.
    pub(crate) dynamic: bool,
}

pub(crate) fn inputs(input: &DeriveInput, kit: &Kit) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "`Inputs` is for structs"));
    };
    let All { described, read, unpack, idents } = all(&data.fields, &input.ident, kit)?;
    let spec = &kit.spec;
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

/// An enum whose variants are the choices of a menu.
pub(crate) fn branches(input: &DeriveInput, kit: &Kit) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "`Branches` is for enums"));
    };
    let spec = &kit.spec;
    let (mut described, mut made) = (Vec::new(), Vec::new());
    for variant in &data.variants {
        let key = choice(variant)?;
        let All { described: inputs, read, unpack, idents } = all(&variant.fields, &variant.ident, kit)?;
        described.push(quote! {
            #spec::Branch {
                key: ::std::string::String::from(#key),
                inputs: {
                    let mut inputs = ::std::vec::Vec::new();
                    #(#inputs)*
                    inputs
                },
            }
        });
        let variant = &variant.ident;
        made.push(quote! {
            #key => ::std::option::Option::Some((move || {
                let mut problems = ::std::vec::Vec::new();
                #(#read)*
                if !problems.is_empty() {
                    return ::std::result::Result::Err(problems);
                }
                #(#unpack)*
                ::std::result::Result::Ok(Self::#variant { #(#idents),* })
            })()),
        });
    }
    let ident = &input.ident;
    let (generics, types, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        impl #generics #spec::traits::Branches for #ident #types #bounds {
            #[allow(unused_mut, clippy::vec_init_then_push, clippy::useless_conversion)]
            fn branches() -> ::std::vec::Vec<#spec::Branch> {
                ::std::vec![#(#described),*]
            }

            #[allow(unused_mut, unused_variables, clippy::useless_conversion, clippy::redundant_closure_call)]
            fn from_branch(
                key: &str,
                mut values: #spec::Values,
            ) -> ::std::option::Option<::std::result::Result<Self, ::std::vec::Vec<#spec::InputError>>> {
                match key {
                    #(#made)*
                    _ => ::std::option::Option::None,
                }
            }
        }
    })
}

/// What the menu calls a variant.
fn choice(variant: &Variant) -> Result<LitStr> {
    let mut name = None;
    for attribute in variant.attrs.iter().filter(|a| a.path().is_ident("input")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("unknown key; expected `name`"));
            }
            name = Some(meta.value()?.parse()?);
            Ok(())
        })?;
    }
    name.ok_or_else(|| Error::new_spanned(variant, "a choice has a name: `#[input(name = \"…\")]`"))
}

/// The code for all fields.
struct All {
    described: Vec<TokenStream>,
    read: Vec<TokenStream>,
    unpack: Vec<TokenStream>,
    idents: Vec<Option<Ident>>,
}

/// `owner` is blamed for fields without names.
fn all(fields: &Fields, owner: &Ident, kit: &Kit) -> Result<All> {
    let fields = match fields {
        Fields::Named(named) => named.named.iter().collect::<Vec<_>>(),
        Fields::Unit => Vec::new(),
        Fields::Unnamed(_) => return Err(Error::new_spanned(owner, "inputs have names: use named fields")),
    };
    let mut all = All { described: Vec::new(), read: Vec::new(), unpack: Vec::new(), idents: Vec::new() };
    let mut problems = None::<Error>;
    for field in fields {
        match one(field, kit) {
            Ok(parts) => {
                all.described.push(parts.describe);
                all.read.push(parts.read);
                all.unpack.push(parts.unpack);
                all.idents.push(field.ident.clone());
            }
            Err(e) => match &mut problems {
                Some(all) => all.combine(e),
                none => *none = Some(e),
            },
        }
    }
    problems.map_or(Ok(all), Err)
}

struct Parts {
    describe: TokenStream,
    read: TokenStream,
    unpack: TokenStream,
}

fn one(field: &Field, kit: &Kit) -> Result<Parts> {
    let spec = &kit.spec;
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

    let name = a.name.as_ref().map_or_else(|| ident.unraw().to_string(), LitStr::value);
    let tooltip = match doc(&field.attrs) {
        text if text.is_empty() => quote!(::std::option::Option::None),
        text => quote!(::std::option::Option::Some(::std::string::String::from(#text))),
    };
    if let Some(kind) = dynamic(&a, ty, &name, spec) {
        if !kit.dynamic {
            return Err(Error::new_spanned(field, "plugins have no inputs that depend on others"));
        }
        let Dynamic { socket, widget, read } = kind;
        let describe = quote! {
            inputs.push(#spec::Input {
                name: ::std::string::String::from(#name),
                socket: #socket,
                widget: #widget,
                required: true,
                is_list: false,
                lazy: false,
                tooltip: #tooltip,
            });
        };
        return Ok(Parts { describe, read: quote! { let #slot = #read; }, unpack });
    }
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

struct Dynamic {
    socket: TokenStream,
    widget: TokenStream,
    read: TokenStream,
}

/// A field that stands for inputs of its own.
fn dynamic(a: &Attributes, ty: &Type, name: &str, spec: &TokenStream) -> Option<Dynamic> {
    if a.branches {
        return Some(Dynamic {
            socket: quote!(#spec::Socket::Text),
            widget: quote!(#spec::Widget::Branches(<#ty as #spec::traits::Branches>::branches())),
            read: quote!(#spec::derive::branch::<#ty>(&mut values, #name, &mut problems)),
        });
    }
    let (prefix, count, of) = (a.grow.as_ref()?, a.count.as_ref()?, inner(ty, "Vec")?);
    Some(Dynamic {
        socket: quote!(<#of as #spec::FromValue>::socket()),
        widget: quote! {{
            let count: ::std::ops::RangeInclusive<u32> = #count;
            #spec::Widget::Growing {
                prefix: ::std::string::String::from(#prefix),
                min: *count.start(),
                max: *count.end(),
            }
        }},
        read: quote!(#spec::derive::growing::<#of>(&mut values, #name, #prefix, #count, &mut problems)),
    })
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
