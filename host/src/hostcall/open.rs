//! From a table's name, as a guest writes it, to the table.

use interstice_abi::{
    event::TableRef,
    failure::{Code, Failure},
    schema::Dependency,
    text::quoted,
};

use crate::wasm::{Binary, Place};

/// Finds `table`, `module.table` or `node.module.table`: a table of the module itself, or one that
/// its bindings have.
///
/// # Errors
/// `NotFound` with the nearest name, `Denied` for a module that is no dependency, `Unavailable`
/// for a table of another node, which only a replica could show.
pub(super) fn resolve(binary: &Binary, name: &str) -> Result<Place, Failure> {
    if let Some((own, _)) = binary.schema.table(name) {
        return Ok(Place::Own(own));
    }
    let parts: Vec<&str> = name.splitn(4, '.').collect();
    let (node, module, table) = match parts.as_slice() {
        [table] => (None, None, *table),
        [module, table] => (None, Some(*module), *table),
        [node, module, table] => (Some(*node), Some(*module), *table),
        _ => {
            let message = format!(
                "`{}` is not a table's name: write `table`, `module.table` or `node.module.table`",
                quoted(name)
            );
            return Err(Failure::new(Code::BadArguments, message));
        }
    };
    let own = module.is_none_or(|module| node.is_none() && module == binary.schema.name.as_str());
    let table_ref = TableRef {
        node: node.map(String::from),
        module: module.filter(|_| !own).map(String::from),
        table: table.into(),
    };
    match binary.place(&table_ref) {
        Some(place) if node.is_none() => Ok(place),
        Some(_) => Err(Failure::new(
            Code::Unavailable,
            format!("there is no replica of `{name}`: its node is not connected"),
        )
        .about_table(name)),
        None if own => {
            let known = binary.schema.tables.iter().map(|table| table.name.as_str());
            Err(Failure::not_found("table", table, known))
        }
        None => {
            let dependency = dependency(binary, node, module.unwrap_or_default())?;
            let known = dependency.tables.iter().map(|table| table.name.as_str());
            Err(Failure::not_found("table", table, known))
        }
    }
}

/// The bindings of another module.
///
/// # Errors
/// `Denied` when there are none: what a module was not compiled against it cannot use.
pub(super) fn dependency<'a>(
    binary: &'a Binary,
    node: Option<&str>,
    module: &str,
) -> Result<&'a Dependency, Failure> {
    let mut dependencies = binary.schema.dependencies.iter();
    let found = dependencies
        .find(|dependency| dependency.node.as_deref() == node && dependency.module == module);
    found.ok_or_else(|| {
        Failure::new(
            Code::Denied,
            format!(
                "the module `{}` has no binding of `{}`; add one to src/bindings",
                binary.schema.name,
                quoted(module)
            ),
        )
    })
}
