//! `interstice_module!`: what a module says of itself, and `crate::bindings`.

use std::path::PathBuf;

use interstice_abi::{
    event::{Event, TableRef},
    host_call::PUBLIC_EXPORT,
    id::check_name,
    schema::Authority,
};
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::{
    Ident, LitStr, Token, bracketed,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
};

use crate::{
    bindings,
    errors::Errors,
    function::{export, mark, table_check},
    name::sdk,
};

const AUTHORITIES: [Authority; 6] = [
    Authority::Gpu,
    Authority::Audio,
    Authority::Input,
    Authority::File,
    Authority::Network,
    Authority::Module,
];

const KEYS: &str = "`visibility`, `authorities` and `replicated_tables`";

/// One `key: value`.
enum Entry {
    Visibility(Ident, Ident),
    Authorities(Ident, Vec<Ident>),
    ReplicatedTables(Ident, Vec<LitStr>),
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let key: Ident = input.parse()?;
        let known = ["visibility", "authorities", "replicated_tables"];
        if !known.iter().any(|known| key == known) {
            let message = format!("`{key}` is not a key of `interstice_module!`; there are {KEYS}");
            return Err(syn::Error::new_spanned(key, message));
        }
        input.parse::<Token![:]>()?;
        if key == "visibility" {
            return Ok(Self::Visibility(key, input.parse()?));
        }
        let content;
        bracketed!(content in input);
        if key == "authorities" {
            let names = Punctuated::<Ident, Token![,]>::parse_terminated(&content)?;
            Ok(Self::Authorities(key, names.into_iter().collect()))
        } else {
            let tables = Punctuated::<LitStr, Token![,]>::parse_terminated(&content)?;
            Ok(Self::ReplicatedTables(key, tables.into_iter().collect()))
        }
    }
}

/// What the macro was told.
#[derive(Default)]
struct Header {
    is_public: bool,
    authorities: Vec<Authority>,
    replicated_tables: Vec<(LitStr, TableRef)>,
}

