//! Signatures of reducers and queries, and arguments against them: a wrong name, count or type is
//! said with the signature and the nearest name.

use interstice_abi::{
    codec::{Damaged, Input},
    failure::nearest,
    schema::{ModuleSchema, QuerySchema, ReducerSchema},
    types::{ColumnType, Field, TypeSet},
    value::decode,
};
use serde_json::Value as Json;

use crate::{
    json,
    problem::{Outcome, Problem},
};

/// A reducer or query as one would write it in Rust.
#[must_use]
pub fn of(name: &str, arguments: &[Field], result: Option<&ColumnType>) -> String {
    let arguments = arguments
        .iter()
        .map(|field| format!("{}: {}", field.name, field.ty))
        .collect::<Vec<_>>()
        .join(", ");
    match result {
        None | Some(ColumnType::Void) => format!("{name}({arguments})"),
        Some(result) => format!("{name}({arguments}) -> {result}"),
    }
}

/// The reducer called `name`.
///
/// # Errors
/// Says what there is instead.
pub fn reducer<'a>(schema: &'a ModuleSchema, name: &str) -> Outcome<&'a ReducerSchema> {
    let Some(reducer) = schema.reducer(name) else {
        let all = schema
            .reducers
            .iter()
            .filter(|reducer| reducer.is_callable());
        let all = all.map(|reducer| {
            (
                reducer.name.as_str(),
                of(&reducer.name, &reducer.arguments, None),
            )
        });
        let problem = unknown("reducer", name, schema, all.collect());
        return Err(match schema.query(name) {
            Some(_) => problem.advise(format!("`{name}` is a query: use `query`")),
            None => problem,
        });
    };
    if reducer.is_callable() {
        return Ok(reducer);
    }
    Err(Problem::failed(format!(
        "the reducer `{name}` of module `{}` {}",
        schema.name,
        reducer.why_not_callable()
    )))
}

/// The query called `name`.
///
/// # Errors
/// Says what there is instead.
pub fn query<'a>(schema: &'a ModuleSchema, name: &str) -> Outcome<&'a QuerySchema> {
    schema.query(name).ok_or_else(|| {
        let all = schema.queries.iter();
        let all = all.map(|query| {
            (
                query.name.as_str(),
                of(&query.name, &query.arguments, Some(&query.result)),
            )
        });
        let problem = unknown("query", name, schema, all.collect());
        match schema.reducer(name) {
            Some(_) => problem.advise(format!("`{name}` is a reducer: use `call`")),
            None => problem,
        }
    })
}

fn unknown(kind: &str, name: &str, schema: &ModuleSchema, all: Vec<(&str, String)>) -> Problem {
    let message = format!(
        "module `{}` has no {kind} `{}`",
        schema.name,
        name.escape_debug()
    );
    let near = nearest(name, all.iter().map(|(name, _)| *name));
    if let Some((_, signature)) = all.iter().find(|(name, _)| Some(*name) == near) {
        return Problem::failed(message).advise(format!("did you mean `{signature}`?"));
    }
    let list = all
        .into_iter()
        .map(|(_, signature)| format!("`{signature}`"))
        .collect::<Vec<_>>()
        .join(", ");
    Problem::failed(message).advise(if list.is_empty() {
        "it has none".to_string()
    } else {
        format!("it has {list}")
    })
}

/// The arguments' encodings, one after the other.
///
/// # Errors
/// A usage problem that shows the signature.
pub fn encode_arguments(
    words: &[String],
    arguments: &[Field],
    types: &TypeSet,
    signature: &str,
) -> Outcome<Vec<u8>> {
    if words.len() != arguments.len() {
        let count = |count: usize| {
            if count == 1 {
                "1 argument".to_string()
            } else {
                format!("{count} arguments")
            }
        };
        return Err(Problem::usage(format!(
            "`{signature}` takes {}, not {}",
            count(arguments.len()),
            words.len()
        )));
    }
    let mut bytes = Vec::new();
    for (word, field) in words.iter().zip(arguments) {
        let encoded = json::from_argument(word, &field.ty, types).map_err(|problem| {
            Problem::usage(format!(
                "argument `{}` of `{signature}`: {problem}",
                field.name
            ))
        })?;
        bytes.extend(encoded);
    }
    Ok(bytes)
}

/// The words for a signature that has replaced the one for which they were typed. Words go by
/// place, so they are kept only where all names are the same in the same order; optional
/// arguments that are appended are `null`.
///
/// # Errors
/// Says what has changed.
pub fn words_for(
    words: &[String],
    name: &str,
    (old, new): (&[Field], &[Field]),
) -> Outcome<Vec<String>> {
    let added = new.get(old.len()..).unwrap_or_default();
    let same = new.len() >= old.len()
        && old.iter().zip(new).all(|(old, new)| old.name == new.name)
        && added
            .iter()
            .all(|field| matches!(field.ty, ColumnType::Option(_)));
    if !same {
        return Err(Problem::failed(format!(
            "`{}` was replaced by `{}` while it was being called; nothing has run",
            of(name, old, None),
            of(name, new, None)
        ))
        .advise("type the arguments for the new one"));
    }
    // It was read for the first attempt, and would be empty now.
    if words.iter().any(|word| word == "@-") {
        return Err(Problem::failed(format!(
            "`{name}` was replaced by another version while it was being called; nothing has run"
        ))
        .advise("give standard input again"));
    }
    let nulls = added.iter().map(|_| "null".to_string());
    Ok(words.iter().cloned().chain(nulls).collect())
}

