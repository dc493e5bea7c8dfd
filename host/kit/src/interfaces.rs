//! The reference of the contract, printed from the WIT that this program was built with.

use crate::sdk::{FILES, WIT};
use anyhow::{Context, Result, anyhow};
use std::fmt::Write as _;
use wit_parser::{
    Docs, Function, FunctionKind, Handle, Interface, InterfaceId, Resolve, SourceMap, Type, TypeDef, TypeDefKind,
    TypeId, TypeOwner, WorldItem, WorldKey,
};

/// Every interface with its types and functions, as a page of Markdown.
///
/// # Errors
/// The WIT inside of the program cannot be read.
pub fn interfaces() -> Result<String> {
    let resolve = parse()?;
    let mut page = format!(
        "# The contract, interface by interface\n\n\
         Printed by `anagama plugin interfaces` from the contract `{WIT}`, whose text is in [`wit/`](../wit). How to use it from \
         Rust, with examples, is in [the kit's own page](../sdk/README.md); in C every record is JSON with these names, as \
         [`anagama.h`](../sdk/plugin-sdk/include/anagama.h) says.\n\n"
    );
    let (kinds, services) = sides(&resolve)?;
    page.push_str("| interface | who has it | what it is |\n|---|---|---|\n");
    let rows = |list: &[InterfaceId], who: &str, page: &mut String| {
        for id in list {
            let (interface, name) = (&resolve.interfaces[*id], name(&resolve, *id));
            let inner = interface.types.values().map(|t| &resolve.types[*t].docs);
            let inner = inner.chain(interface.functions.values().map(|f| &f.docs));
            let docs = [&interface.docs].into_iter().chain(inner).find(|d| d.contents.is_some());
            let first = docs.map(first_sentence).unwrap_or_default();
            let _ = writeln!(page, "| [`{name}`](#{name}) | {who} | {first} |");
        }
    };
    rows(&kinds, "plugins export it", &mut page);
    rows(&services, "the host offers it", &mut page);
    page.push_str(
        "\nA plugin exports `describe` and any set of the kinds below it. What the host offers is imported as needed; each call \
         is checked against what [the user granted](plugins.md#what-a-plugin-can-do-and-what-it-cannot).\n",
    );
    for (title, list) in [("What plugins export", &kinds), ("What the host offers", &services)] {
        let _ = write!(page, "\n## {title}\n");
        for id in list {
            describe(&resolve, *id, &mut page);
        }
    }
    Ok(page)
}

fn parse() -> Result<Resolve> {
    let mut sources = SourceMap::new();
    for (name, text) in FILES.iter().filter(|(name, _)| name.starts_with("wit/") && name.ends_with(".wit")) {
        sources.push_str(name, *text);
    }
    let group = sources.parse().map_err(|(_, e)| anyhow!("the contract: {e}"))?;
    let mut resolve = Resolve::default();
    resolve.push_group(group).context("the contract")?;
    Ok(resolve)
}

fn name(resolve: &Resolve, id: InterfaceId) -> &str {
    resolve.interfaces[id].name.as_deref().unwrap_or_default()
}

/// What some world exports, and what some world imports and none exports, each in the order of the worlds. An interface
/// without functions of its own that only lends types belongs to the second.
fn sides(resolve: &Resolve) -> Result<(Vec<InterfaceId>, Vec<InterfaceId>)> {
    let interface = |(key, item): (&WorldKey, &WorldItem)| match (key, item) {
        (WorldKey::Interface(id), WorldItem::Interface { .. }) => Some(*id),
        _ => None,
    };
    let (mut exported, mut imported) = (Vec::new(), Vec::new());
    for (_, world) in resolve.worlds.iter() {
        for (list, items) in [(&mut exported, &world.exports), (&mut imported, &world.imports)] {
            for id in items.iter().filter_map(interface) {
                if !list.contains(&id) {
                    list.push(id);
                }
            }
        }
    }
    for (id, _) in resolve.interfaces.iter() {
        if !exported.contains(&id) && !imported.contains(&id) {
            imported.push(id);
        }
    }
    anyhow::ensure!(!exported.is_empty(), "the contract has no world that exports something");
    imported.retain(|id| !exported.contains(id));
    Ok((exported, imported))
}

