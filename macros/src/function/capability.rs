//! The `Can*` bounds of a signature, inline and in `where`: the whole truth of what a function may
//! touch.

use proc_macro2::Ident;
use quote::ToTokens;
use syn::{
    GenericArgument, GenericParam, PathArguments, Signature, Type, TypeParamBound, WherePredicate,
};

use super::Kind;
use crate::errors::Errors;

/// What a bound gives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Insert,
    Update,
    Delete,
}

/// One bound: what may be done with the table of `row`.
pub(super) struct Capability {
    pub(super) access: Access,
    pub(super) row: Type,
}

/// Reads all bounds on `parameter`.
pub(super) fn read(
    kind: Kind,
    signature: &Signature,
    parameter: Option<&Ident>,
    errors: &mut Errors,
) -> Vec<Capability> {
    let mut capabilities = Vec::new();
    for generic in &signature.generics.params {
        if let GenericParam::Type(ty) = generic {
            for bound in &ty.bounds {
                capabilities.extend(capability(kind, bound, errors));
            }
        }
    }
    let predicates = signature.generics.where_clause.iter();
    for predicate in predicates.flat_map(|clause| &clause.predicates) {
        let on_parameter = match predicate {
            WherePredicate::Type(typed) => match &typed.bounded_ty {
                Type::Path(path) => parameter
                    .is_some_and(|parameter| path.path.is_ident(parameter))
                    .then_some(typed),
                _ => None,
            },
            WherePredicate::Lifetime(_) => None,
            other => {
                refuse(kind, other, errors);
                continue;
            }
        };
        match on_parameter {
            Some(typed) => {
                for bound in &typed.bounds {
                    capabilities.extend(capability(kind, bound, errors));
                }
            }
            None => refuse(kind, predicate, errors),
        }
    }
    capabilities
}

fn capability(kind: Kind, bound: &TypeParamBound, errors: &mut Errors) -> Option<Capability> {
    let TypeParamBound::Trait(bound_trait) = bound else {
        refuse(kind, bound, errors);
        return None;
    };
    let segment = bound_trait.path.segments.last()?;
    let access = match &*segment.ident.to_string() {
        "CanRead" => Access::Read,
        "CanInsert" => Access::Insert,
        "CanUpdate" => Access::Update,
        "CanDelete" => Access::Delete,
        _ => {
            refuse(kind, bound, errors);
            return None;
        }
    };
    if kind == Kind::Query && access != Access::Read {
        let message = format!(
            "a query only reads: write `CanRead<…>`, or make this a `#[reducer]` to use `{}`",
            segment.ident
        );
        errors.push(bound, message);
        return None;
    }
    let row = match &segment.arguments {
        PathArguments::AngleBracketed(given) if given.args.len() == 1 => given.args.first(),
        _ => None,
    };
    let Some(GenericArgument::Type(row)) = row else {
        let message = format!("write the row of a table: `{}<Account>`", segment.ident);
        errors.push(bound, message);
        return None;
    };
    Some(Capability {
        access,
        row: row.clone(),
    })
}

fn refuse(kind: Kind, tokens: impl ToTokens, errors: &mut Errors) {
    let allowed = match kind {
        Kind::Reducer => "`CanRead<Row>`, `CanInsert<Row>`, `CanUpdate<Row>` and `CanDelete<Row>`",
        Kind::Query => "`CanRead<Row>`",
    };
    let message = format!(
        "only {allowed} may stand on the context's parameter of a {}: the schema is read off them; put other bounds on a helper function",
        kind.word()
    );
    errors.push(tokens, message);
}