/// Expands `interstice_module!`.
pub(crate) fn expand(input: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let header = header(input, &mut errors);
    let name = environment("CARGO_PKG_NAME");
    if let Err(problem) = check_name("module name", &name, true) {
        let message = format!("{problem}; it is the package's name in Cargo.toml");
        errors.add(syn::Error::new(Span::call_site(), message));
    }
    let generated = match bindings::generate(&bindings_folder()) {
        Ok(generated) => Some(generated),
        Err(problems) => {
            for problem in problems {
                errors.add(syn::Error::new(Span::call_site(), problem));
            }
            None
        }
    };
    let (module, dependencies) = match generated {
        Some(generated) => (generated.module, generated.dependencies),
        None => (TokenStream::new(), quote!(::std::vec::Vec::new())),
    };
    let bindings = bindings_module(&header, &module);
    let describe = describe(&name, &header, &dependencies);
    let public = header.is_public.then(|| mark(PUBLIC_EXPORT, ""));
    let checks = header
        .replicated_tables
        .iter()
        .map(|(text, table)| table_check(text, table));
    match errors.into_tokens() {
        Some(errors) => quote!(#errors #bindings),
        None => quote!(#bindings const _: () = { #describe #public #(#checks)* };),
    }
}

/// Where the binding files of the crate that is compiled are; it need not exist.
pub(crate) fn bindings_folder() -> PathBuf {
    PathBuf::from(environment("CARGO_MANIFEST_DIR")).join("src/bindings")
}

/// A variable that Cargo sets for every crate it compiles; empty without Cargo.
fn environment(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn header(input: TokenStream, errors: &mut Errors) -> Header {
    let mut header = Header::default();
    let parser = |input: ParseStream<'_>| Punctuated::<Entry, Token![,]>::parse_terminated(input);
    let entries = match syn::parse::Parser::parse2(parser, input) {
        Ok(entries) => entries,
        Err(error) => {
            errors.add(error);
            return header;
        }
    };
    let mut seen: Vec<Ident> = Vec::new();
    for entry in entries {
        let key = match &entry {
            Entry::Visibility(key, _)
            | Entry::Authorities(key, _)
            | Entry::ReplicatedTables(key, _) => key.clone(),
        };
        if seen.contains(&key) {
            errors.push(&key, format!("`{key}` stands here twice; write it once"));
            continue;
        }
        seen.push(key);
        match entry {
            Entry::Visibility(_, value) if value == "Public" => header.is_public = true,
            Entry::Visibility(_, value) if value == "Private" => {}
            Entry::Visibility(_, value) => {
                let message = format!("`{value}` is no visibility; write `Public` or `Private`");
                errors.push(value, message);
            }
            Entry::Authorities(_, names) => {
                for name in names {
                    authority(&name, &mut header, errors);
                }
            }
            Entry::ReplicatedTables(_, tables) => {
                for text in tables {
                    replicated_table(text, &mut header, errors);
                }
            }
        }
    }
    header
}

fn authority(name: &Ident, header: &mut Header, errors: &mut Errors) {
    match AUTHORITIES
        .iter()
        .find(|authority| *name == format!("{authority:?}"))
    {
        Some(authority) if header.authorities.contains(authority) => {
            errors.push(name, format!("`{name}` stands here twice; write it once"));
        }
        Some(authority) => header.authorities.push(*authority),
        None => {
            let message = format!(
                "`{name}` is not an authority; there are `Gpu`, `Audio`, `Input`, `File`, `Network` and `Module`"
            );
            errors.push(name, message);
        }
    }
}

fn replicated_table(text: LitStr, header: &mut Header, errors: &mut Errors) {
    // The grammar of events knows what a table's name is.
    let table = match format!("{}.sync", text.value()).parse::<Event>() {
        Ok(Event::Sync { table }) => table,
        _ => {
            let message = format!(
                "`{}` is not a table of another node; write `<node>.<module>.<table>` as in the bindings",
                text.value().escape_debug()
            );
            errors.push(text, message);
            return;
        }
    };
    if header
        .replicated_tables
        .iter()
        .any(|(_, known)| *known == table)
    {
        errors.push(&text, format!("`{table}` stands here twice; write it once"));
        return;
    }
    header.replicated_tables.push((text, table));
}

fn bindings_module(header: &Header, module: &TokenStream) -> TokenStream {
    let sdk = sdk();
    let authorities = authorities(header);
    quote! {
        /// The modules that this one uses, made from the files in `src/bindings`.
        pub mod bindings {
            #module

            #[doc(hidden)]
            pub const __AUTHORITIES: &[#sdk::abi::schema::Authority] = &[#(#authorities),*];
        }
    }
}

fn authorities(header: &Header) -> impl Iterator<Item = TokenStream> {
    header.authorities.iter().map(|authority| {
        let (sdk, name) = (sdk(), format_ident!("{authority:?}"));
        quote!(#sdk::abi::schema::Authority::#name)
    })
}

fn describe(name: &str, header: &Header, dependencies: &TokenStream) -> TokenStream {
    let sdk = sdk();
    let export = export("__interstice_describe__", "module");
    let number = |part: &str| -> u32 {
        environment(&format!("CARGO_PKG_VERSION_{part}"))
            .parse()
            .unwrap_or(0)
    };
    let (major, minor, patch) = (number("MAJOR"), number("MINOR"), number("PATCH"));
    let visibility = format_ident!(
        "{}",
        if header.is_public {
            "Public"
        } else {
            "Private"
        }
    );
    let authorities = authorities(header);
    let replicated = header.replicated_tables.iter().map(|(_, table)| {
        let (node, module, table) = (&table.node, &table.module, &table.table);
        let (node, module) = (node.iter(), module.iter());
        quote! {
            #sdk::abi::event::TableRef {
                node: ::core::option::Option::Some(::std::string::String::from(#(#node)*)),
                module: ::core::option::Option::Some(::std::string::String::from(#(#module)*)),
                table: ::std::string::String::from(#table),
            }
        }
    });
    quote! {
        #export
        extern "C" fn __interstice_describe() {
            #sdk::run::describe(&#sdk::abi::schema::Description::Module(#sdk::abi::schema::ModuleHeader {
                abi_version: #sdk::abi::ABI_VERSION,
                name: ::std::string::String::from(#name),
                version: #sdk::abi::schema::Version { major: #major, minor: #minor, patch: #patch },
                visibility: #sdk::abi::schema::Visibility::#visibility,
                authorities: ::std::vec![#(#authorities),*],
                replicated_tables: ::std::vec![#(#replicated),*],
                dependencies: #dependencies,
            }));
        }
        const _: extern "C" fn() = __interstice_describe;
    }
}
