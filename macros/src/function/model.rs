//! What a reducer's or query's signature says: its context, capabilities, arguments and result.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::{
    Attribute, FnArg, GenericArgument, GenericParam, ItemFn, Pat, PathArguments, ReturnType,
    Signature, Type,
};

use super::{
    Kind,
    capability::{self, Capability},
};
use crate::{
    column::check_owned,
    errors::Errors,
    name::{self, plain},
};

/// A reducer or query as the user wrote it.
pub(super) struct Function {
    pub(super) kind: Kind,
    pub(super) ident: Ident,
    /// `#[cfg(…)]`s below the attribute: what stands beside the function exists only with it.
    pub(super) conditions: Vec<Attribute>,
    /// Whether the context has a type parameter.
    pub(super) is_generic: bool,
    pub(super) capabilities: Vec<Capability>,
    pub(super) arguments: Vec<Argument>,
    /// The type after `->`; `()` where there is none.
    pub(super) output: TokenStream,
}

/// An argument beyond the context.
pub(super) struct Argument {
    /// The identifier without `mut` and `r#`.
    pub(super) name: String,
    pub(super) ty: Type,
}

/// Reads a function's signature.
pub(super) fn read(kind: Kind, item: &ItemFn, errors: &mut Errors) -> Option<Function> {
    let signature = &item.sig;
    name::check(kind.word(), &signature.ident, errors);
    check_qualifiers(kind, signature, errors);
    let parameter = parameter(signature, errors);
    let capabilities = capability::read(kind, signature, parameter.as_ref(), errors);
    let mut inputs = signature.inputs.iter();
    let Some(first) = inputs.next() else {
        let message = format!(
            "a {} takes its context first: `{}(ctx: {})`",
            kind.word(),
            signature.ident,
            kind.context()
        );
        errors.push(&signature.ident, message);
        return None;
    };
    let is_generic = context(kind, first, parameter.as_ref(), errors)?;
    let arguments = inputs
        .enumerate()
        .filter_map(|(place, input)| argument(place, input, errors))
        .collect();
    let output = match &signature.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => {
            check_owned(ty, errors);
            ty.to_token_stream()
        }
    };
    Some(Function {
        kind,
        ident: signature.ident.clone(),
        conditions: item
            .attrs
            .iter()
            .filter(|attribute| attribute.path().is_ident("cfg"))
            .cloned()
            .collect(),
        is_generic,
        capabilities,
        arguments,
        output,
    })
}

fn check_qualifiers(kind: Kind, signature: &Signature, errors: &mut Errors) {
    let what = kind.word();
    let mut refuse = |tokens: Option<TokenStream>, message: &str| {
        if let Some(tokens) = tokens {
            errors.push(tokens, format!("a {what} {message}"));
        }
    };
    let tokens = |token: Option<&dyn ToTokens>| token.map(ToTokens::to_token_stream);
    refuse(
        tokens(signature.asyncness.as_ref().map(|token| token as _)),
        "cannot be `async`: calls into the host return when they are done",
    );
    refuse(
        tokens(signature.constness.as_ref().map(|token| token as _)),
        "cannot be `const`: take it out",
    );
    refuse(
        tokens(signature.abi.as_ref().map(|token| token as _)),
        "is an ordinary function: take out `extern`",
    );
    refuse(
        tokens(signature.variadic.as_ref().map(|token| token as _)),
        "takes a fixed number of arguments",
    );
    let safety = signature.safety.to_token_stream();
    refuse(
        (!safety.is_empty()).then_some(safety),
        "is an ordinary function: take out what stands before `fn`",
    );
}

/// The one type parameter.
fn parameter(signature: &Signature, errors: &mut Errors) -> Option<Ident> {
    let mut parameter = None;
    for generic in &signature.generics.params {
        match generic {
            GenericParam::Type(ty) if parameter.is_none() => parameter = Some(ty.ident.clone()),
            other => {
                let message = "the capabilities of the context are the only generic parameter: the schema names concrete types";
                errors.push(other, message);
            }
        }
    }
    parameter
}

/// Whether the context is generic; `None` when there is no context.
fn context(
    kind: Kind,
    input: &FnArg,
    parameter: Option<&Ident>,
    errors: &mut Errors,
) -> Option<bool> {
    let (what, expected) = (kind.word(), kind.context());
    let written = match parameter {
        Some(parameter) => format!("ctx: {expected}<{parameter}>"),
        None => format!("ctx: {expected}"),
    };
    let FnArg::Typed(typed) = input else {
        let message = format!("a {what} is a free function; its first argument is `{written}`");
        errors.push(input, message);
        return None;
    };
    let segment = match &*typed.ty {
        Type::Path(path) => path.path.segments.last(),
        Type::Reference(_) => {
            let message = format!("a {what} owns its context: write `{written}`");
            errors.push(&typed.ty, message);
            return None;
        }
        _ => None,
    };
    let Some(segment) = segment.filter(|segment| segment.ident == expected) else {
        let message = format!("a {what} takes its context first: `{written}`");
        errors.push(&typed.ty, message);
        return None;
    };
    let given = match &segment.arguments {
        PathArguments::None => None,
        PathArguments::AngleBracketed(given) => given.args.first(),
        PathArguments::Parenthesized(_) => None,
    };
    match (given, parameter) {
        (None, None) => Some(false),
        (Some(GenericArgument::Type(Type::Tuple(unit))), None) if unit.elems.is_empty() => {
            Some(false)
        }
        (Some(GenericArgument::Type(Type::Path(path))), Some(parameter))
            if path.path.is_ident(parameter) =>
        {
            Some(true)
        }
        _ => {
            let message = format!("the context carries the capabilities: write `{written}`");
            errors.push(&typed.ty, message);
            None
        }
    }
}

fn argument(place: usize, input: &FnArg, errors: &mut Errors) -> Option<Argument> {
    let FnArg::Typed(typed) = input else {
        errors.push(input, "`self` cannot be an argument here");
        return None;
    };
    check_owned(&typed.ty, errors);
    let name = match &*typed.pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => {
            name::check("argument", &pat.ident, errors);
            plain(&pat.ident)
        }
        // Names of arguments are unique in a schema.
        Pat::Wild(_) if place == 0 => "_".to_string(),
        Pat::Wild(_) => format!("_{place}"),
        other => {
            let message = "an argument is a name, for the schema: write `name: Type` and take it apart in the body";
            errors.push(other, message);
            return None;
        }
    };
    Some(Argument {
        name,
        ty: (*typed.ty).clone(),
    })
}