fn first_sentence(docs: &Docs) -> String {
    let text = docs.contents.as_deref().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    text.split(". ").next().unwrap_or_default().trim_end_matches('.').replace('|', "\\|")
}

fn paragraph(docs: &Docs) -> Option<String> {
    docs.contents.as_deref().map(|text| text.trim().lines().map(str::trim).collect::<Vec<_>>().join("\n"))
}

fn describe(resolve: &Resolve, id: InterfaceId, page: &mut String) {
    let interface = &resolve.interfaces[id];
    let _ = write!(page, "\n### {}\n", name(resolve, id));
    if let Some(text) = paragraph(&interface.docs) {
        let _ = write!(page, "\n{text}\n");
    }
    let printer = Printer { resolve, here: id };
    let own = |t: &&TypeId| printer.is_own(&resolve.types[**t]);
    for ty in interface.types.values().filter(own) {
        printer.define(*ty, interface, page);
    }
    for function in interface.functions.values().filter(|f| f.kind == FunctionKind::Freestanding) {
        printer.function(function, "####", page);
    }
}

struct Printer<'a> {
    resolve: &'a Resolve,
    here: InterfaceId,
}

impl Printer<'_> {
    /// Not one that was taken from another interface under the same name.
    fn is_own(&self, def: &TypeDef) -> bool {
        match &def.kind {
            TypeDefKind::Type(Type::Id(other)) => self.resolve.types[*other].name != def.name,
            _ => true,
        }
    }

    fn define(&self, id: TypeId, interface: &Interface, page: &mut String) {
        let def = &self.resolve.types[id];
        let name = def.name.as_deref().unwrap_or_default();
        let _ = write!(page, "\n#### {} `{name}`", def.kind.as_str());
        if let TypeDefKind::Type(same) = &def.kind {
            let _ = write!(page, " = `{}`", self.ty(same));
        }
        page.push('\n');
        if let Some(text) = paragraph(&def.docs) {
            let _ = write!(page, "\n{text}\n");
        }
        let rows: Vec<(String, String, &Docs)> = match &def.kind {
            TypeDefKind::Record(record) => {
                record.fields.iter().map(|f| (f.name.clone(), self.ty(&f.ty), &f.docs)).collect()
            }
            TypeDefKind::Variant(variant) => {
                let payload = |ty: &Option<Type>| ty.as_ref().map(|t| self.ty(t)).unwrap_or_default();
                variant.cases.iter().map(|c| (c.name.clone(), payload(&c.ty), &c.docs)).collect()
            }
            TypeDefKind::Enum(cases) => cases.cases.iter().map(|c| (c.name.clone(), String::new(), &c.docs)).collect(),
            TypeDefKind::Flags(flags) => flags.flags.iter().map(|f| (f.name.clone(), String::new(), &f.docs)).collect(),
            _ => Vec::new(),
        };
        if rows.iter().all(|(_, ty, docs)| ty.is_empty() && docs.contents.is_none()) && !rows.is_empty() {
            let names: Vec<String> = rows.iter().map(|(name, ..)| format!("`{name}`")).collect();
            let _ = write!(page, "\n{}\n", names.join(", "));
        } else if !rows.is_empty() {
            page.push_str("\n| | type | |\n|---|---|---|\n");
            for (name, ty, docs) in rows {
                let ty = if ty.is_empty() { String::new() } else { format!("`{ty}`") };
                let text = docs.contents.as_deref().unwrap_or_default();
                let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
                let _ = writeln!(page, "| `{name}` | {ty} | {text} |");
            }
        }
        for function in interface.functions.values().filter(|f| f.kind.resource() == Some(id)) {
            self.function(function, "-", page);
        }
    }

    fn function(&self, function: &Function, mark: &str, page: &mut String) {
        let given = function.params.iter().filter(|p| p.name != "self");
        let params: Vec<String> = given.map(|p| format!("{}: {}", p.name, self.ty(&p.ty))).collect();
        let result = function.result.as_ref().map(|t| format!(" -> {}", self.ty(t))).unwrap_or_default();
        let signature = format!("{}({}){result}", function.item_name(), params.join(", "));
        if mark == "-" {
            let text = first_line(&function.docs);
            let _ = writeln!(page, "\n- `{signature}`{text}");
        } else {
            let _ = write!(page, "\n{mark} `{}`\n\n```wit\n{signature}\n```\n", function.item_name());
            if let Some(text) = paragraph(&function.docs) {
                let _ = write!(page, "\n{text}\n");
            }
        }
    }

    fn ty(&self, ty: &Type) -> String {
        let Type::Id(id) = ty else { return primitive(ty).to_owned() };
        let def = &self.resolve.types[*id];
        if let (TypeDefKind::Type(same @ Type::Id(_)), false) = (&def.kind, self.is_own(def)) {
            // Taken from another interface, under whose name it is explained.
            return self.ty(same);
        }
        if let Some(name) = &def.name {
            return match def.owner {
                // Types that an interface uses keep their home.
                TypeOwner::Interface(home) if home != self.here => {
                    format!("{}.{name}", self::name(self.resolve, home))
                }
                _ => name.clone(),
            };
        }
        let inner = |ty: &Option<Type>| ty.as_ref().map_or("_".to_owned(), |t| self.ty(t));
        match &def.kind {
            TypeDefKind::Option(of) => format!("option<{}>", self.ty(of)),
            TypeDefKind::List(of) => format!("list<{}>", self.ty(of)),
            TypeDefKind::Tuple(of) => {
                format!("tuple<{}>", of.types.iter().map(|t| self.ty(t)).collect::<Vec<_>>().join(", "))
            }
            TypeDefKind::Result(of) => format!("result<{}, {}>", inner(&of.ok), inner(&of.err)),
            TypeDefKind::Handle(Handle::Borrow(of)) => format!("borrow<{}>", self.ty(&Type::Id(*of))),
            TypeDefKind::Handle(Handle::Own(of)) => self.ty(&Type::Id(*of)),
            other => other.as_str().to_owned(),
        }
    }
}

