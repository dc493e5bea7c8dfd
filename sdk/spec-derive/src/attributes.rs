//! `#[input(…)]` and doc comments, read and checked.

use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, ExprRange, Field, Lit, LitStr, RangeLimits, Result, Type};

/// What `#[input(…)]` says of one field.
#[derive(Default)]
pub(crate) struct Attributes {
    pub(crate) name: Option<LitStr>,
    pub(crate) default: Option<Expr>,
    pub(crate) min: Option<Expr>,
    pub(crate) max: Option<Expr>,
    pub(crate) step: Option<Expr>,
    pub(crate) round: Option<Expr>,
    pub(crate) options: Option<Expr>,
    pub(crate) host_list: Option<LitStr>,
    pub(crate) placeholder: Option<LitStr>,
    pub(crate) label_on: Option<LitStr>,
    pub(crate) label_off: Option<LitStr>,
    pub(crate) multiselect: bool,
    pub(crate) multiline: bool,
    pub(crate) seed: bool,
    pub(crate) link: bool,
    pub(crate) lazy: bool,
    pub(crate) required: bool,
    pub(crate) optional: bool,
    pub(crate) flatten: bool,
    pub(crate) branches: bool,
    pub(crate) grow: Option<LitStr>,
    pub(crate) count: Option<Expr>,
}

const KNOWN: &str = "`default`, `range`, `step`, `round`, `options`, `multiselect`, `multiline`, `placeholder`, `seed`, \
    `host_list`, `link`, `lazy`, `required`, `optional`, `name`, `label_on`, `label_off`, `flatten`, \
    `branches`, `grow`, `count`";

impl Attributes {
    pub(crate) fn of(field: &Field) -> Result<Self> {
        let mut a = Self::default();
        let mut seen: Vec<String> = Vec::new();
        for attribute in field.attrs.iter().filter(|a| a.path().is_ident("input")) {
            attribute.parse_nested_meta(|meta| {
                let key = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
                if seen.contains(&key) {
                    return Err(meta.error(format!("`{key}` is given twice")));
                }
                match key.as_str() {
                    "default" => a.default = Some(meta.value()?.parse()?),
                    "range" => (a.min, a.max) = range(meta.value()?.parse()?)?,
                    "step" => a.step = Some(meta.value()?.parse()?),
                    "round" => a.round = Some(meta.value()?.parse()?),
                    "options" => a.options = Some(meta.value()?.parse()?),
                    "name" => a.name = Some(meta.value()?.parse()?),
                    "host_list" => a.host_list = Some(meta.value()?.parse()?),
                    "placeholder" => a.placeholder = Some(meta.value()?.parse()?),
                    "label_on" => a.label_on = Some(meta.value()?.parse()?),
                    "label_off" => a.label_off = Some(meta.value()?.parse()?),
                    "multiselect" => a.multiselect = true,
                    "multiline" => a.multiline = true,
                    "seed" => a.seed = true,
                    "link" => a.link = true,
                    "lazy" => a.lazy = true,
                    "required" => a.required = true,
                    "optional" => a.optional = true,
                    "flatten" => a.flatten = true,
                    "branches" => a.branches = true,
                    "grow" => a.grow = Some(meta.value()?.parse()?),
                    "count" => a.count = Some(meta.value()?.parse()?),
                    _ => return Err(meta.error(format!("unknown key; expected one of {KNOWN}"))),
                }
                seen.push(key);
                Ok(())
            })?;
        }
        a.check(field, &seen)?;
        Ok(a)
    }