/// A value of type `ty` from its encoding, as JSON.
///
/// # Errors
/// When the node has sent what its schema does not say.
pub fn decode_json(bytes: &[u8], ty: &ColumnType, types: &TypeSet) -> Outcome<Json> {
    let mut input = Input::new(bytes);
    let value = decode(ty, types, &mut input).map_err(not_of_schema)?;
    input.finish().map_err(not_of_schema)?;
    Ok(json::to_json(&value))
}

/// A row of type `ty` from its encoding, as JSON. Columns that the module has appended to that
/// type are passed over.
///
/// # Errors
/// When the node has sent what its schema does not say.
pub fn decode_row(bytes: &[u8], ty: &ColumnType, types: &TypeSet) -> Outcome<Json> {
    let value = decode(ty, types, &mut Input::new(bytes)).map_err(not_of_schema)?;
    Ok(json::to_json(&value))
}

fn not_of_schema(error: Damaged) -> Problem {
    Problem::failed(format!(
        "the node's answer does not fit its schema: {error}"
    ))
    .advise("the module may have been replaced in between: try again")
}

/// The values of arguments from their encodings, as JSON.
///
/// # Errors
/// When they are not what the signature says.
pub fn decode_arguments(
    bytes: &[u8],
    arguments: &[Field],
    types: &TypeSet,
) -> Result<Vec<Json>, Damaged> {
    let mut input = Input::new(bytes);
    let values = arguments
        .iter()
        .map(|field| decode(&field.ty, types, &mut input).map(|value| json::to_json(&value)))
        .collect::<Result<Vec<Json>, Damaged>>()?;
    input.finish()?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use interstice_abi::{
        event::Event,
        id::ModuleName,
        schema::{Version, Visibility},
    };

    use super::*;
    use crate::problem::Kind;

    fn schema() -> ModuleSchema {
        let reducer = |name: &str, events| ReducerSchema {
            name: name.to_string(),
            arguments: vec![
                Field::new("id", ColumnType::U64),
                Field::new("balance", ColumnType::I64),
            ],
            events,
            capabilities: Vec::new(),
        };
        ModuleSchema {
            abi_version: 1,
            name: ModuleName::new("bank").expect("is a name"),
            version: Version::default(),
            visibility: Visibility::Public,
            authorities: Vec::new(),
            replicated_tables: Vec::new(),
            dependencies: Vec::new(),
            tables: Vec::new(),
            reducers: vec![
                reducer("init", vec![Event::Init]),
                reducer("open", Vec::new()),
            ],
            queries: vec![QuerySchema {
                name: "total".to_string(),
                arguments: Vec::new(),
                result: ColumnType::I64,
                capabilities: Vec::new(),
            }],
            types: TypeSet::default(),
        }
    }

    #[test]
    fn a_wrong_name_shows_the_nearest_signature() {
        let schema = schema();
        let advice = |problem: Problem| problem.advice().unwrap_or_default().to_string();
        assert_eq!(
            advice(reducer(&schema, "opn").expect_err("is wrong")),
            "did you mean `open(id: u64, balance: i64)`?"
        );
        assert_eq!(
            advice(reducer(&schema, "close").expect_err("is wrong")),
            "it has `open(id: u64, balance: i64)`"
        );
        assert_eq!(
            advice(reducer(&schema, "total").expect_err("is wrong")),
            "`total` is a query: use `query`"
        );
        assert_eq!(
            advice(query(&schema, "totl").expect_err("is wrong")),
            "did you mean `total() -> i64`?"
        );
        assert!(
            reducer(&schema, "init")
                .expect_err("is an event's")
                .to_string()
                .contains("`init`")
        );
    }

    #[test]
    fn a_wrong_count_or_type_shows_the_signature() {
        let schema = schema();
        let open = reducer(&schema, "open").expect("is there");
        let signature = of(&open.name, &open.arguments, None);
        let check = |words: &[&str], expected: &str| {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            let problem = encode_arguments(&words, &open.arguments, &schema.types, &signature)
                .expect_err(expected);
            assert_eq!(problem.kind(), Kind::Usage);
            assert!(
                problem.to_string().contains("open(id: u64, balance: i64)"),
                "{problem}"
            );
            assert!(problem.to_string().contains(expected), "{problem}");
        };
        check(&["1"], "takes 2 arguments, not 1");
        check(&["1", "x"], "argument `balance`");
        check(&["-1", "1"], "expected u64, found -1");
    }

    #[test]
    fn words_are_kept_for_a_new_signature_only_where_names_and_order_are_the_same() {
        let field = |name: &str, ty| Field::new(name, ty);
        let nat = || ColumnType::U64;
        let old = [field("from", nat()), field("to", nat())];
        let words = ["1".to_string(), "2".to_string()];
        let kept = |new: &[Field]| words_for(&words, "pay", (&old, new));
        let retyped = [field("from", nat()), field("to", ColumnType::I64)];
        assert_eq!(kept(&retyped), Ok(words.to_vec()));
        let note = field("note", ColumnType::Option(Box::new(ColumnType::String)));
        let [from, to] = old.clone();
        let longer = kept(&[from.clone(), to.clone(), note]).expect("is optional");
        assert_eq!(longer, ["1", "2", "null"]);
        let swapped = kept(&[to.clone(), from.clone()]).expect_err("another order");
        assert!(
            swapped.to_string().contains("`pay(to: u64, from: u64)`"),
            "{swapped}"
        );
        assert!(kept(&[from.clone(), to, field("fee", nat())]).is_err());
        assert!(kept(&[from]).is_err());
    }
}