fn first_line(docs: &Docs) -> String {
    paragraph(docs).map(|text| format!(": {}", text.replace('\n', " "))).unwrap_or_default()
}

fn primitive(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::U8 => "u8",
        Type::U16 => "u16",
        Type::U32 => "u32",
        Type::U64 => "u64",
        Type::S8 => "s8",
        Type::S16 => "s16",
        Type::S32 => "s32",
        Type::S64 => "s64",
        Type::F32 => "f32",
        Type::F64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::ErrorContext => "error-context",
        Type::Id(_) => "type",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_and_type_of_the_contract_is_in_the_page() {
        let (resolve, page) = (parse().unwrap(), interfaces().unwrap());
        for (_, interface) in resolve.interfaces.iter() {
            let name = interface.name.as_deref().unwrap();
            assert!(page.contains(&format!("\n### {name}\n")), "{name}");
            for function in interface.functions.values() {
                assert!(page.contains(&format!("{}(", function.item_name())), "{name}.{}", function.name);
            }
            for ty in interface.types.keys() {
                assert!(page.contains(&format!("`{ty}`")), "{name}.{ty}");
            }
        }
        let (kinds, services) = sides(&resolve).unwrap();
        let names = |list: &[InterfaceId]| list.iter().map(|id| name(&resolve, *id).to_owned()).collect::<Vec<_>>();
        for kind in crate::kinds() {
            assert!(names(&kinds).iter().any(|n| n == kind), "{kind} is no kind of {:?}", names(&kinds));
        }
        assert!(names(&services).iter().any(|n| n == "http"), "{:?}", names(&services));
    }
}
