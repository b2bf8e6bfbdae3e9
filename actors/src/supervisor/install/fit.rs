//! Whether a module fits the node: what it needs is there, what others need of it stays, and its authorities are free.
//!
//! Only schemas are compared; nothing is changed here.

use std::collections::BTreeMap;

use interstice_abi::{
    failure::{Code, Failure},
    id::ModuleName,
    schema::{Dependency, ModuleSchema},
    wire::ModuleState,
};
use interstice_host::schema;

use crate::supervisor::catalogue::Installed;

/// All that the module was compiled against must be there in a compatible version.
pub(in crate::supervisor) fn check_dependencies(
    new: &ModuleSchema,
    installed: &BTreeMap<ModuleName, Installed>,
) -> Result<(), Failure> {
    for dependency in new
        .dependencies
        .iter()
        .filter(|dependency| dependency.node.is_none())
    {
        let Some(provider) = installed.get(dependency.module.as_str()) else {
            return Err(Failure::new(
                Code::NotFound,
                format!(
                    "module `{}` needs module `{}` in version {} or compatible, which is not on this node; deploy it first",
                    new.name, dependency.module, dependency.version
                ),
            ));
        };
        check_binding(new, dependency, &provider.schema)?;
    }
    Ok(())
}

/// Running modules that were compiled against this one must still find what they need. Those that are stopped are asked when
/// they start again.
pub(super) fn check_dependents(
    new: &ModuleSchema,
    installed: &BTreeMap<ModuleName, Installed>,
) -> Result<(), Failure> {
    for other in installed
        .values()
        .filter(|other| other.schema.name != new.name && other.state == ModuleState::Loaded)
    {
        for dependency in &other.schema.dependencies {
            if dependency.node.is_none() && dependency.module == new.name.as_str() {
                check_binding(&other.schema, dependency, new)?;
            }
        }
    }
    Ok(())
}

fn check_binding(
    reader: &ModuleSchema,
    dependency: &Dependency,
    provider: &ModuleSchema,
) -> Result<(), Failure> {
    let holder = &reader.name;
    if !provider.version.satisfies(dependency.version) {
        return Err(Failure::new(
            Code::SchemaConflict,
            format!(
                "module `{holder}` was made for version {wanted} of module `{name}`; version {} is not compatible with it. To move \
                 both, unload `{holder}`, deploy `{name}`, update the binding with `bindings update`, and deploy `{holder}` again; its \
                 data stay",
                provider.version,
                wanted = dependency.version,
                name = dependency.module,
            ),
        ));
    }
    schema::check_binding(reader, dependency, provider).map_err(|failure| Failure {
        message: format!(
            "module `{holder}` needs more of module `{}`: {failure}",
            dependency.module
        ),
        ..failure
    })
}

/// Each authority is held by at most one module.
pub(super) fn check_authorities(
    new: &ModuleSchema,
    installed: &BTreeMap<ModuleName, Installed>,
) -> Result<(), Failure> {
    for other in installed
        .values()
        .filter(|other| other.schema.name != new.name)
    {
        if let Some(authority) = new
            .authorities
            .iter()
            .find(|authority| other.schema.authorities.contains(authority))
        {
            return Err(Failure::new(
                Code::Denied,
                format!(
                    "authority `{authority:?}` is held by module `{}`; only one module of a node may hold it",
                    other.schema.name
                ),
            ));
        }
    }
    Ok(())
}