    /// Refuses what could only be a mistake.
    fn check(&self, field: &Field, seen: &[String]) -> Result<()> {
        let fail = |message: String| Err(Error::new(field.span(), message));
        let has = |key: &str| seen.iter().any(|s| s == key);
        if self.flatten && seen.len() > 1 {
            return fail("`flatten` stands alone: the inner struct has the attributes".into());
        }
        if self.branches && seen.iter().any(|s| !matches!(s.as_str(), "branches" | "name")) {
            return fail("`branches` takes no other key than `name`: the choices have the attributes".into());
        }
        if self.grow.is_some() != self.count.is_some() {
            return fail("`grow` and `count` belong together: `grow = \"image\", count = 2..=50`".into());
        }
        if self.grow.is_some() && inner(&field.ty, "Vec").is_none() {
            return fail("links that grow in number are a `Vec`".into());
        }
        if self.grow.is_some() && seen.iter().any(|s| !matches!(s.as_str(), "grow" | "count" | "name")) {
            return fail("`grow` takes no other keys than `count` and `name`".into());
        }
        if self.required && self.optional {
            return fail("an input is either `required` or `optional`".into());
        }
        if self.default.is_some() && inner(&field.ty, "Option").is_some() {
            return fail("an `Option` has no default: absent is `None`; drop the `Option` or the default".into());
        }
        for (one, other) in
            [("options", "host_list"), ("options", "range"), ("host_list", "range"), ("link", "options")]
        {
            if has(one) && has(other) {
                return fail(format!("`{one}` and `{other}` exclude each other"));
            }
        }
        if self.multiselect && self.options.is_none() {
            return fail("`multiselect` needs `options`".into());
        }
        if let Some(class) = Class::of(element(&field.ty)) {
            for key in seen {
                if let Some(wants) = Class::wanted_by(key).filter(|w| !w.contains(&class)) {
                    let wants: Vec<_> = wants.iter().map(|c| c.name()).collect();
                    return fail(format!("`{key}` is for {}, this field is {}", wants.join(" and "), class.name()));
                }
            }
        }
        if let Some(default) = self.default.as_ref().and_then(number) {
            let below = self.min.as_ref().and_then(number).is_some_and(|min| default < min);
            let above = self.max.as_ref().and_then(number).is_some_and(|max| default > max);
            if below || above {
                return Err(Error::new(self.default.span(), "the default is outside of the range"));
            }
        }
        Ok(())
    }
}

/// Field types that the derive knows by name; it leaves all others to the compiler.
#[derive(Clone, Copy, PartialEq)]
enum Class {
    Integer,
    Float,
    Text,
    Boolean,
}

impl Class {
    fn of(ty: &Type) -> Option<Self> {
        let Type::Path(path) = ty else { return None };
        Some(match path.path.segments.last()?.ident.to_string().as_str() {
            "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" => Self::Integer,
            "f32" | "f64" => Self::Float,
            "String" => Self::Text,
            "bool" => Self::Boolean,
            _ => return None,
        })
    }

    fn wanted_by(key: &str) -> Option<&'static [Self]> {
        Some(match key {
            "range" | "step" => &[Self::Integer, Self::Float],
            "round" => &[Self::Float],
            "seed" => &[Self::Integer],
            "multiline" | "placeholder" | "options" | "host_list" => &[Self::Text],
            "label_on" | "label_off" => &[Self::Boolean],
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Integer => "integers",
            Self::Float => "floats",
            Self::Text => "strings",
            Self::Boolean => "booleans",
        }
    }
}

fn range(expr: Expr) -> Result<(Option<Expr>, Option<Expr>)> {
    match expr {
        Expr::Range(ExprRange { start, end: Some(end), limits: RangeLimits::Closed(_), .. }) => {
            Ok((start.map(|e| *e), Some(*end)))
        }
        Expr::Range(ExprRange { start: Some(start), end: None, .. }) => Ok((Some(*start), None)),
        other => Err(Error::new(other.span(), "expected an inclusive range such as `1..=100`, `1..` or `..=100`")),
    }
}

/// The value of a numeric literal, negated or not.
fn number(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Unary(unary) if matches!(unary.op, syn::UnOp::Neg(_)) => Some(-number(&unary.expr)?),
        Expr::Lit(lit) => match &lit.lit {
            Lit::Int(n) => n.base10_parse().ok(),
            Lit::Float(n) => n.base10_parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// `T` of `Wrapper<T>`.
pub(crate) fn inner<'a>(ty: &'a Type, wrapper: &str) -> Option<&'a Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|s| s.ident == wrapper)?;
    let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    arguments.args.iter().find_map(|a| if let syn::GenericArgument::Type(t) = a { Some(t) } else { None })
}

/// The type of one value: without `Option` and `Vec`.
pub(crate) fn element(mut ty: &Type) -> &Type {
    while let Some(t) = inner(ty, "Option").or_else(|| inner(ty, "Vec")) {
        ty = t;
    }
    ty
}

/// The doc comment: lines joined, paragraphs kept.
pub(crate) fn doc(attributes: &[Attribute]) -> String {
    let mut text = String::new();
    for attribute in attributes.iter().filter(|a| a.path().is_ident("doc")) {
        let syn::Meta::NameValue(pair) = &attribute.meta else { continue };
        let Expr::Lit(syn::ExprLit { lit: Lit::Str(line), .. }) = &pair.value else { continue };
        let line = line.value();
        match line.trim() {
            "" if text.is_empty() || text.ends_with('\n') => {}
            "" => text.push_str("\n\n"),
            line => {
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push(' ');
                }
                text.push_str(line);
            }
        }
    }
    text.trim_end().to_owned()
}
